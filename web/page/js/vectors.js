/** Linear algebra on codes: Float32Array (D). Sums are kept in float64. */

export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

export const norm = (a) => Math.sqrt(dot(a, a));

/** a + scale * b, a new Float64Array (D). */
export const plus = (a, b, scale = 1) => Float64Array.from(a, (value, i) => value + scale * b[i]);

/**
 * An orthonormal basis of the span of `vectors` (each D, of any length): Gram-Schmidt, twice for accuracy;
 * what is in the span already is dropped.
 */
export function orthonormal(vectors) {
  const basis = [];
  for (const vector of vectors) {
    const rest = projectOff(projectOff(vector, basis), basis);
    const length = norm(rest);
    if (length > 1e-6 * norm(vector)) basis.push(rest.map((value) => value / length));
  }
  return basis;
}

/** `vector` (D) without its part in the span of the orthonormal `basis`. */
export function projectOff(vector, basis) {
  const rest = Float64Array.from(vector);
  for (const axis of basis) {
    const along = dot(rest, axis);
    for (let i = 0; i < rest.length; i++) rest[i] -= along * axis[i];
  }
  return rest;
}

/**
 * A code after an edit. steps: [{unit (D), size: code units to move, locked}], in the order in which locked
 * ones span what is kept.
 *
 * A locked step is taken as it is; the sum of all others is projected off the span of the locked directions,
 * so nothing that is moved can move along them (Shen et al., "Interpreting the Latent Space of GANs for
 * Semantic Face Editing", CVPR 2020, section 2.3).
 */
export function edited(code, steps) {
  const basis = orthonormal(steps.filter((step) => step.locked).map((step) => step.unit));
  let free = new Float64Array(code.length);
  let out = Float64Array.from(code);
  for (const { unit, size, locked } of steps) {
    if (locked) out = plus(out, unit, size);
    else free = plus(free, unit, size);
  }
  return Float32Array.from(plus(out, projectOff(free, basis)));
}

/**
 * From code a to code b along an arc about the mean m, t from 0 to 1 (White, "Sampling Generative Networks",
 * 2016): lengths blend, the angle is even.
 */
export function arc(from, to, mean, t) {
  const [a, b] = [plus(from, mean, -1), plus(to, mean, -1)];
  const [la, lb] = [norm(a), norm(b)];
  const angle = la < 1e-6 || lb < 1e-6 ? 0 : Math.acos(Math.min(1, Math.max(-1, dot(a, b) / (la * lb))));
  const turn = Math.sin(angle);
  if (turn < 1e-4) return Float32Array.from(from, (value, i) => (1 - t) * value + t * to[i]);
  const radius = (1 - t) * la + t * lb;
  const [wa, wb] = [
    (radius * Math.sin((1 - t) * angle)) / (turn * la),
    (radius * Math.sin(t * angle)) / (turn * lb),
  ];
  return Float32Array.from(mean, (value, i) => value + wa * a[i] + wb * b[i]);
}

/** 32-bit mixer "lowbias32" (Wellons 2018). */
function mix(word) {
  const once = Math.imul(word ^ (word >>> 16), 0x7feb352d);
  const twice = Math.imul(once ^ (once >>> 15), 0x846ca68b);
  return (twice ^ (twice >>> 16)) >>> 0;
}

/** Numbers in (0, 1) of a seed (0 to 2^32 - 1), by their index: hashed counters. */
function uniform(seed) {
  const key = mix(seed ^ 0x9e3779b9);
  return (i) => (mix(mix(i + 1) + key) + 0.5) / 4294967296;
}

/** A place in a list of `count`, of a seed: the same here and on the server. */
export function place(seed, count) {
  return Math.floor(uniform(seed)(0) * count);
}

/**
 * `count` standard normal numbers of a seed (0 to 2^32 - 1), the same here and on the server: Box-Muller on
 * hashed counters.
 */
export function normals(seed, count) {
  const unit = uniform(seed);
  const out = new Float64Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(unit(i)));
    const angle = 2 * Math.PI * unit(i + 1);
    out[i] = radius * Math.cos(angle);
    if (i + 1 < count) out[i + 1] = radius * Math.sin(angle);
  }
  return out;
}
