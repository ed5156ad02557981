/** The export folder, read: what the model is, its attributes, and the arrays behind them (web/API.md). */

import { untold } from "./direction.js";
import { ARRAYS, Flow } from "./flow.js";
import { move, placed, read, settled } from "./labels.js";
import { pValue, shrunk, statistics } from "./likeness.js";
import { dot, edited, normals, orthonormal, place, plus, projectOff } from "./vectors.js";

/** An answer of the server, or a sentence for a person. */
export async function get(url) {
  let answer;
  try {
    answer = await fetch(url);
  } catch {
    throw new Error(`${url} cannot be reached.`);
  }
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${answer.statusText}`.trim());
  return answer;
}

export const FORMAT = 5;
const STEP = 0.05; // of a slider
const REACH = 2; // changes of the label to which a strength goes at most, either way,
const BEYOND = 0.5; // and a slider beyond those that turn the face
const LACKS = 3; // of the first sliders that a face is said to lack, at most
export const NOTABLE = 0.1; // changes of a label that are shown where another slider brought them
const MOST_NAMED = 3; // such changes that are put into words
const SIZES = [
  [0.6, "much "],
  [0.25, ""],
  [0, "a little "],
]; // least change of a label, and how it is called
const SEVERAL = 16; // new faces at least, one of which is picked where labels are asked for
const SURE = 0.9; // lower end of a direction's AUROC from which a slider is called clear,
const FAIR = 0.7; // and from which fair; below it is faint
const SEEN = 0.5; // label from which on the model is said to see something

/** An attribute's absence in words: "no glasses", and of "no beard" "beard". */
const without = (label) => (label.startsWith("no ") ? label.slice(3) : `no ${label}`);

/** A label of a measured attribute as the value that it stands for, with its unit: "62%", "−12°". */
export function reading({ unit, low, high }, label) {
  const value = Math.round(low + ((label + 1) / 2) * (high - low));
  return `${value < 0 ? "−" : ""}${Math.abs(value)}${unit}`;
}

/** A slider's quality in a word, by the lower end of its direction's AUROC; "" where that is not known. */
export function qualityOf(sure) {
  if (sure === null || sure === undefined) return "";
  if (sure >= SURE) return "clear";
  return sure >= FAIR ? "fair" : "faint";
}

/** A step of a slider, and where it ends: at `reach`, on a whole step. */
export const sliderSteps = (reach) => ({
  step: STEP,
  end: Number(Math.max(1, Math.round(reach / STEP) * STEP).toFixed(2)),
});

/**
 * The arrays of a safetensors file (ArrayBuffer), all of float32: {name: Float32Array}. The file is a length
 * (u64), that many bytes of JSON that say where each array lies, and the arrays.
 */
export function tensors(bytes) {
  const start = 8 + Number(new DataView(bytes).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, start - 8)));
  delete header.__metadata__;
  const array = ([from, to]) => new Float32Array(bytes, start + from, (to - from) / 4);
  return Object.fromEntries(Object.entries(header).map(([name, at]) => [name, array(at.data_offsets)]));
}

export class Bundle {
  /**
   * description: bundle.json; bytes: ArrayBuffer of arrays.safetensors; third: quality.json, {} where
   * nothing was measured. Throws on another format.
   */
  constructor(
    description,
    bytes,
    { reconstruction = {}, error_reduction: removed = {}, guarantee = {} } = {},
  ) {
    if (description.format !== FORMAT)
      throw new Error(`This page reads exports of format ${FORMAT}, this one is ${description.format}.`);
    Object.assign(this, description, { quality: reconstruction, guarantee });
    this.attributes = description.attributes.map((one) => ({
      ...one,
      reach: REACH,
      error_reduction: removed[one.name] ?? null,
    }));
    this.length = description.model.code_length;
    this.size = description.model.size;
    this.decoder = description.files["decoder.onnx"].sha256;
    this.values = tensors(bytes);
    for (const name of ["mean", "factor", "residual"]) this.values[`prior_${name}`] ??= this.values[name];
    this.byName = new Map(
      this.attributes.map((attribute, row) => [
        attribute.name,
        { ...attribute, unit: this.row("directions", row) },
      ]),
    );
  }

  static async open(json, arrays) {
    const [description, bytes, quality] = await Promise.all([
      get(json).then((answer) => answer.json()),
      get(arrays).then((answer) => answer.arrayBuffer()),
      get("export/quality.json").then((answer) => answer.json()),
    ]);
    return new Bundle(description, bytes, quality);
  }

  /**
   * How like the training faces a picture is: the share of such faces that are at least as strange; null
   * where too few could say. crop (picture), drawn (S * S * 3 numbers), code.
   */
  pValue(crop, drawn, code) {
    if (!this.likeness) return null;
    return pValue(statistics(crop, drawn, code, this.values), this.likeness, this.values.likeness_scores);
  }

  /**
   * The strengths [from, to] of an attribute's slider that are promised of a face with this label of it, 1
   * with to -1 without, and this p-value, null for a face as the data's; null where nothing is promised.
   */
  promised(name, label, p) {
    const range = this.guarantee.ranges?.[name]?.[label > 0 ? "remove" : "add"];
    if (typeof range?.low !== "number") return null;
    const [low, high] = shrunk([range.low, range.high], this.likeness ? p : null, this.likeness) ?? [];
    if (low === undefined) return null;
    return label > 0 ? [-high, -low] : [low, high];
  }

  /**
   * Where faces lie along an attribute's slider, in strengths, for a face as `promised` takes it: {turns:
   * those that turn its label, from without to with, ends: a little beyond them, as far as what is promised,
   * on whole steps, promised}.
   */
  reaches(name, label, p) {
    const turns = [-(1 + label) / 2, (1 - label) / 2];
    const promised = this.promised(name, label, p);
    const low = Math.min(turns[0] - BEYOND, ...(promised ?? []));
    const high = Math.max(turns[1] + BEYOND, ...(promised ?? []));
    const outwards = (value) => Number(Math.min(REACH, Math.ceil(value / STEP) * STEP).toFixed(2));
    return { turns, ends: [-outwards(-low), outwards(high)], promised };
  }

  /**
   * What a link says of the model that it was made with: the format, and what changes with faces or sliders.
   */
  get mark() {
    const drawing = Object.entries(this.files).filter(([name]) => name !== "encoder.onnx");
    const names = drawing.map(([name]) => name).sort();
    const hashes = names.map((name) => this.files[name].sha256.slice(0, 6));
    return [`${FORMAT}.`, ...hashes].join("");
  }

  /**
   * The base to start from: the preset most like the training faces, whose code lies nearest to their mean in
   * standard deviations, since that is what the model draws and edits best; else a random face.
   */
  get first() {
    const { mean, std } = this.values;
    const far = this.presets.map((_, index) =>
      this.row("presets", index).reduce((sum, value, i) => sum + ((value - mean[i]) / std[i]) ** 2, 0),
    );
    if (!far.length) return { kind: "seed", seed: 1 };
    return { kind: "preset", index: far.indexOf(Math.min(...far)) };
  }

  /** What most sets a preset apart, in labels: of the first sliders, those whose label the model sees. */
  looks(index) {
    const labels = this.labels(this.row("presets", index));
    return this.attributes
      .filter(({ name, telling, judgemental }) => telling && !judgemental && labels.get(name) > SEEN)
      .toSorted((a, b) => labels.get(b.name) - labels.get(a.name))
      .slice(0, 3)
      .map(({ label }) => label);
  }

  /**
   * What the model sees in a face with these labels, in words: what it has, and which of the first sliders it
   * lacks. Judgements of looks are left out, what goes without saying beside something surer, and measures,
   * whose values stand at their sliders.
   */
  sees(labels) {
    const sure = (name) => (name.startsWith("-") ? -labels.get(name.slice(1)) : labels.get(name));
    const ruledOut = (name) =>
      this.editor.exclusive.some(
        (pair) => pair.includes(name) && pair.some((other) => sure(other) > Math.max(SEEN, sure(name))),
      );
    const fair = this.attributes.filter(
      ({ judgemental, measure, name }) => !judgemental && !measure && !ruledOut(name),
    );
    const has = fair.filter(({ name }) => labels.get(name) > SEEN).map(({ label }) => label.toLowerCase());
    const lacks = fair
      .filter(({ name, telling }) => telling && labels.get(name) < -SEEN)
      .slice(0, LACKS)
      .map(({ label }) => without(label.toLowerCase()));
    const words = [...has, ...lacks];
    return words.toSorted((a, b) => a.startsWith("no ") - b.startsWith("no ")).join(", ");
  }

  /** An attribute, or with sign < 0 its absence, in words. */
  word(name, sign) {
    const label = this.byName.get(name).label.toLowerCase();
    return sign > 0 ? label : without(label);
  }

  /** Labels that a person asks for, {name: 1 or -1}, in words; "" for none. */
  worded(wanted = {}) {
    return Object.entries(wanted)
      .map(([name, sign]) => this.word(name, sign))
      .join(", ");
  }

  /**
   * What changed between labels `before` and `after` besides the sliders that moved: the largest three,
   * judgements of looks left out, [{name, change of the label, words}].
   */
  alsoChanged(before, after, moved) {
    return this.attributes
      .filter(({ name, judgemental }) => !judgemental && !moved.includes(name))
      .map(({ name }) => ({ name, change: (after.get(name) - before.get(name)) / 2 }))
      .filter(({ change }) => Math.abs(change) >= NOTABLE)
      .toSorted((a, b) => Math.abs(b.change) - Math.abs(a.change))
      .slice(0, MOST_NAMED)
      .map(({ name, change }) => ({ name, change, words: this.#changeInWords(name, change) }));
  }

  #changeInWords(name, change) {
    const { label, measure } = this.byName.get(name);
    if (measure) {
      const size = Math.round(Math.abs(change) * (measure.high - measure.low));
      return `${label.toLowerCase()} ${change > 0 ? "+" : "−"}${size}${measure.unit}`;
    }
    const size = SIZES.find(([least]) => Math.abs(change) >= least)[1];
    const [noun, more] = this.#noun(name, change);
    return `${size}${more ? "more" : "less"} ${noun}`;
  }

  /** What an attribute names, without a "no" before it, and whether a change of its label gives it. */
  #noun(name, change) {
    const label = this.byName.get(name).label.toLowerCase();
    return label.startsWith("no ") ? [without(label), change < 0] : [label, change > 0];
  }

  /** What a slider gives or takes where it goes to `sign`, in words: "beard", "less smile". */
  given(name, sign) {
    const [noun, more] = this.#noun(name, sign);
    return more ? noun : `less ${noun}`;
  }

  /** Pairs of sliders that claim what cannot be together, as they are set: [[name, name]]. */
  opposed(strengths) {
    const claims = (end) => {
      const away = end.startsWith("-");
      const strength = strengths[away ? end.slice(1) : end] ?? 0;
      return away ? strength < 0 : strength > 0;
    };
    return this.editor.exclusive
      .filter((pair) => pair.every(claims))
      .map((pair) => pair.map((end) => end.replace(/^-/, "")));
  }

  /**
   * Labels {name: 1 or -1} from words by commas, "bald, glasses, no smile". Throws where one is no
   * attribute's.
   */
  wanted(text) {
    const known = new Map();
    for (const { name, label } of this.attributes)
      for (const words of [name.replaceAll("_", " ").toLowerCase(), label.toLowerCase()]) {
        known.set(without(words), [name, -1]);
        known.set(words, [name, 1]);
      }
    const asked = text
      .toLowerCase()
      .split(",")
      .map((part) => part.trim());
    return Object.fromEntries(
      asked.filter(Boolean).map((words) => {
        const found = known.get(words) ?? known.get(words.replace(/^(not?|without) (an? )?/, "no "));
        if (!found)
          throw new Error(`No slider is called “${words}”: write it as they do, such as “glasses”.`);
        return found;
      }),
    );
  }

  /** Row i of an array of rows of length D. */
  row(name, i) {
    return this.values[name].subarray(i * this.length, (i + 1) * this.length);
  }

  rows(name) {
    return this.values[name].length / this.length;
  }

  /**
   * The codes of the two sides of a slider to be made, [[code], [code]]: where a flow edits, without what
   * their labels say (direction.js). locked: names.
   */
  untold(sides, locked) {
    if (this.editor.kind !== "flow") return sides;
    const arrays = Object.fromEntries(ARRAYS.map((name) => [name, this.values[`flow_${name}`]]));
    const held = this.editor.attributes.map((name) => locked.includes(name));
    return untold(sides, new Flow(arrays, this.editor, null), (code) => this.#read(code), held);
  }

  /** The label of each attribute that the model reads off a code: Map of name -> 1 with to -1 without. */
  labels(code) {
    const labels = this.#read(code);
    return new Map(this.editor.attributes.map((name, a) => [name, labels[a]]));
  }

  #read(code) {
    const rows = this.editor.attributes.map((_, a) => this.row("readout_normals", a));
    return read(code, rows, this.values.readout_intercepts);
  }

  /** What labels rule out of one another, as labels.js takes it. */
  get #ruledOut() {
    const { attributes, exclusive, exhaustive } = this.editor;
    return { pairs: placed(exclusive, attributes), exhaustive: placed(exhaustive, attributes) };
  }

  /** {labels (A) of an edit's code, what its sliders ask of them (labels.js)}. */
  #asked({ code, strengths, locked }) {
    const { attributes } = this.editor;
    const labels = this.#read(code);
    const values = attributes.map((name) => strengths[name] ?? 0);
    const free = attributes.map((name) => !locked.includes(name));
    return { labels, asked: move(labels, values, free, this.#ruledOut) };
  }

  /** Standard deviation of the train codes along a unit direction. */
  spread(unit) {
    let power = 0;
    for (let k = 0; k < this.rows("factor"); k++) power += dot(this.row("factor", k), unit) ** 2;
    const { residual } = this.values;
    for (let i = 0; i < this.length; i++) power += (residual[i] * unit[i]) ** 2;
    return Math.sqrt(power);
  }

  /**
   * Promise of the code of a seed that has the labels `wanted`, {name: 1 or -1}. gain: as of `edited`; draw:
   * (labels, noise) -> Promise of a code of the flow, where that is the prior.
   */
  async face(seed, wanted, gain, draw) {
    const { attributes } = this.editor;
    const code = this.sample(seed, this.prior.temperature, wanted);
    const labels = this.#read(code);
    if (this.prior.source !== "flow") {
      const missing = Object.entries(wanted).filter(([name, sign]) => this.labels(code).get(name) * sign < 0);
      return this.edited({ code, strengths: Object.fromEntries(missing), locked: [], custom: [] }, gain);
    }
    const values = attributes.map((name) => wanted[name] ?? 0);
    const free = attributes.map(() => true);
    const { goal } = move(settled(labels, this.#ruledOut), values, free, this.#ruledOut);
    const drawn = this.rows("prior_factor") + this.length;
    const noise = normals(seed, drawn + this.rows("flow_inward")).subarray(drawn);
    return draw(
      goal,
      noise.map((value) => this.prior.temperature * value),
    );
  }

  /**
   * The code of a seed: one that came with the export and has most of the labels `wanted`, {name: 1 or -1},
   * or one of the Gaussian prior.
   */
  sample(seed, temperature = this.prior.temperature, wanted = {}) {
    if (this.prior.source === "best") {
      const fit = this.having(wanted);
      const face = this.row("drawn", fit[place(seed, fit.length)]);
      return Float32Array.from(this.values.mean, (value, i) => value + temperature * (face[i] - value));
    }
    const rank = this.rows("prior_factor");
    const { prior_mean: mean, prior_residual: residual } = this.values;
    const e = normals(seed, rank + this.length);
    const out = Float64Array.from(residual, (value, i) => e[rank + i] * value);
    for (let k = 0; k < rank; k++) {
      const row = this.row("prior_factor", k);
      for (let i = 0; i < this.length; i++) out[i] += e[k] * row[i];
    }
    return Float32Array.from(mean, (value, i) => value + temperature * out[i]);
  }

  /**
   * Places of the codes that came with the export and have the most of the labels `wanted`: all that lack at
   * most so many that there are SEVERAL.
   */
  having(wanted) {
    const asked = Object.entries(wanted).map(([name, sign]) => {
      const a = this.editor.attributes.indexOf(name);
      return { normal: this.row("readout_normals", a), intercept: this.values.readout_intercepts[a], sign };
    });
    const lacks = Array.from({ length: this.rows("drawn") }, (_, n) => {
      const code = this.row("drawn", n);
      const has = ({ normal, intercept, sign }) => (dot(normal, code) + intercept) * sign > 0;
      return asked.filter((label) => !has(label)).length;
    });
    const most = [...lacks].sort((a, b) => a - b)[Math.min(SEVERAL, lacks.length) - 1];
    return [...lacks.keys()].filter((n) => lacks[n] <= most);
  }

  /**
   * Promise of the code after an edit: {code, strengths: {name: changes of the label}, locked: [names],
   * custom: [{direction: unit (D), sigma, strength, locked}]}. gain: (code, labels, asked) -> Promise of what
   * the code gains by the flow, where that edits.
   */
  async edited(edit, gain) {
    const { code, strengths, locked, custom } = edit;
    if (![...Object.values(strengths), ...custom.map(({ strength }) => strength)].some(Boolean)) return code;
    const { labels, asked } = this.#asked(edit);
    const made = custom.map((slider) => ({
      unit: slider.direction,
      size: slider.strength * slider.sigma,
      locked: slider.locked,
    }));
    const flows = this.editor.kind === "flow";
    const own = this.attributes.map(({ name, length }) => {
      const a = this.editor.attributes.indexOf(name);
      const half = flows ? 0 : (asked.strength * (asked.goal[a] - asked.start[a])) / 2;
      return { unit: this.byName.get(name).unit, size: half * length, locked: locked.includes(name) };
    });
    const steps = [...own, ...made].filter((step) => step.size || step.locked);
    if (!flows || asked.still) return edited(code, steps);
    const gained = await gain(code, labels, asked);
    const kept = orthonormal(made.filter((step) => step.locked).map((step) => step.unit));
    return edited(plus(code, projectOff(gained, kept)), steps);
  }
}
