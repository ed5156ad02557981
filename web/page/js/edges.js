/**
 * Edge-aware mask of an edit in a photograph: what the model changes, within the outlines of the
 * photograph.
 *
 * The model's pixels are few, so its change spills over outlines, and a change of light reaches the
 * background. Two guided filters (He et al. 2010; their fast form, He & Sun 2015) with the photograph as
 * guide mend that. One holds the change that a place has in common with like-coloured places nearby
 * against that of all places nearby: beside hair whose colour changes the background has less, inside
 * one surface it is the same, whatever is drawn there. The other grows the middle of the crop to the
 * outline of the head. Outside the head an edit counts where it draws something, a hat or hair, and not
 * where it changes all of the background alike. facemorph/edges.py is the same, and says what the
 * numbers are.
 */

const COARSE = 64;
const NEAR = 0.04;
const WIDE = 0.15;
const ROUNDS = 3;
const SOFT = 0.003;
const SPILLS = [0.35, 0.85];
const INNER = [0.62, 0.85];
const DRAWN = [0.4, 0.55];

/** 0 up to `low`, 1 from `high` on, smooth between; `low` may be the greater. */
function ramp(value, low, high) {
  const t = Math.min(1, Math.max(0, (value - low) / (high - low)));
  return t * t * (3 - 2 * t);
}

/** Means of values (side, side) along rows over `reach` places either way, the border repeated; turned. */
function boxRows(values, side, reach) {
  const out = new Float64Array(values.length);
  const width = 2 * reach + 1;
  for (let y = 0; y < side; y++) {
    const row = y * side;
    const first = values[row];
    const last = values[row + side - 1];
    let sum = first * (reach + 1);
    for (let i = 1; i <= reach; i++) sum += i < side ? values[row + i] : last;
    for (let x = 0; x < side; x++) {
      out[x * side + y] = sum / width;
      sum += x + reach + 1 < side ? values[row + x + reach + 1] : last;
      sum -= x > reach ? values[row + x - reach] : first;
    }
  }
  return out;
}

const times = (a, b) => a.map((value, i) => value * b[i]);

/** Means of values (side, side) over blocks, at most COARSE a side. */
function coarse(values, side) {
  const count = Math.min(COARSE, side);
  const each = side / count;
  const out = new Float64Array(count * count);
  for (let y = 0; y < side; y++) {
    const row = Math.floor(y / each) * count;
    for (let x = 0; x < side; x++) out[row + ((x / each) | 0)] += values[y * side + x];
  }
  return out.map((value) => value / each ** 2);
}

/** Values (count, count) at side x side places, read between them, the border repeated. */
function fine(values, count, side) {
  const at = Float64Array.from({ length: side }, (_, i) =>
    Math.min(count - 1, Math.max(0, ((i + 0.5) * count) / side - 0.5)),
  );
  const first = Int32Array.from(at);
  const second = first.map((i) => Math.min(count - 1, i + 1));
  const out = new Float64Array(side * side);
  const row = new Float64Array(count);
  for (let y = 0; y < side; y++) {
    const down = at[y] - first[y];
    for (let i = 0; i < count; i++)
      row[i] = values[first[y] * count + i] * (1 - down) + values[second[y] * count + i] * down;
    for (let x = 0; x < side; x++) {
      const along = at[x] - first[x];
      out[y * side + x] = row[first[x]] * (1 - along) + row[second[x]] * along;
    }
  }
  return out;
}

/**
 * Colour guided filter by a picture, [red, green, blue] of Float64Array (side, side) in [0, 1]. reach: a
 * share of its side.
 */
class Guide {
  constructor(fine, fineSide, reach) {
    const picture = fine.map((channel) => coarse(channel, fineSide));
    const side = Math.min(COARSE, fineSide);
    Object.assign(this, { fine, fineSide, picture, side, reach: Math.max(1, Math.round(reach * side)) });
    const [r, g, b] = picture;
    const mean = picture.map((channel) => this.box(channel));
    this.mean = mean;
    const pairs = [
      [r, r, 0, 0],
      [r, g, 0, 1],
      [r, b, 0, 2],
      [g, g, 1, 1],
      [g, b, 1, 2],
      [b, b, 2, 2],
    ];
    const [rr, rg, rb, gg, gb, bb] = pairs.map(([p, q, i, j]) =>
      this.box(times(p, q)).map((value, at) => value - mean[i][at] * mean[j][at] + (i === j ? SOFT : 0)),
    );
    // the inverse, by its adjugate
    this.precision = Array.from({ length: 6 }, () => new Float64Array(r.length));
    const [irr, irg, irb, igg, igb, ibb] = this.precision;
    for (let i = 0; i < r.length; i++) {
      const c0 = gg[i] * bb[i] - gb[i] * gb[i];
      const c1 = gb[i] * rb[i] - rg[i] * bb[i];
      const c2 = rg[i] * gb[i] - gg[i] * rb[i];
      const share = 1 / (rr[i] * c0 + rg[i] * c1 + rb[i] * c2);
      irr[i] = c0 * share;
      irg[i] = c1 * share;
      irb[i] = c2 * share;
      igg[i] = (rr[i] * bb[i] - rb[i] * rb[i]) * share;
      igb[i] = (rg[i] * rb[i] - rr[i] * gb[i]) * share;
      ibb[i] = (rr[i] * gg[i] - rg[i] * rg[i]) * share;
    }
  }

