/** Files to keep: the picture, the animation, the strip. Each carries the mark. */

import { addChange, change } from "./detail.js";
import { encodeGif } from "./gif.js";
import { canvasOf, rgba } from "./photo.js";
import { MARK, markPng } from "./png.js";
import { cut, enlarged, viewWindow } from "./stage.js";

const STEPS = 7; // pictures of a strip, the original and the edit among them
const FRAMES = 16; // of an animation, one way
const PAUSE = 60; // hundredths of a second that an animation rests at each end
const DELAY = 5; // and between
const GIF_SIDE = 320; // pixels, as
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
  /** shot: () -> what the stage shows (stage.js); origin of a file's mark follows from it. */
  constructor(session, shot) {
    this.session = session;
    this.shot = shot;
  }

  /** Pictures (RGB or RGBA) of the states at each t, at most `longest` pixels a side. progress: (share). */
  async pictures(state, ts, longest, progress = () => {}) {
    const { session } = this;
    const { size, detail } = session.bundle;
    const shot = this.shot(state);
    const plain = await session.plain(state);
    const photo = shot && shot.view !== "model" ? shot.photo.picture : null;
    const part = photo && cut(photo, viewWindow(shot.view, photo, shot.toModel, size), shot.toModel, longest);
    const times = Math.max(1, Math.round(Math.min(longest, 512) / size));
    const out = [];
    for (const t of ts) {
      const pixels = await session.render(onTheWay(state, t), true);
      out.push(
        part
          ? {
              ...part.picture,
              data: addChange(part.picture, change(plain, pixels, size, detail), part.toModel, size),
            }
          : enlarged(pixels, size, times),
      );
      progress(out.length / ts.length);
    }
    return out;
  }

  async #file(canvas, state) {
    const blob = await canvas.convertToBlob({ type: "image/png" });
    const bytes = markPng(
      new Uint8Array(await blob.arrayBuffer()),
      state.base.kind === "photo" ? "photo" : "sample",
    );
    return new Blob([bytes], { type: "image/png" });
  }

  /** The picture: a photograph whole and at full size, a drawn face at 512 pixels. */
  async png(state) {
    const shot = this.shot(state);
    if (!shot || shot.view === "model") {
      const [picture] = await this.pictures(state, [1], 512);
      return this.#file(canvasOf(picture), state);
    }
    const { size, detail } = this.session.bundle;
    const [plain, pixels] = [await this.session.plain(state), await this.session.render(state, true)];
    const { picture } = shot.photo;
    return this.#file(
      canvasOf({
        ...picture,
        data: addChange(picture, change(plain, pixels, size, detail), shot.toModel, size),
      }),
      state,
    );
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
    return new Blob([encodeGif(frames, width, height, delays, MARK)], { type: "image/gif" });
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
