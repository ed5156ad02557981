/**
 * Detail-preserving edits: what the model changed, added to the photograph itself.
 *
 * The model draws `before` = D(z) and `after` = D(z + v) at its own few pixels. Their difference, enlarged
 * smoothly, goes back through the inverse of the alignment and is added to the full-resolution photograph:
 * everything the model did not touch stays as sharp as it was. What it touched by less than noise does not
 * count as touched (faces/edits/detail.py). `detail` is the bundle's: {noise: share of the range, reach:
 * model pixels}, with which the edits are measured.
 */

import { apply, compose, extract, invert } from "./align.js";
import { edgesOf, maskOf } from "./edges.js";

const ENLARGE = 4; // samples per model pixel: above this, bilinear reading is smooth to the eye
const SIDE = 512; // samples a side that are enough, however many pixels the model has
const GREY = 3; // levels between the channels of a picture without colour, on average
const LOOKED_AT = 4096; // pixels of a picture, to tell
const LUMA = [0.299, 0.587, 0.114];
// The difference counts in full up to this share of the way from the crop's middle to its edge, and fades to
// nothing at the edge
const SOLID = 0.7;

/** Samples per model pixel for a model of size x size pixels. */
export const timesOf = (size) => Math.max(1, Math.min(ENLARGE, Math.floor(SIDE / size)));

/** Whether a picture (RGBA) has no colour. */
export function isGrey({ data }) {
  const step = 4 * Math.max(1, Math.floor(data.length / 4 / LOOKED_AT));
  let sum = 0;
  let count = 0;
  for (let i = 0; i < data.length; i += step) {
    sum += Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]);
    count += 1;
  }
  return sum / count < GREY;
}

/** A change (S, S, 3) without its colour. */
export const greyed = (change) =>
  change.map((_, i) => {
    const pixel = i - (i % 3);
    return LUMA[0] * change[pixel] + LUMA[1] * change[pixel + 1] + LUMA[2] * change[pixel + 2];
  });

/** Weights of the cubic B-spline: the smoothest of the cubic filters, without overshoot. */
function spline(t) {
  const s = 1 - t;
  return [
    (s * s * s) / 6,
    (3 * t * t * t - 6 * t * t + 4) / 6,
    (3 * s * s * s - 6 * s * s + 4) / 6,
    (t * t * t) / 6,
  ];
}

/** Rows of RGB numbers (rows, columns, 3), `times` as long. */
function enlargeRows(values, rows, columns, times) {
  const wide = columns * times;
  const out = new Float32Array(rows * wide * 3);
  for (let x = 0; x < wide; x++) {
    const at = (x + 0.5) / times - 0.5;
    const left = Math.floor(at);
    const [w0, w1, w2, w3] = spline(at - left);
    const [i0, i1, i2, i3] = [-1, 0, 1, 2].map((i) => Math.min(columns - 1, Math.max(0, left + i)) * 3);
    for (let y = 0; y < rows; y++) {
      const from = y * columns * 3;
      const to = (y * wide + x) * 3;
      for (let c = 0; c < 3; c++) {
        const row = from + c;
        out[to + c] =
          w0 * values[row + i0] + w1 * values[row + i1] + w2 * values[row + i2] + w3 * values[row + i3];
      }
    }
  }
  return out;
}

/** RGB numbers (rows, columns, 3) with rows and columns exchanged. */
function transpose(values, rows, columns) {
  const out = new Float32Array(values.length);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const from = (y * columns + x) * 3;
      const to = (x * rows + y) * 3;
      out[to] = values[from];
      out[to + 1] = values[from + 1];
      out[to + 2] = values[from + 2];
    }
  }
  return out;
}

/**
 * How much of the difference counts at (x, y), each from -1 to 1 across the crop: a rounded square with soft
 * edges, so that the crop leaves no seam.
 */
function fade(x, y) {
  const t = Math.min(1, Math.max(0, (1 - Math.cbrt(Math.abs(x) ** 3 + Math.abs(y) ** 3)) / (1 - SOLID)));
  return t * t * (3 - 2 * t);
}

/**
 * Strength of the change at each pixel: the change of the channel that changes most, as a share of the range,
 * mean over `reach` pixels either way.
 */
function strengths(difference, size, reach) {
  const channels = (i) => [0, 1, 2].map((c) => Math.abs(difference[3 * i + c]));
  const most = Float32Array.from({ length: size * size }, (_, i) => Math.max(...channels(i)) / 255);
  const inside = (i) => Math.min(size - 1, Math.max(0, i));
  return most.map((_, i) => {
    let sum = 0;
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++) {
        sum += most[inside(Math.floor(i / size) + dy) * size + inside((i % size) + dx)];
      }
    }
    return sum / (2 * reach + 1) ** 2;
  });
}

/**
 * How much of the change between two RGB pictures of size x size numbers counts at each pixel, 0 to 1:
 * Float32Array (size, size). With noise 0 every change counts.
 */
export function weights(before, after, size, { noise, reach }) {
  if (noise === 0) return new Float32Array(size * size).fill(1);
  const difference = Float32Array.from(after, (value, i) => value - before[i]);
  return strengths(difference, size, reach).map((strength) => {
    const t = Math.min(1, Math.max(0, strength / noise - 0.5));
    return t * t * (3 - 2 * t);
  });
}

