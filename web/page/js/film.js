/**
 * The edit in moving pictures: frame by frame, all of it in this browser, wherever the model runs for stills.
 */

import { LocalBackend } from "./backend-local.js";

/** A source of pictures (a video or a canvas) as RGBA, at most `longest` pixels a side. */
export function grabbed(source, width, height, longest, canvas = new OffscreenCanvas(1, 1)) {
  const scale = Math.min(1, longest / Math.max(width, height));
  const even = (length) => Math.max(2, 2 * Math.round((length * scale) / 2)); // as H.264 wants it
  Object.assign(canvas, { width: even(width), height: even(height) });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return { data, width: canvas.width, height: canvas.height, channels: 4 };
}

export class Film {
  #backend = null; // Promise of the local backend, where the page's own is another

  constructor(app) {
    this.app = app;
  }

  /** Promise of a backend that runs here. progress: (share from 0 to 1) while it loads. */
  async #local(progress) {
    const { backend } = this.app.session;
    if (backend.name === "local") return backend;
    this.#backend ??= LocalBackend.open(progress);
    this.#backend.catch(() => {
      this.#backend = null;
    });
    return this.#backend;
  }

  /** Promise that the model is here. */
  async ready(progress = () => {}) {
    await (await this.#local(progress)).prepare();
  }

  /**
   * Promise of the five points of the face in a frame, near where it was `seen` in the frame before, else the
   * largest; null where there is none.
   */
  async seek(picture, seen) {
    return (await this.#local()).seek(picture, seen);
  }

  /** Promise of a frame with the sliders of a state on the face at `five` points. */
  async edited(picture, five, state) {
    const { session, painter } = this.app;
    const backend = await this.#local();
    if (!five || !Object.keys(state.strengths).length) return picture;
    const { code, matrix } = await backend.codeAt(picture, five);
    const changed = await session.changeOf(code, state, backend);
    return painter.changed({ picture, toModel: matrix }, changed, null, session.bundle.size);
  }
}
