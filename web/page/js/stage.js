/**
 * The picture: what the model drew, or the photograph with the change in it; compared with the original by
 * holding or by a wipe.
 */

import { apply, invert, resize } from "./align.js";
import { addChange, enlargedChange } from "./detail.js";
import { canvasOf, rgba } from "./photo.js";

const ENLARGE = 4; // canvas pixels per model pixel, by Lanczos; the browser's smoothing does the rest
const SIDE = 960; // longest side of a photograph on the page, in pixels; files are made at full size
const CLOSE = 1.45; // side of the close view, in sides of the crop

/** Model pixels (S * S * 3 numbers) as a picture ENLARGE times as large. */
export function enlarged(pixels, size, times = ENLARGE) {
  const picture = { data: new Uint8ClampedArray(pixels), width: size, height: size, channels: 3 };
  return resize(picture, size * times, size * times, "lanczos");
}

/**
 * The part of a photograph that a view shows, [left, top, width, height]. toModel: photograph to model
 * pixels.
 */
export function viewWindow(view, { width, height }, toModel, size) {
  if (view === "whole") return [0, 0, width, height];
  const inverse = invert(toModel);
  const [x, y] = apply(inverse, [(size - 1) / 2, (size - 1) / 2]);
  const side = Math.hypot(inverse[0], inverse[1]) * size * CLOSE;
  const fit = (centre, limit) => {
    const length = Math.round(Math.min(side, limit));
    return [Math.round(Math.min(limit - length, Math.max(0, centre + 0.5 - length / 2))), length];
  };
  const [[left, w], [top, h]] = [fit(x, width), fit(y, height)];
  return [left, top, w, h];
}

/**
 * A window of a photograph at no more than `longest` pixels a side, with the similarity from its pixels to
 * the model's.
 */
export function cut(picture, [left, top, width, height], toModel, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  const canvas = new OffscreenCanvas(w, h);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(canvasOf(picture), left, top, width, height, 0, 0, w, h);
  const [a, b, x0, y0] = toModel;
  const step = width / w;
  const shift = [left + step / 2 - 0.5, top + step / 2 - 0.5];
  const [x, y] = apply([a, b, x0, y0], shift);
  return {
    picture: { data: context.getImageData(0, 0, w, h).data, width: w, height: h, channels: 4 },
    toModel: [a * step, b * step, x, y],
  };
}

/**
 * A photograph's part, as `cut` gives it, with what Session.change gives in it, as a picture. other: the face
 * that a morph goes to, as `faceBeside` gives it.
 */
export function withChange({ picture, toModel }, { change, share }, other, size) {
  const towards = share > 0 ? { share, ...other } : null;
  const data = addChange(picture, enlargedChange(change, size), toModel, size, towards);
  return { ...picture, data };
}

/**
 * Promise of the face that a morph goes to, as `cut` gives it: of a photograph the face with its surroundings
 * in as many pixels as it takes beside `toModel`, else what the model draws.
 */
export async function faceBeside({ drawn, held }, toModel, size) {
  if (!held) {
    const [scale, shift] = [1 / ENLARGE, 0.5 / ENLARGE - 0.5];
    return { picture: rgba(enlarged(drawn, size)), toModel: [scale, 0, shift, shift] };
  }
  const { matrix } = held.encoded;
  const picture = await held.photo.load();
  const longest = Math.ceil((CLOSE * size) / Math.hypot(toModel[0], toModel[1]));
  return cut(picture, viewWindow("close", picture, matrix, size), matrix, longest);
}

function put(canvas, picture) {
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    canvas.width = picture.width;
    canvas.height = picture.height;
  }
  canvas.getContext("2d").putImageData(rgba(picture), 0, 0);
}

export class Stage {
  #cut = { key: "" };
  #other = {}; // {drawn: the model's picture of it, face: as `faceBeside` gives it}
  #plain = null;

  /** parts: {frame, after, before, wipe, wipeBox, tagBefore, tagAfter}: elements. */
  constructor(parts, size) {
    Object.assign(this, parts);
    this.size = size;
    this.wipe.addEventListener("input", () => this.frame.style.setProperty("--wipe", `${this.wipe.value}%`));
  }

  /** Cut out what a shot shows, and the other face of a morph, where they are not there yet. */
  async prepare(shot, { other }) {
    const key = `${shot.id} ${shot.view}`;
    if (this.#cut.key !== key) {
      const whole = await shot.photo.load();
      const window = viewWindow(shot.view, whole, shot.toModel, this.size);
      this.#cut = { key, ...cut(whole, window, shot.toModel, SIDE) };
      this.#other = {};
      put(this.before, this.#cut.picture);
    }
    if (!other || this.#other.drawn === other.drawn) return;
    this.#other = { drawn: other.drawn, face: await faceBeside(other, this.#cut.toModel, this.size) };
  }

  /** A face that the model drew: its pictures before and after, S * S * 3. */
  show({ plain, pixels }) {
    if (this.#plain !== plain || this.#cut.key) put(this.before, enlarged(plain, this.size));
    this.#plain = plain;
    this.#cut = { key: "" };
    put(this.after, enlarged(pixels, this.size));
  }

  /** A photograph that was prepared, with the change in it. */
  showChange(changed) {
    put(this.after, withChange(this.#cut, changed, this.#other.face, this.size));
  }

  /** While a person holds: the original in place of the edit. */
  hold(on) {
    this.frame.classList.toggle("holding", on);
    if (this.splitting) return;
    this.before.hidden = !on;
    this.tagBefore.hidden = !on;
  }

  get splitting() {
    return this.frame.classList.contains("split");
  }

  split(on) {
    this.frame.classList.toggle("split", on);
    for (const part of [this.before, this.wipeBox, this.tagBefore, this.tagAfter]) part.hidden = !on;
    this.frame.style.setProperty("--wipe", `${this.wipe.value}%`);
  }

  describe(text) {
    this.after.setAttribute("aria-label", text);
  }
}
