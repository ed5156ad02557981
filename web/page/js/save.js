/** Files to keep: the picture, the animation, the strip. Each carries the mark. */

import { RATE } from "./film.js";
import { MARK, markJpeg, markMp4, markPng, markWebm } from "./marks.js";
import { canvasOf, Photo, rgba } from "./photo.js";
import { toHash } from "./share.js";
import { cut, faceBeside, viewWindow } from "./stage.js";
import { zip } from "./zip.js";

const STEPS = 7; // pictures of a strip, the original and the edit among them
const FRAMES = 16; // of an animation, one way
const PAUSE = 60; // hundredths of a second that an animation rests at each end
const DELAY = 5; // and between
const FACE_SIDE = 512; // pixels of a drawn face, as
const GIF_SIDE = 320; // of a GIF's frame, less where the file would be more than
const GIF_BYTES = 500e3;
const SAFE = 0.95; // of the side that ought to fit
const VIDEO_SIDE = 720; // of a video's frame, and
const STRIP_SIDE = 256; // of each picture
const VIDEO_FRAMES = 30; // of a video, one way,
const BITS = 4e6; // a second of a video
const JPEG_QUALITY = 0.92;
const VIDEOS = [
  ["video/mp4;codecs=avc1.42E01F", ".mp4", markMp4],
  ["video/webm;codecs=vp9", ".webm", markWebm],
  ["video/webm", ".webm", markWebm],
];

/** The kind of video that this browser records, [type, ending, mark]; undefined where it records none. */
export const videoKind = () => VIDEOS.find(([type]) => globalThis.MediaRecorder?.isTypeSupported(type));

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
  constructor(session, shot, painter) {
    Object.assign(this, { session, shot, painter });
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
    let draw = async (at) => this.painter.enlarged(await session.face(at), size, times);
    if (shot && shot.view !== "model") {
      const whole = await shot.photo.load();
      const part = await cut(whole, viewWindow(shot.view, whole, shot.toModel, size), shot.toModel, longest);
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
    const other = changed.other && (await faceBeside(changed.other, part.toModel, size, this.painter));
    return this.painter.changed(part, changed, other, size);
  }

  #origin({ base, other, mix }) {
    return [base, mix > 0 ? other : null].some((one) => one?.kind === "photo") ? "photo" : "sample";
  }

  async #file(canvas, state, type = "image/png") {
    const blob = await canvas.convertToBlob({ type, quality: JPEG_QUALITY });
    const mark = type === "image/png" ? markPng : markJpeg;
    const origin = this.#origin(state);
    const link = origin === "photo" ? "" : toHash(state, this.session.bundle);
    return new Blob([mark(new Uint8Array(await blob.arrayBuffer()), origin, link)], { type });
  }

  /** The canvas of a picture: a photograph whole and at full size, a drawn face at FACE_SIDE pixels. */
  async #still(state) {
    const shot = this.shot(state);
    if (shot && shot.view !== "model") return this.#whole(state, shot);
    const [picture] = await this.pictures(state, [1], FACE_SIDE);
    return canvasOf(picture);
  }

  async #whole(state, { photo, toModel }) {
    return canvasOf(await this.#changed({ picture: await photo.load(), toModel }, state));
  }

  async png(state) {
    return this.#file(await this.#still(state), state);
  }

  async jpeg(state) {
    return this.#file(await this.#still(state), state, "image/jpeg");
  }

  /** The whole photograph of a state, whatever part of it is shown. */
  async photograph(state, type = "image/png") {
    return this.#file(await this.#whole(state, this.shot(state)), state, type);
  }

  /**
   * The sliders of a state on the photographs of `files`, as an archive. encode: Promise of a photograph's
   * encoding; goesOn: whether to; failed: (error) of one that is left out.
   */
  async batch(state, files, encode, { progress, goesOn, failed }) {
    const done = [];
    for (const [i, file] of files.entries()) {
      if (!goesOn()) return null;
      try {
        const photo = await Photo.read(file);
        const base = this.session.addPhoto(photo, await encode(photo));
        const made = await this.photograph({ ...state, base, other: null, mix: 0 }, "image/jpeg");
        photo.release();
        const name = `${String(i + 1).padStart(2, "0")}-${file.name.replace(/\.[^.]*$/, "")}.jpg`;
        done.push({ name, bytes: new Uint8Array(await made.arrayBuffer()) });
      } catch (error) {
        failed(error);
      }
      progress((i + 1) / files.length);
    }
    return done.length ? zip(done) : null;
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

  /** Promise of the bytes of a GIF there and back. */
  #gifOf(there, { width, height }) {
    const frames = [...there, ...there.slice(1, -1).reverse()];
    const delays = frames.map((_, i) => (i === 0 || i === FRAMES - 1 ? PAUSE : DELAY));
    return this.#encodedGif({ frames, width, height, delays, comment: MARK });
  }

  async gif(state, progress) {
    const way = Array.from({ length: FRAMES }, (_, i) => (1 - Math.cos((Math.PI * i) / (FRAMES - 1))) / 2);
    const pictures = await this.pictures(state, way, GIF_SIDE, progress);
    let bytes = await this.#gifOf(pictures.map(rgb), pictures[0]);
    if (bytes.length > GIF_BYTES) {
      const scale = Math.sqrt(GIF_BYTES / bytes.length) * SAFE;
      const smaller = pictures.map((picture) => shrunk(picture, scale));
      bytes = await this.#gifOf(smaller.map(rgb), smaller[0]);
    }
    return new Blob([bytes], { type: "image/gif" });
  }

  /** From the original to the edit and back, recorded as it plays. */
  async video(state, progress) {
    const steps = Array.from({ length: VIDEO_FRAMES }, (_, i) => i / (VIDEO_FRAMES - 1));
    const way = steps.map((t) => (1 - Math.cos(Math.PI * t)) / 2);
    const pictures = await this.pictures(state, way, VIDEO_SIDE, progress);
    const rest = (picture) => Array.from({ length: RATE / 2 }, () => picture);
    const frames = [...rest(pictures[0]), ...pictures, ...rest(pictures.at(-1)), ...pictures.toReversed()];
    return filed(frames, this.#origin(state));
  }
}

