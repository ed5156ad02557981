/** What the stage and files show, in pixels: pure functions that paint-worker.js runs. */

import { resize } from "./align.js";
import { crisp } from "./crisp.js";
import { addChange, enlargedChange, greyed, isGrey, outlines, timesOf } from "./detail.js";

const HELD = 4e6; // pixels of a picture that is kept for the next change; a larger one is sent again

/** Whether a photograph's part is kept by the worker. */
export const holds = ({ picture: { width, height } }) => width * height <= HELD;

/**
 * Model pixels (S * S * 3 numbers) as an RGBA picture `times` as large: by Lanczos, of drawings with edges as
 * sharp as a drawing has them.
 */
export function enlarged(pixels, size, times = timesOf(size), drawing = false) {
  const small = { data: new Uint8ClampedArray(pixels), width: size, height: size, channels: 3 };
  const large = resize(small, size * times, size * times, drawing ? "bicubic" : "lanczos");
  const { width, height } = large;
  const data = drawing ? crisp(large, times) : large.data;
  const out = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let i = 0, at = 0; i < data.length; i += 3, at += 4) {
    out[at] = data[i];
    out[at + 1] = data[i + 1];
    out[at + 2] = data[i + 2];
  }
  return { data: out, width, height, channels: 4 };
}

/**
 * A photograph's part, as stage.js's `cut` gives it, with what Session.change gives in it, as a picture; a
 * photograph without colour gets none. around: a part that holds the whole crop, where `picture` may not.
 * other: the face that a morph goes to, as `faceBeside` gives it. The outlines are kept in the part.
 */
export function withChange(part, { change, share }, other, size) {
  const { picture, toModel, around } = part;
  const towards = share > 0 ? { share, ...other } : null;
  const fitting = !towards && isGrey(picture) ? greyed(change) : change;
  if (!towards && !part.edges) {
    const whole = around ?? part;
    part.edges = outlines(whole.picture, whole.toModel, size);
  }
  const field = enlargedChange(fitting, size, towards ? null : part.edges);
  return { ...picture, data: addChange(picture, field, toModel, size, towards) };
}
