/** The export folder, read: what the model is, its attributes, and the arrays behind them (web/API.md). */

import { dot, edited, normals } from "./vectors.js";

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

const STEP = 0.05; // sigmas
const UPPER = 0.75; // of a slider's range: a face beyond it is called by the slider's label

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
  constructor(description, bytes, { reconstruction = {}, error_reduction: removed = {} } = {}) {
    if (description.format !== 2)
      throw new Error(`This page reads exports of format 2, this one is ${description.format}.`);
    Object.assign(this, description, { quality: reconstruction });
    this.attributes = description.attributes.map((one) => ({
      ...one,
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
   * What a link says of the model that it was made with: it changes with whatever changes faces or sliders.
   */
  get mark() {
    const drawing = Object.entries(this.files).filter(([name]) => name !== "encoder.onnx");
    const names = drawing.map(([name]) => name).sort();
    return names.map((name) => this.files[name].sha256.slice(0, 6)).join("");
  }

  /**
   * The base to start from: the preset with most room for the first sliders, either way; else a random face.
   */
  get first() {
    const telling = this.attributes.filter((attribute) => attribute.telling);
    const lean = (index) => {
      const standing = this.standing(this.row("presets", index));
      const leans = telling.map(
        ({ name, range: [low, high] }) => (2 * standing.get(name) - low - high) / (high - low),
      );
      return leans.reduce((sum, value) => sum + value ** 2, 0);
    };
    const indices = this.presets.map((_, index) => index);
    if (!indices.length) return { kind: "seed", seed: 1 };
    return {
      kind: "preset",
      index: indices.reduce((best, index) => (lean(index) < lean(best) ? index : best), 0),
    };
  }

  /**
   * What most sets a preset apart, in labels: of the first sliders, those on which it stands near the upper
   * end.
   */
  looks(index) {
    const standing = this.standing(this.row("presets", index));
    const telling = this.attributes.filter(({ telling: first, judgemental }) => first && !judgemental);
    return telling
      .map(({ name, label, range: [low, high] }) => ({
        label,
        place: (standing.get(name) - low) / (high - low),
      }))
      .filter(({ place }) => place > UPPER)
      .toSorted((a, b) => b.place - a.place)
      .slice(0, 3)
      .map(({ label }) => label);
  }

  /** Row i of an array of rows of length D. */
  row(name, i) {
    return this.values[name].subarray(i * this.length, (i + 1) * this.length);
  }

  rows(name) {
    return this.values[name].length / this.length;
  }

  /**
   * Where a code stands on each attribute, in sigmas from the mean of the train faces: Map of name -> number.
   */
  standing(code) {
    const { mean } = this.values;
    return new Map(
      [...this.byName.values()].map(({ name, unit, sigma }) => [
        name,
        (dot(code, unit) - dot(mean, unit)) / sigma,
      ]),
    );
  }

  /** Standard deviation of the train codes along a unit direction. */
  spread(unit) {
    let power = 0;
    for (let k = 0; k < this.rows("factor"); k++) power += dot(this.row("factor", k), unit) ** 2;
    const { residual } = this.values;
    for (let i = 0; i < this.length; i++) power += (residual[i] * unit[i]) ** 2;
    return Math.sqrt(power);
  }

  /** The code of a seed, drawn from the prior. */
  sample(seed, temperature = this.prior.temperature) {
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
   * The code after an edit: {code, strengths: {name: sigmas}, locked: [names], custom: [{direction: unit (D),
   * sigma, strength, locked}]}.
   */
  edited({ code, strengths, locked, custom }) {
    const own = this.attributes.map(({ name }) => {
      const { unit, sigma } = this.byName.get(name);
      return { unit, size: (strengths[name] ?? 0) * sigma, locked: locked.includes(name) };
    });
    const made = custom.map((slider) => ({
      unit: slider.direction,
      size: slider.strength * slider.sigma,
      locked: slider.locked,
    }));
    return edited(
      code,
      [...own, ...made].filter((step) => step.size || step.locked),
    );
  }
}