/** weight * (after - before): Float32Array (size, size, 3). weight (size, size), or none to count all. */
export function weighed(before, after, weight = null) {
  return Float32Array.from(
    after,
    (value, i) => (value - before[i]) * (weight ? weight[Math.floor(i / 3)] : 1),
  );
}

/**
 * The edit that keeps the detail of a picture of the model's own size: Float32Array (size, size, 3) of
 * original + weight * (after - original), with weight (size, size).
 */
export function keepDetail(original, after, weight) {
  return Float32Array.from(
    after,
    (value, i) => original[i] + weight[Math.floor(i / 3)] * (value - original[i]),
  );
}

/**
 * The outlines of a photograph's crop (edges.js), for a model of size x size pixels. toModel: similarity from
 * the photograph to the model's pixels.
 */
export function outlines(photo, toModel, size) {
  const times = timesOf(size);
  const toField = compose([times, 0, times / 2 - 0.5, times / 2 - 0.5], toModel);
  return edgesOf(extract(photo, toField, size * times, size * times));
}

/**
 * A change (size, size, 3), enlarged smoothly, kept to the outlines of a photograph if any are given, and
 * faded to zero towards the edges: {field: Float32Array (side, side, 3), side} with side = timesOf(size) *
 * size.
 */
export function enlargedChange(difference, size, edges = null) {
  const times = timesOf(size);
  const side = size * times;
  const wide = transpose(enlargeRows(difference, size, size, times), size, side);
  const field = transpose(enlargeRows(wide, side, size, times), side, side);
  const shares = fades(side);
  const mask = edges && maskOf(field, edges, shares);
  for (let i = 0; i < shares.length; i++) {
    const share = mask ? mask[i] * shares[i] : shares[i];
    field[3 * i] *= share;
    field[3 * i + 1] *= share;
    field[3 * i + 2] *= share;
  }
  return { field, side };
}

let faded = new Float32Array(); // of the last side

/** `fade` over a crop of side x side samples. */
function fades(side) {
  if (faded.length === side * side) return faded;
  const across = (i) => (2 * i + 1) / side - 1;
  faded = Float32Array.from({ length: side * side }, (_, i) =>
    fade(across(i % side), across(Math.floor(i / side))),
  );
  return faded;
}

/** The numbers of pixels at (x, y), between the pixels of an RGBA picture, whose border is repeated. */
function readBetween({ data, width, height }, x, y) {
  const left = Math.min(width - 1, Math.max(0, x));
  const top = Math.min(height - 1, Math.max(0, y));
  const i = Math.floor(left);
  const j = Math.floor(top);
  const s = left - i;
  const t = top - j;
  const at = (column, row) => 4 * (Math.min(height - 1, row) * width + Math.min(width - 1, column));
  const corners = [at(i, j), at(i + 1, j), at(i, j + 1), at(i + 1, j + 1)];
  return [0, 1, 2].map((c) => {
    const [a, b, d, e] = corners.map((corner) => data[corner + c]);
    return (a * (1 - s) + b * s) * (1 - t) + (d * (1 - s) + e * s) * t;
  });
}

/**
 * The photograph (RGBA picture) with the change added, as new RGBA bytes. toModel: similarity from the
 * photograph to the model's pixels (align.js); size: the model's. Pixels outside the crop are copied.
 *
 * towards: null, or {share, picture (RGBA), toModel} of a morph: within the crop that share of the photograph
 * gives way to another face.
 */
export function addChange(photo, { field, side }, toModel, size, towards = null) {
  const { data, width, height } = photo;
  const out = new Uint8ClampedArray(data);
  const inverse = invert(toModel);
  const corners = [
    [-0.5, -0.5],
    [size - 0.5, -0.5],
    [-0.5, size - 0.5],
    [size - 0.5, size - 0.5],
  ].map((corner) => apply(inverse, corner));
  const [xs, ys] = [corners.map((p) => p[0]), corners.map((p) => p[1])];
  const left = Math.max(0, Math.floor(Math.min(...xs)));
  const right = Math.min(width - 1, Math.ceil(Math.max(...xs)));
  const top = Math.max(0, Math.floor(Math.min(...ys)));
  const bottom = Math.min(height - 1, Math.ceil(Math.max(...ys)));
  const [a, b, x0, y0] = toModel;
  const back = towards && invert(towards.toModel);
  const across = (value) => (2 * value + 1) / size - 1;
  const times = side / size;
  const last = side - 1;
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const column = a * x - b * y + x0;
      const row = b * x + a * y + y0;
      const u = (column + 0.5) * times - 0.5;
      const v = (row + 0.5) * times - 0.5;
      if (u < 0 || v < 0 || u >= last || v >= last) continue;
      const i = Math.floor(u);
      const j = Math.floor(v);
      const s = u - i;
      const t = v - j;
      const upper = (j * side + i) * 3;
      const lower = upper + 3 * side;
      const to = (y * width + x) * 4;
      const share = back ? towards.share * fade(across(column), across(row)) : 0;
      const other = back ? readBetween(towards.picture, ...apply(back, [column, row])) : null;
      for (let c = 0; c < 3; c++) {
        const above = field[upper + c] * (1 - s) + field[upper + 3 + c] * s;
        const below = field[lower + c] * (1 - s) + field[lower + 3 + c] * s;
        const own = data[to + c];
        const kept = other ? own + share * (other[c] - own) : own;
        out[to + c] = kept + above * (1 - t) + below * t;
      }
    }
  }
  return out;
}
