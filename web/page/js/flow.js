/**
 * Edits along a flow of codes (facemorph/flow_editor.py): a code goes to noise under its own labels, and
 * comes back under others. Arithmetic is float64; the velocity is two networks.
 */

import { Forms } from "./forms.js";
import { dot } from "./vectors.js";

/** Of arrays.safetensors, with flow_ before them. */
export const ARRAYS = [
  "mean",
  "label_mean",
  "slopes",
  "inward",
  "outward",
  "pair_mean",
  "pairs",
  "interplay",
  "kinds",
  "compensation", // absent where it was not measured
  "form_normals",
  "form_intercepts",
  "form_lots",
  "form_edges",
];
const FACES = 8; // whose noise is remembered
const WAYS = 16; // sets of conditions whose modulations are

/** a + scale * b (K). */
const plus = (a, b, scale) => a.map((value, i) => value + scale * b[i]);

/** What x (K) gains from `time` to `end` by one step of the midpoint rule; backwards if `end` is earlier. */
async function midpoint(slope, x, time, end) {
  const step = end - time;
  const half = plus(x, await slope(x, time), step / 2);
  return (await slope(half, time + step / 2)).map((value) => step * value);
}

/** Sum of the rows (D each) of `matrix`, each times its weight. */
function combined(weights, matrix, length) {
  const out = new Float64Array(length);
  weights.forEach((weight, row) => {
    for (let i = 0; i < length; i++) out[i] += weight * matrix[row * length + i];
  });
  return out;
}

export class Flow {
  #noises = []; // {code, noise} of the last faces, the newest first
  #ways = []; // {conditions, modulations} of the last sets of conditions, the newest first

  /**
   * Its conditions (C) are the labels (A) and behind them their forms (F).
   *
   * arrays: mean (D), label_mean (C), slopes (C * D), inward, outward (K * D), pair_mean (C (C - 1) / 2),
   * pairs (C (C - 1) / 2 * K), interplay (C * L * K), kinds (2 * C * R * K), compensation (A * A) or none,
   * and those of Forms; networks: null where nothing is edited, else modulation: (times (B), labels (B * C))
   * -> Promise of (B * M), and velocity: (x (B * K), times (B), modulation (B * M)) -> Promise of (B * K),
   * all Float32Array.
   */
  constructor(arrays, { attributes, forms, steps, coupling }, networks) {
    Object.assign(this, arrays, { steps, coupling }, networks);
    this.forms = new Forms(forms, attributes, arrays);
    this.length = arrays.mean.length;
    this.axes = arrays.inward.length / this.length;
    this.leading = arrays.interplay.length / (this.axes * arrays.label_mean.length);
    this.ranks = arrays.kinds.length / (2 * this.axes * arrays.label_mean.length);
  }

  /** Promise of the modulations under conditions (C) at the ends and middles of the solver's steps: rows. */
  async #modulations(conditions) {
    const known = this.#ways.find((one) => one.conditions.every((value, a) => value === conditions[a]));
    const modulations = known?.modulations ?? (await this.#modulated(conditions));
    const others = this.#ways.filter((one) => one !== known);
    const own = known?.conditions ?? Array.from(conditions);
    this.#ways = [{ conditions: own, modulations }, ...others].slice(0, WAYS);
    return modulations;
  }