  box(values) {
    return boxRows(boxRows(values, this.side, this.reach), this.side, this.reach);
  }

  /**
   * Of coarse values: slopes along the colours, offset, and what the values would be where the picture is
   * even, their twofold mean.
   */
  coefficients(values) {
    const { picture, mean, precision } = this;
    const [irr, irg, irb, igg, igb, ibb] = precision;
    const average = this.box(values);
    const [r, g, b] = picture.map((channel, c) =>
      this.box(times(channel, values)).map((value, i) => value - mean[c][i] * average[i]),
    );
    const slopes = [r, g, b].map(() => new Float64Array(values.length));
    const offset = new Float64Array(values.length);
    for (let i = 0; i < values.length; i++) {
      slopes[0][i] = irr[i] * r[i] + irg[i] * g[i] + irb[i] * b[i];
      slopes[1][i] = irg[i] * r[i] + igg[i] * g[i] + igb[i] * b[i];
      slopes[2][i] = irb[i] * r[i] + igb[i] * g[i] + ibb[i] * b[i];
      offset[i] =
        average[i] - slopes[0][i] * mean[0][i] - slopes[1][i] * mean[1][i] - slopes[2][i] * mean[2][i];
    }
    return [...slopes, offset, average].map((layer) => this.box(layer));
  }

  /** Coarse values, filtered. */
  filtered(values) {
    return applied(this.coefficients(values), this.picture);
  }

  /** Coarse values filtered in all places of the picture, and their twofold mean. */
  filteredFine(values) {
    const large = this.coefficients(values).map((layer) => fine(layer, this.side, this.fineSide));
    return [applied(large, this.fine), large[4]];
  }
}

function applied([r, g, b, offset], [red, green, blue]) {
  const out = new Float64Array(offset.length);
  for (let i = 0; i < out.length; i++) out[i] = offset[i] + r[i] * red[i] + g[i] * green[i] + b[i] * blue[i];
  return out;
}

/** 1 in the head in the middle of a crop, 0 outside of it, with the outline that the picture has. */
function head(picture, pictureSide) {
  const guide = new Guide(picture, pictureSide, WIDE);
  const { side } = guide;
  const across = (i) => (2 * i + 1) / side - 1;
  const away = Float64Array.from({ length: side * side }, (_, i) =>
    Math.hypot(across(i % side) / INNER[0], across(Math.floor(i / side)) / INNER[1]),
  );
  // In half axes: head for certain up to 0.6, background for certain from 1.9 on
  let found = away.map((far) => ramp(far, 1.35, 0.65));
  for (let round = 1; round < ROUNDS; round++)
    found = guide
      .filtered(found)
      .map((value, i) => Math.min(1, Math.max(0, value, ramp(away[i], 0.8, 0.6))) * ramp(away[i], 1.9, 1.4));
  return guide.filteredFine(found)[0].map((value) => ramp(value, 0.15, 0.55));
}

/** What a mask needs of a crop, a picture of side x side: made once for all its edits. */
export function edgesOf({ data, width: side, channels }) {
  const picture = [0, 1, 2].map((c) =>
    Float64Array.from({ length: side * side }, (_, i) => data[i * channels + c] / 255),
  );
  return { side, near: new Guide(picture, side, NEAR), inside: head(picture, side) };
}

/**
 * How much of a change, `field` (side, side, 3) in levels, counts: Float64Array (side, side). fades (side,
 * side): what counts of the crop at all. The size of the change makes no difference.
 */
export function maskOf(field, { side, near, inside }, fades) {
  const strength = new Float64Array(side * side);
  let room = 0;
  let total = 0;
  let squares = 0;
  for (let i = 0; i < strength.length; i++) {
    const at = 3 * i;
    strength[i] = Math.max(Math.abs(field[at]), Math.abs(field[at + 1]), Math.abs(field[at + 2])) / 255;
    const outside = (1 - inside[i]) * fades[i];
    room += outside;
    total += outside * strength[i];
    squares += outside * strength[i] ** 2;
  }
  const drawn = ramp(total ** 2 / Math.max(room * squares, 1e-12), DRAWN[1], DRAWN[0]);
  const [alike, allNear] = near.filteredFine(coarse(strength, side));
  for (let i = 0; i < alike.length; i++) {
    const own = ramp(alike[i] / Math.max(allNear[i], 1e-9), SPILLS[0], SPILLS[1]);
    alike[i] = own * (inside[i] + (1 - inside[i]) * drawn);
  }
  return alike;
}
