/**
 * The edit in moving pictures: frame by frame, all of it in this browser, wherever the model runs for stills.
 */

import { LocalBackend } from "./backend-local.js";

const SECONDS = 6; // of a video that are edited
export const RATE = 25; // pictures of it a second
const AFTER = 1e6; // seconds, after the end of any video
const SPREAD = 3; // pictures before and after, a standard deviation, over which a face's place is averaged

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

/** Promise of a video file that stands ready, as an element. Throws where the browser cannot play it. */
async function opened(file) {
  const video = Object.assign(document.createElement("video"), { muted: true, preload: "auto" });
  video.src = URL.createObjectURL(file);
  await new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onerror = () => reject(new Error(`${file.name} is not a video that this browser can play.`));
  });
  return video;
}

/** The video at a time, in seconds, once it is there. */
const at = (video, time) =>
  new Promise((resolve, reject) => {
    video.onseeked = resolve;
    video.onerror = () => reject(new Error("The video broke off."));
    video.currentTime = time;
  });

/**
 * Places of a face in the pictures of a film, five points or null each, as means over the pictures around, so
 * that the face does not tremble; null stays.
 */
export function smoothed(places) {
  const reach = 3 * SPREAD;
  return places.map((own, i) => {
    if (!own) return null;
    const near = places
      .map((five, j) => ({ five, weight: Math.exp(-(((j - i) / SPREAD) ** 2) / 2) }))
      .slice(Math.max(0, i - reach), i + reach + 1)
      .filter(({ five }) => five);
    const total = near.reduce((sum, { weight }) => sum + weight, 0);
    const mean = (point, axis) => near.reduce((sum, { five, weight }) => sum + weight * five[point][axis], 0);
    return own.map((_, point) => [mean(point, 0) / total, mean(point, 1) / total]);
  });
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

  /**
   * Promise of the first seconds of a video file with the sliders of a state, RATE pictures (RGBA) a second;
   * null where `goesOn` says no. progress: (share from 0 to 1).
   */
  async video(file, state, longest, { progress, goesOn }) {
    await this.ready((share) => progress(share / 10));
    const video = await opened(file);
    if (video.duration === Infinity) await at(video, AFTER); // as of a recording, which then knows its length
    const count = Math.max(1, Math.floor(Math.min(SECONDS, video.duration) * RATE));
    const frames = [];
    const places = [];
    try {
      for (let i = 0; i < count; i++) {
        if (!goesOn()) return null;
        await at(video, (i + 0.5) / RATE);
        frames.push(grabbed(video, video.videoWidth, video.videoHeight, longest));
        places.push(await this.seek(frames[i], places[i - 1] ?? null));
        progress((0.5 * (i + 1)) / count);
      }
    } finally {
      URL.revokeObjectURL(video.src);
    }
    if (!places.some(Boolean)) throw new Error("No face was found in the video.");
    for (const [i, five] of smoothed(places).entries()) {
      if (!goesOn()) return null;
      frames[i] = await this.edited(frames[i], five, state);
      progress(0.5 + (0.5 * (i + 1)) / count);
    }
    return frames;
  }
}
