/** Files to keep: the picture, the animation, the strip. Each carries the mark. */

import { canvasOf, rgba } from "./photo.js";
import { MARK, markPng } from "./png.js";
import { cut, enlarged, faceBeside, viewWindow, withChange } from "./stage.js";

const STEPS = 7; // pictures of a strip, the original and the edit among them
const FRAMES = 16; // of an animation, one way
const PAUSE = 60; // hundredths of a second that an animation rests at each end
const DELAY = 5; // and between
const FACE_SIDE = 512; // pixels of a drawn face, as
const GIF_SIDE = 320; // of a frame, and
const STRIP_SIDE = 256; // of each picture

/** States on the way from the original (t = 0) to `state` (t = 1): sliders and morph alike go straight. */
export const onTheWay = (state, t) => ({
  ...state,
  mix: state.mix * t,
  strengths: Object.fromEntries(
    Object.entries(state.strengths).map(([name, strength]) => [name, strength * t]),
  ),
});

export class Saver {
  #encoder = new Worker(new URL("gif-worker.js", import.meta.url), { type: "module" }); // there when offline

  /** shot: () -> what the stage shows (stage.js); origin of a file's mark follows from it. */
  constructor(session, shot) {
    this.session = session;
    this.shot = shot;
  }

  /** Promise of a GIF's bytes. */
  #encodedGif(request) {
    return new Promise((resolve, reject) => {
      this.#encoder.onmessage = ({ data }) => resolve(data);
      this.#encoder.onerror = (event) => {
        event.preventDefault();
        reject(new Error("The GIF could not be made."));
      };
      this.#encoder.postMessage(request);
    });
  }

  /** Pictures (RGB or RGBA) of the states at each t, at most `longest` pixels a side. progress: (share). */
  async pictures(state, ts, longest, progress = () => {}) {
    const { session } = this;
    const { size } = session.bundle;
    const shot = this.shot(state);
    const times = Math.max(1, Math.round(Math.min(longest, FACE_SIDE) / size));
    let draw = async (at) => enlarged(await session.render(at, true), size, times);
    if (shot && shot.view !== "model") {
      const whole = await shot.photo.load();
      const part = cut(whole, viewWindow(shot.view, whole, shot.toModel, size), shot.toModel, longest);
      draw = (at) => this.#changed(part, at);
    }
    const out = [];
    for (const t of ts) {
      out.push(await draw(onTheWay(state, t)));
      progress(out.length / ts.length);
    }
    return out;
  }

  /** Promise of a photograph's part with the change of a state in it. */
  async #changed(part, state) {
    const { session } = this;
    const { size } = session.bundle;
    const changed = await session.change(state);
    const other = changed.other && (await faceBeside(changed.other, part.toModel, size));
    return withChange(part, changed, other, size);
  }

  async #file(canvas, state) {
    const blob = await canvas.convertToBlob({ type: "image/png" });
    const origin = [state.base, state.mix > 0 ? state.other : null].some((base) => base?.kind === "photo")
      ? "photo"
      : "sample";
    const bytes = markPng(new Uint8Array(await blob.arrayBuffer()), origin);
    return new Blob([bytes], { type: "image/png" });
  }

  /** The picture: a photograph whole and at full size, a drawn face at FACE_SIDE pixels. */
  async png(state) {
    const shot = this.shot(state);
    if (!shot || shot.view === "model") {
      const [picture] = await this.pictures(state, [1], FACE_SIDE);
      return this.#file(canvasOf(picture), state);
    }
    const whole = { picture: await shot.photo.load(), toModel: shot.toModel };
    return this.#file(canvasOf(await this.#changed(whole, state)), state);
  }

  async strip(state) {
    const way = Array.from({ length: STEPS }, (_, i) => i / (STEPS - 1));
    const pictures = await this.pictures(state, way, STRIP_SIDE);
    const { width, height } = pictures[0];
    const canvas = new OffscreenCanvas(width * STEPS, height);
    const context = canvas.getContext("2d");
    for (const [i, picture] of pictures.entries()) context.putImageData(rgba(picture), i * width, 0);
    return this.#file(canvas, state);
  }

  async gif(state, progress) {
    const way = Array.from({ length: FRAMES }, (_, i) => (1 - Math.cos((Math.PI * i) / (FRAMES - 1))) / 2);
    const pictures = await this.pictures(state, way, GIF_SIDE, progress);
    const { width, height } = pictures[0];
    const there = pictures.map(rgb);
    const frames = [...there, ...there.slice(1, -1).reverse()];
    const delays = frames.map((_, i) => (i === 0 || i === FRAMES - 1 ? PAUSE : DELAY));
    const bytes = await this.#encodedGif({ frames, width, height, delays, comment: MARK });
    return new Blob([bytes], { type: "image/gif" });
  }
}

function rgb({ data, width, height, channels }) {
  if (channels === 3) return data;
  const out = new Uint8ClampedArray(width * height * 3);
  for (let i = 0; i < width * height; i++) for (let c = 0; c < 3; c++) out[3 * i + c] = data[4 * i + c];
  return out;
}

/** Hand a file to the person. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