  async #modulated(conditions) {
    const count = 2 * this.steps + 1;
    const times = Float32Array.from({ length: count }, (_, k) => k / (count - 1));
    const all = new Float32Array(count * conditions.length);
    for (let k = 0; k < count; k++) all.set(conditions, k * conditions.length);
    const found = await this.modulation(times, all);
    const length = found.length / count;
    return Array.from(times, (_, k) => found.slice(k * length, (k + 1) * length));
  }

  /** Promise of velocities at x (K) under each of the `conditions` (each C), at a time of `#modulations`. */
  async #velocities(x, time, conditions) {
    const count = conditions.length;
    const places = new Float32Array(count * x.length);
    const rows = [];
    for (const condition of conditions)
      rows.push((await this.#modulations(condition))[Math.round(2 * this.steps * time)]);
    const modulation = new Float32Array(count * rows[0].length);
    rows.forEach((values, row) => {
      places.set(x, row * x.length);
      modulation.set(values, row * values.length);
    });
    const found = await this.velocity(places, new Float32Array(count).fill(time), modulation);
    return conditions.map((_, row) =>
      Float64Array.from(found.subarray(row * x.length, (row + 1) * x.length)),
    );
  }

  /** Labels less their means, 0 where they are not `known` (C). */
  #centred(conditions, known) {
    return conditions.map((label, a) => (known[a] ? label - this.label_mean[a] : 0));
  }

  /** What pairs of conditions say together, along the flow's axes (K). */
  #together(conditions, known) {
    const y = this.#centred(conditions, known);
    const products = [];
    for (let i = 0; i < y.length; i++)
      for (let j = i + 1; j < y.length; j++)
        products.push(known[i] && known[j] ? y[i] * y[j] - this.pair_mean[products.length] : 0);
    return combined(products, this.pairs, this.axes);
  }

  /** What conditions say of a face with the leading coordinates of x (K). */
  #withLeading(conditions, known, x) {
    const leading = Array.from(x.subarray(0, this.leading));
    const products = Array.from(this.#centred(conditions, known)).flatMap((y) => leading.map((l) => y * l));
    return combined(products, this.interplay, this.axes);
  }

  /** Both. */
  #interactions(conditions, known, x) {
    return plus(this.#together(conditions, known), this.#withLeading(conditions, known, x), 1);
  }

  /** Labels (A), and the forms of a code (D) that has them, as one array (C). */
  conditions(code, labels) {
    return Float64Array.from([...labels, ...this.forms.read(code, labels)]);
  }

  /** What no condition (C) says of a code by regression, along the flow's axes (K). */
  rest(code, conditions) {
    const known = conditions.map((label) => label !== 0);
    const linear = combined(this.#centred(conditions, known), this.slopes, this.length);
    const beyond = Float64Array.from(code, (value, i) => value - this.mean[i] - linear[i]);
    const row = (k) => this.inward.subarray(k * this.length, (k + 1) * this.length);
    const along = Float64Array.from({ length: this.axes }, (_, k) => dot(row(k), beyond));
    const x = plus(along, this.#together(conditions, known), -1);
    return plus(x, this.#withLeading(conditions, known, x), -1);
  }

  /** A code (D) without its mean and without what labels (A) and forms say of it, along the flow's axes. */
  untold(code, labels) {
    return combined(this.rest(code, this.conditions(code, labels)), this.outward, this.length);
  }

  /** Promise of the noise, both states of the solver, from which a code with these conditions comes. */
  async #abducted(code, conditions) {
    const slope = async (x, time) => (await this.#velocities(x, time, [conditions]))[0];
    let first = this.rest(code, conditions);
    let second = first;
    for (let number = this.steps - 1; number >= 0; number--) {
      const [begin, end] = [number / this.steps, (number + 1) / this.steps];
      second = plus(second, await midpoint(slope, first, end, begin), 1);
      const gained = await midpoint(slope, second, begin, end);
      const part = 1 - this.coupling;
      first = first.map((value, i) => (value - (part * second[i] + gained[i])) / this.coupling);
    }
    return [first, second];
  }

  /** Promise of a code's noise; that of the last few is remembered. */
  async #noise(code, conditions) {
    const known = this.#noises.find((one) => one.code.every((value, i) => value === code[i]));
    const noise = known?.noise ?? (await this.#abducted(code, conditions));
    const others = this.#noises.filter((one) => one !== known);
    this.#noises = [{ code, noise }, ...others].slice(0, FACES);
    return noise;
  }

  /** Promise of where noise, both states of the solver, arrives along `slope` (K). */
  async #walked([first, second], slope) {
    let [a, b] = [first, second];
    for (let number = 0; number < this.steps; number++) {
      const [begin, end] = [number / this.steps, (number + 1) / this.steps];
      const gained = await midpoint(slope, b, begin, end);
      const other = b;
      a = a.map((value, i) => this.coupling * value + (1 - this.coupling) * other[i] + gained[i]);
      b = plus(b, await midpoint(slope, a, end, begin), -1);
    }
    return a;
  }

  /**
   * A state of noise (K) without what only faces of a label that goes differ in; conditions change by
   * `change` (C).
   */
  #withoutKinds(noise, change) {
    let left = noise;
    change.forEach((amount, a) => {
      if (!amount) return;
      const begin = ((amount > 0 ? change.length : 0) + a) * this.ranks;
      const axes = this.kinds.subarray(begin * this.axes, (begin + this.ranks) * this.axes);
      const row = (r) => axes.subarray(r * this.axes, (r + 1) * this.axes);
      const along = Array.from({ length: this.ranks }, (_, r) => dot(row(r), left));
      left = plus(left, combined(along, axes, this.axes), -Math.min(Math.abs(amount), 1));
    });
    return left;
  }

  /**
   * Conditions `end` (C) of an edit of a face with `conditions` (C), with what other known labels do so that
   * the way there brings nothing along.
   */
  #compensated(conditions, end) {
    if (!this.compensation) return end;
    const count = Math.sqrt(this.compensation.length);
    const change = end.slice(0, count).map((label, a) => label - conditions[a]);
    const shift = combined(change, this.compensation, count);
    return end.map((label, a) => (a < count && conditions[a] !== 0 ? label + shift[a] : label));
  }

  /** Promise of the code of a new face with these labels (A), from standard normal noise (K). */
  async sample(labels, noise) {
    const asked = Float64Array.from([...labels, ...this.forms.ofNoise(labels, noise)]);
    const slope = async (x, time) => (await this.#velocities(x, time, [asked]))[0];
    const known = asked.map((label) => label !== 0);
    const end = await this.#walked([noise, noise], slope);
    const along = combined(plus(end, this.#interactions(asked, known, end), 1), this.outward, this.length);
    const told = combined(this.#centred(asked, known), this.slopes, this.length);
    return Float32Array.from(this.mean, (value, i) => value + told[i] + along[i]);
  }

  /** Promise of what a code (D) with labels (A) gains by a move (labels.js). */
  async gain(code, labels, asked) {
    const own = this.conditions(code, labels);
    const noise = await this.#noise(code, own);
    const forms = own.subarray(labels.length);
    const [start, goal] = [asked.start, asked.goal].map((end) =>
      Float64Array.from([...end, ...this.forms.after(labels, forms, end, noise[0])]),
    );
    return this.#gained(code, own, noise, { start, goal, strength: asked.strength });
  }

  /** The same of conditions (C), of the face and of the move, from its noise. */
  async #gained(code, conditions, whence, { start, goal, strength }) {
    const plain = start.every((label, a) => label === conditions[a]);
    const [there, begin] = [goal, start].map((end) => this.#compensated(conditions, end));
    const told = plain ? [conditions, there] : [conditions, there, begin];
    const slope = async (x, time) => {
      const found = await this.#velocities(x, time, told);
      const from = found[plain ? 0 : 2];
      return found[0].map((value, i) => value + strength * (found[1][i] - from[i]));
    };
    const change = goal.map((label, a) => strength * (label - start[a]));
    const half = Array.from(change, (amount) => amount / 2);
    const noise = whence.map((state) => this.#withoutKinds(state, half));
    const end = await this.#walked(noise, slope);
    const x = this.rest(code, conditions);
    const known = conditions.map((label) => label !== 0);
    const asked = known.map((is, a) => is || goal[a] !== start[a]);
    const own = plus(
      plus(end, this.#interactions(conditions, known, end), 1),
      plus(x, this.#interactions(conditions, known, x), 1),
      -1,
    );
    const turn = plus(this.#interactions(there, asked, end), this.#interactions(begin, asked, end), -1);
    const step = there.map((label, a) => strength * (label - begin[a]));
    const linear = combined(step, this.slopes, this.length);
    return plus(linear, combined(plus(own, turn, strength), this.outward, this.length), 1);
  }
}
