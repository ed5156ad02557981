/**
 * The picture: what the model drew, or the photograph with the change in it; compared with the original by
 * holding or by a wipe.
 */

import { apply, invert } from "./align.js";
import { timesOf } from "./detail.js";
import { element } from "./dom.js";
import { rgba } from "./photo.js";

const SIDE = 960; // longest side of a photograph on the page, in pixels; files are made at full size
const CLOSE = 1.45; // side of the close view, in sides of the crop

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

/** The part of a window that is seen enlarged `times`, around its point (x, y), each from 0 to 1. */
export function zoomed([left, top, width, height], [times, x, y]) {
  const inside = (centre, length) =>
    Math.round(Math.min(length - length / times, Math.max(0, centre * length - length / times / 2)));
  return [
    left + inside(x, width),
    top + inside(y, height),
    Math.max(1, Math.round(width / times)),
    Math.max(1, Math.round(height / times)),
  ];
}

/**
 * Promise of a window of a photograph at no more than `longest` pixels a side, with the similarity from its
 * pixels to the model's.
 */
export async function cut(picture, [left, top, width, height], toModel, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  const canvas = new OffscreenCanvas(w, h);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  const bitmap = await createImageBitmap(rgba(picture), left, top, width, height);
  context.drawImage(bitmap, 0, 0, w, h);
  bitmap.close();
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
 * Promise of the face that a morph goes to, as `cut` gives it: of a photograph the face with its surroundings
 * in as many pixels as it takes beside `toModel`, else what the model draws.
 */
export async function faceBeside({ drawn, held }, toModel, size, painter) {
  if (!held) {
    const scale = 1 / timesOf(size);
    const picture = await painter.enlarged(drawn, size);
    return { picture, toModel: [scale, 0, scale / 2 - 0.5, scale / 2 - 0.5] };
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

/** The middle square of a canvas as a small one. */
export function smallCopy(canvas, size) {
  const side = Math.min(canvas.width, canvas.height);
  const corner = [(canvas.width - side) / 2, (canvas.height - side) / 2];
  const copy = element("canvas", { width: size, height: size });
  copy.getContext("2d").drawImage(canvas, ...corner, side, side, 0, 0, size, size);
  return copy;
}

export class Stage {
  #cut = { key: "" };
  #other = {}; // {drawn: the model's picture of it, face: as `faceBeside` gives it}
  #plain = null;

  /** parts: {frame, after, before, wipe, wipeBox, tagBefore, tagAfter}: elements; painter: a Painter. */
  constructor(parts, size, painter) {
    Object.assign(this, parts);
    this.size = size;
    this.painter = painter;
    this.wipe.addEventListener("input", () => this.frame.style.setProperty("--wipe", `${this.wipe.value}%`));
  }

  /**
   * Promise of a function that shows a face without a photograph: its pictures before and after, S * S * 3.
   * sharp: the edges of the latter, where it is a drawing.
   */
  async face(plain, pixels, sharp = true) {
    const stands = this.#plain === plain && !this.#cut.key;
    const [before, after] = await Promise.all([
      stands ? null : this.painter.enlarged(plain, this.size),
      this.painter.enlarged(pixels, this.size, undefined, sharp),
    ]);
    return () => {
      this.#plain = plain;
      this.#cut = { key: "" };
      if (before) put(this.before, before);
      put(this.after, after);
    };
  }

  /** Promise of a function that shows what a shot does of a photograph, with the change in it. */
  async photograph(shot, changed) {
    const { size, painter } = this;
    const key = `${shot.id} ${shot.view} ${shot.zoom.join(" ")}`;
    const stands = this.#cut.key === key;
    if (!stands) {
      const whole = await shot.photo.load();
      const window = zoomed(viewWindow(shot.view, whole, shot.toModel, size), shot.zoom);
      this.#cut = { key, ...(await cut(whole, window, shot.toModel, SIDE)) };
      if (shot.zoom[0] > 1) {
        const close = viewWindow("close", whole, shot.toModel, size);
        this.#cut.around = await cut(whole, close, shot.toModel, SIDE);
      }
      this.#other = {};
    }
    const part = this.#cut;
    const { other } = changed;
    if (other && this.#other.drawn !== other.drawn)
      this.#other = { drawn: other.drawn, face: await faceBeside(other, part.toModel, size, painter) };
    const picture = await painter.changed(part, changed, other && this.#other.face, size);
    return () => {
      if (!stands) put(this.before, part.picture);
      put(this.after, picture);
    };
  }

  /** Show a picture of a film, before and after. */
  moving(before, after) {
    this.#plain = null;
    this.#cut = { key: "" };
    put(this.before, before);
    put(this.after, after);
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