/** Promise of the file of a video of pictures, RATE of them a second. */
export async function filed(pictures, origin) {
  const [type, , mark] = videoKind();
  const blob = await recorded(pictures.map(rgba), type);
  return new Blob([mark(new Uint8Array(await blob.arrayBuffer()), origin)], { type });
}

/** Promise of a video of pictures (ImageData), RATE of them a second. */
async function recorded(frames, type) {
  const even = (length) => length - (length % 2); // as H.264 wants it
  const canvas = document.createElement("canvas");
  canvas.width = even(frames[0].width);
  canvas.height = even(frames[0].height);
  const context = canvas.getContext("2d");
  context.putImageData(frames[0], 0, 0);
  const stream = canvas.captureStream(0); // which takes a picture when it is told to, and so misses none
  const [track] = stream.getVideoTracks();
  const camera = track.requestFrame ? track : stream; // in Firefox the stream takes it
  const recorder = new MediaRecorder(stream, {
    mimeType: type,
    videoBitsPerSecond: BITS,
  });
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise((resolve, reject) => {
    recorder.onstop = resolve;
    recorder.onerror = () => reject(new Error("This browser could not record the video."));
  });
  recorder.start();
  const from = performance.now();
  for (const [i, frame] of frames.entries()) {
    context.putImageData(frame, 0, 0);
    camera.requestFrame();
    const late = performance.now() - from - (1000 * i) / RATE;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, 1000 / RATE - late)));
  }
  recorder.stop();
  await ended;
  return new Blob(parts, { type });
}

/** A picture at a share of its size. */
function shrunk(picture, scale) {
  const canvas = new OffscreenCanvas(Math.round(picture.width * scale), Math.round(picture.height * scale));
  const { width, height } = canvas;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(canvasOf(picture), 0, 0, width, height);
  return { data: context.getImageData(0, 0, width, height).data, width, height, channels: 4 };
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
