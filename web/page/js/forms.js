/**
 * Forms of labels, such as kinds of hat, that no label tells apart (facemorph/forms.py): read off a face's
 * code, or drawn by its noise. A form is a number as a label is: 1 shown, -1 not, 0 where its label is
 * unknown.
 */

import { dot } from "./vectors.js";

export class Forms {
  /**
   * names: of each form its label, "-" in front where faces without it have the form; attributes: the names
   * of all labels; arrays: form_normals (F * D), form_intercepts (F), form_lots (G * K), form_edges (F).
   */
  constructor(names, attributes, arrays) {
    const owners = [...new Set(names)];
    this.places = owners.map((name) => attributes.indexOf(name.replace(/^-/, "")));
    this.sides = owners.map((name) => (name.startsWith("-") ? -1 : 1));
    this.members = owners.map((owner) => names.flatMap((name, f) => (name === owner ? [f] : [])));
    this.count = names.length;
    Object.assign(this, arrays);
  }

  /** Each group's value of `of`: (g, its forms) -> their numbers, as one array (F). */
  #each(of) {
    const out = new Float64Array(this.count);
    this.members.forEach((members, g) => {
      of(g, members).forEach((value, i) => {
        out[members[i]] = value;
      });
    });
    return out;
  }

  #told = (labels, g) => labels[this.places[g]] * this.sides[g];

  /** The forms (F) of a code with these labels (A). */
  read(code, labels) {
    const length = code.length;
    return this.#each((g, members) => {
      const told = this.#told(labels, g);
      if (told === 0) return members.map(() => 0);
      const row = (f) => this.form_normals.subarray(f * length, (f + 1) * length);
      const scores = members.map((f) => dot(row(f), code) + this.form_intercepts[f]);
      const highest = Math.max(...scores);
      const odds = scores.map((score) => Math.exp(score - highest));
      const sum = odds.reduce((total, one) => total + one, 0);
      return odds.map((one) => ((1 + told) * one) / sum - 1);
    });
  }

  /**
   * The forms (F) when labels (A) of a face with `forms` (F) become goal (A): they follow their label. Where
   * it comes, the likeliest does of a face that has the label more or less, else the one that noise (K)
   * draws.
   */
  after(labels, forms, goal, noise) {
    return this.#each((g, members) => {
      const [before, ahead] = [this.#told(labels, g), this.#told(goal, g)];
      const values = members.map((f) => forms[f]);
      if (ahead === before) return values;
      const had = before === 0 ? 0 : (1 + before) / 2;
      const has = (1 + ahead) / 2;
      const shown = values.map((value) => (before === 0 ? 0 : (1 + value) / 2));
      const highest = Math.max(...values);
      const comes = before > 0 ? values.map((value) => Number(value === highest)) : this.#drawn(g, noise);
      const part = (has - had) / Math.max(1 - had, 1e-12);
      const left = has / Math.max(had, 1e-12);
      return shown.map((share, i) => 2 * (has > had ? share + part * (comes[i] - share) : share * left) - 1);
    });
  }

  /** The forms (F) that noise (K) draws for a new face with these labels (A). */
  ofNoise(labels, noise) {
    return this.#each((g, members) => {
      const told = this.#told(labels, g);
      if (told === 0) return members.map(() => 0);
      return this.#drawn(g, noise).map((comes) => (1 + told) * comes - 1);
    });
  }

  /** Of a group's forms the one that noise (K) draws: 1, the others 0. */
  #drawn(g, noise) {
    const lot = dot(this.form_lots.subarray(g * noise.length, (g + 1) * noise.length), noise);
    const first = this.members[g].findIndex((f) => lot < this.form_edges[f]);
    return this.members[g].map((_, i) => Number(i === first));
  }
}
