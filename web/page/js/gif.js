/**
 * A GIF89a encoder: one palette for all frames, so that what does not move does not flicker, and of each
 * frame but the first only the pixels that differ from the one before.
 */

/** Bytes of growing length. */
class Bytes {
  #data = new Uint8Array(1 << 16);
  length = 0;

  push(byte) {
    if (this.length === this.#data.length) {
      const larger = new Uint8Array(2 * this.#data.length);
      larger.set(this.#data);
      this.#data = larger;
    }
    this.#data[this.length++] = byte;
  }

  all(bytes) {
    for (const byte of bytes) this.push(byte);
  }

  short(value) {
    this.push(value & 0xff);
    this.push(value >> 8);
  }

  text(text) {
    for (const char of text) this.push(char.charCodeAt(0));
  }

  /** Data in sub-blocks of at most 255 bytes, closed by an empty one. */
  blocks(bytes) {
    for (let at = 0; at < bytes.length; at += 255) {
      const part = bytes.subarray(at, at + 255);
      this.push(part.length);
      this.all(part);
    }
    this.push(0);
  }

  done() {
    return this.#data.slice(0, this.length);
  }
}

const BITS = 5; // of each channel that colours are told apart by while the palette is chosen
const bin = (r, g, b) => ((r >> (8 - BITS)) << (2 * BITS)) | ((g >> (8 - BITS)) << BITS) | (b >> (8 - BITS));

/**
 * Up to 256 colours for RGB frames by median cut (Heckbert 1982), each box split where its spread-weighted
 * population is largest.
 */
export function palette(frames, limit = 256) {
  const sums = new Float64Array(4 << (3 * BITS));
  for (const frame of frames) {
    for (let i = 0; i < frame.length; i += 3) {
      const at = 4 * bin(frame[i], frame[i + 1], frame[i + 2]);
      sums[at] += 1;
      for (let c = 0; c < 3; c++) sums[at + 1 + c] += frame[i + c];
    }
  }
  const colours = [];
  for (let at = 0; at < sums.length; at += 4) {
    if (sums[at]) colours.push({ count: sums[at], rgb: [1, 2, 3].map((c) => sums[at + c] / sums[at]) });
  }
  const measure = (box) => {
    const count = box.reduce((sum, colour) => sum + colour.count, 0);
    const spreads = [0, 1, 2].map((c) => {
      const mean = box.reduce((sum, colour) => sum + colour.count * colour.rgb[c], 0) / count;
      return box.reduce((sum, colour) => sum + colour.count * (colour.rgb[c] - mean) ** 2, 0);
    });
    const axis = spreads.indexOf(Math.max(...spreads));
    return { box, axis, error: box.length > 1 ? spreads[axis] : -1, count };
  };
  const boxes = [measure(colours)];
  while (boxes.length < limit) {
    const worst = boxes.reduce((best, box, i) => (box.error > boxes[best].error ? i : best), 0);
    if (boxes[worst].error <= 0) break;
    const { box, axis, count } = boxes[worst];
    box.sort((a, b) => a.rgb[axis] - b.rgb[axis]);
    let [cut, seen] = [0, 0];
    while (cut < box.length - 1 && (seen + box[cut].count <= count / 2 || cut === 0))
      seen += box[cut++].count;
    boxes.splice(worst, 1, measure(box.slice(0, cut)), measure(box.slice(cut)));
  }
  return boxes.map(({ box, count }) =>
    [0, 1, 2].map((c) =>
      Math.round(box.reduce((sum, colour) => sum + colour.count * colour.rgb[c], 0) / count),
    ),
  );
}

const BAYER = [0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5].map((value) => (value + 0.5) / 16 - 0.5);
// Levels of ordered dithering: hides bands, and unlike error diffusion stands still from frame to frame
const DITHER = 6;

const byte = (value) => (value < 0 ? 0 : value > 255 ? 255 : value | 0);

function nearest(r, g, b, colours) {
  let [best, index] = [Infinity, 0];
  for (let i = 0; i < colours.length; i++) {
    const [cr, cg, cb] = colours[i];
    const distance = (r - cr) ** 2 + (g - cg) ** 2 + (b - cb) ** 2;
    if (distance < best) [best, index] = [distance, i];
  }
  return index;
}

/**
 * Palette indices of an RGB frame (width x height), dithered; `seen` remembers the nearest colour of each bin
 * between frames.
 */
function quantise(frame, width, colours, seen) {
  const out = new Uint8Array(frame.length / 3);
  for (let pixel = 0; pixel < out.length; pixel++) {
    const shift = DITHER * BAYER[((((pixel / width) | 0) & 3) << 2) | ((pixel % width) & 3)];
    const r = byte(frame[3 * pixel] + shift);
    const g = byte(frame[3 * pixel + 1] + shift);
    const b = byte(frame[3 * pixel + 2] + shift);
    const key = ((r >> 2) << 12) | ((g >> 2) << 6) | (b >> 2);
    if (seen[key] < 0) seen[key] = nearest(r, g, b, colours);
    out[pixel] = seen[key];
  }
  return out;
}

/** LZW as GIF wants it (Welch 1984; GIF89a, appendix F): codes of growing width, lowest bit first. */
export function lzw(indices, bits) {
  const out = new Bytes();
  const [clear, end] = [1 << bits, (1 << bits) + 1];
  let [width, next, buffer, held] = [bits + 1, end + 1, 0, 0];
  let table = new Map();
  const emit = (code) => {
    buffer |= code << held;
    held += width;
    while (held >= 8) {
      out.push(buffer & 0xff);
      buffer >>>= 8;
      held -= 8;
    }
  };
  emit(clear);
  let prefix = indices[0];
  for (let i = 1; i < indices.length; i++) {
    const key = (prefix << 8) | indices[i];
    const known = table.get(key);
    if (known !== undefined) {
      prefix = known;
      continue;
    }
    emit(prefix);
    if (next < 4096) {
      if (next === 1 << width) width += 1;
      table.set(key, next++);
    } else {
      emit(clear);
      table = new Map();
      [width, next] = [bits + 1, end + 1];
    }
    prefix = indices[i];
  }
  emit(prefix);
  if (next === 1 << width && width < 12) width += 1;
  emit(end);
  if (held) out.push(buffer & 0xff);
  return out.done();
}

/**
 * A looping GIF. frames: RGB byte arrays of width x height, of which one may come more than once; delay:
 * hundredths of a second per frame, or one for each; comment: ASCII, kept in the file.
 */
export function encodeGif(frames, width, height, delay, comment) {
  const colours = palette([...new Set(frames)], 255);
  const same = colours.length; // the index of a pixel that stays as it is
  const bits = Math.max(2, Math.ceil(Math.log2(same + 1)));
  const out = new Bytes();
  out.text("GIF89a");
  out.short(width);
  out.short(height);
  out.all([0xf0 | (bits - 1), 0, 0]);
  for (let i = 0; i < 1 << bits; i++) out.all(colours[i] ?? [0, 0, 0]);
  out.all([0x21, 0xff, 11]);
  out.text("NETSCAPE2.0");
  out.all([3, 1, 0, 0, 0]);
  out.all([0x21, 0xfe]);
  out.blocks(Uint8Array.from(comment, (char) => char.charCodeAt(0)));
  const seen = new Int16Array(1 << 18).fill(-1);
  const indices = new Map(); // frame -> palette indices, since a frame may come more than once
  let before = null;
  frames.forEach((frame, i) => {
    if (!indices.has(frame)) indices.set(frame, quantise(frame, width, colours, seen));
    const now = indices.get(frame);
    const shown = before ? now.map((index, pixel) => (index === before[pixel] ? same : index)) : now;
    before = now;
    out.all([0x21, 0xf9, 4, 5]); // keep the frame before; there is an index that shows it
    out.short(Array.isArray(delay) ? delay[i] : delay);
    out.all([same, 0, 0x2c, 0, 0, 0, 0]);
    out.short(width);
    out.short(height);
    out.all([0, bits]);
    out.blocks(lzw(shown, bits));
  });
  out.push(0x3b);
  return out.done();
}
