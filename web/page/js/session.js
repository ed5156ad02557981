/**
 * What is being edited. A state is plain and small:
 *
 *   base      {kind: "seed", seed, and labels asked for where there are any} | {kind: "preset", index} |
 *             {kind: "photo", id}
 *   other     the same, or null: the face to morph towards
 *   mix       0 (base) to 1 (other)
 *   strengths {name: changes of the label}, zeros left out; a slider of one's own is named "own:<number>" and
 *             counts in sigmas
 *   locked    names whose attribute stays where its own slider puts it
 *   own       names of the sliders of one's own that are in the panel
 *
 * States are never changed, only replaced. Photographs, their codes and the directions of own sliders stay in
 * the session, out of states and links, for as long as a state that can be reached names them.
 */

import { keepDetail, weighed, weights } from "./detail.js";
import { pixelsOf } from "./photo.js";
import { arc } from "./vectors.js";

const REMEMBERED = 6; // pictures
const STEPS = 100; // that can be undone

export const START = Object.freeze({ base: null, other: null, mix: 0, strengths: {}, locked: [], own: [] });

/** States gone by and undone. */
export class History {
  #past = [];
  #future = [];

  constructor(state) {
    this.now = state;
  }

  /** A step that can be undone. Equal states make no step. */
  commit(state, before = this.now) {
    this.now = state;
    if (JSON.stringify(state) === JSON.stringify(before)) return;
    this.#past.push(before);
    if (this.#past.length > STEPS) this.#past.shift();
    this.#future = [];
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  /** All states that can still be reached, the oldest first, and the place of the one that is shown. */
  get all() {
    return { states: [...this.#past, this.now, ...this.#future.toReversed()], place: this.#past.length };
  }

  /** Back or forth to the state at `place` of all. */
  goTo(place) {
    while (this.#past.length > place) {
      this.#future.push(this.now);
      this.now = this.#past.pop();
    }
    while (this.#past.length < place) {
      this.#past.push(this.now);
      this.now = this.#future.pop();
    }
  }
}

/** `state` with one slider moved. */
export function withStrength(state, name, strength) {
  const strengths = { ...state.strengths };
  if (strength) strengths[name] = strength;
  else delete strengths[name];
  return { ...state, strengths };
}

/** `state` with one lock turned. */
export const withLock = (state, name) => ({
  ...state,
  locked: state.locked.includes(name)
    ? state.locked.filter((lock) => lock !== name)
    : [...state.locked, name],
});

export class Session {
  #codes = new Map(); // key of a base -> Promise of its code
  #photos = new Map(); // id -> {photo, encoded}
  #nextPhoto = 1;
  #pictures = new Map(); // key of a state -> Promise of its picture; the last few
  #seen = new Map(); // key of a state -> Map of labels that the model sees in it; the last few
  #weight = {}; // what counts of a change from one picture to another: {from, end, weight}, of the last
  #originals = new Map(); // number of a preset -> Promise of its own picture
  own = new Map(); // "own:<number>" -> slider

  constructor(backend) {
    this.backend = backend;
  }

  get bundle() {
    return this.backend.bundle;
  }

  /** Keep a photograph with what the encoder made of it; returns its base. */
  addPhoto(photo, encoded) {
    const id = this.#nextPhoto++;
    this.#photos.set(id, { photo, encoded });
    return { kind: "photo", id };
  }

  photoOf(base) {
    return base?.kind === "photo" ? this.#photos.get(base.id) : null;
  }

  /**
   * Keep what `states` name, and of photographs the pixels that the state `now` shows alone: one of 24
   * megapixels takes 96 MB, and its file is read again where a step back needs it.
   */
  keep(states, now) {
    const photosOf = (some) => some.flatMap(({ base, other }) => [this.photoOf(base), this.photoOf(other)]);
    const reached = new Set(photosOf(states));
    const shown = new Set(photosOf([now]).map((held) => held?.photo));
    for (const [id, held] of this.#photos) {
      if (!reached.has(held)) this.#photos.delete(id);
      if (!shown.has(held.photo)) held.photo.release();
    }
    const sliders = new Set(states.flatMap(({ own }) => own));
    for (const name of this.own.keys()) if (!sliders.has(name)) this.own.delete(name);
  }

  /** A slider of the model's, or of a person's own; undefined where there is none of that name. */
  slider(name) {
    return this.bundle.byName.get(name) ?? this.own.get(name);
  }

  /** Promise of the code of a base. */
  code(base) {
    if (base.kind === "photo") return Promise.resolve(this.photoOf(base).encoded.code);
    if (base.kind === "preset") return Promise.resolve(this.bundle.row("presets", base.index));
    const key = JSON.stringify([base.seed, base.labels]);
    if (!this.#codes.has(key)) {
      const code = this.backend.sample(base.seed, base.labels);
      code.catch(() => this.#codes.delete(key));
      this.#codes.set(key, code);
    }
    return this.#codes.get(key);
  }

  /** Promise of the code that edits of a state start from. */
  async start(state) {
    const code = await this.code(state.base);
    return state.other && state.mix > 0
      ? arc(code, await this.code(state.other), this.bundle.values.mean, state.mix)
      : code;
  }

  /** The edit of a state on a code, as backends take it. */
  #editOf(code, state) {
    const strengths = {};
    const custom = [];
    for (const [name, strength] of Object.entries(state.strengths))
      if (this.bundle.byName.has(name)) strengths[name] = strength;
    for (const name of state.own) {
      const { unit, sigma } = this.own.get(name);
      const [strength, locked] = [state.strengths[name] ?? 0, state.locked.includes(name)];
      if (strength || locked) custom.push({ direction: unit, sigma, strength, locked });
    }
    return {
      code,
      strengths,
      locked: state.locked.filter((name) => this.bundle.byName.has(name)),
      custom,
    };
  }

  /** Promise of the model's picture of a state: S * S * 3 numbers. */
  async render(state, fine = false) {
    const { pixels, labels } = await this.backend.render(this.#editOf(await this.start(state), state), fine);
    const key = JSON.stringify(state);
    this.#seen.delete(key);
    this.#seen.set(key, labels); // the newest last
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.keys().next().value);
    return pixels;
  }

  /** What the model sees in a state that was drawn lately: Map of name -> label; undefined in another. */
  seen(state) {
    return this.#seen.get(JSON.stringify(state));
  }

  /** Promise of render(state, true); the last few are remembered. */
  #remembered(state) {
    const key = JSON.stringify(state);
    const pixels = this.#pictures.get(key) ?? this.render(state, true);
    this.#pictures.delete(key);
    this.#pictures.set(key, pixels); // the newest last
    pixels.catch(() => this.#pictures.delete(key));
    if (this.#pictures.size > REMEMBERED) this.#pictures.delete(this.#pictures.keys().next().value);
    return pixels;
  }

  /** Promise of the model's picture of a state's base, before any edit. */
  plain({ base }) {
    return this.#remembered({ ...START, base });
  }

  /**
   * `state` with all sliders moved on in proportion, until the first has changed its label, or one of a
   * person's own is at its end.
   */
  #atTheEnd(state) {
    const moved = Object.entries(state.strengths);
    const whole = (name) => this.own.get(name)?.reach ?? 1;
    const share = Math.max(0, ...moved.map(([name, strength]) => Math.abs(strength) / whole(name)));
    if (share === 0 || share >= 1) return state;
    const far = moved.map(([name, strength]) => [name, Number((strength / share).toFixed(3))]);
    return { ...state, strengths: Object.fromEntries(far) };
  }

  /** Promise of the picture that a preset was made from, S * S * 3; null for a face that the model drew. */
  #original(base) {
    if (base?.kind !== "preset") return Promise.resolve(null);
    if (!this.#originals.has(base.index)) this.#originals.set(base.index, this.#opened(base.index));
    return this.#originals.get(base.index);
  }

  async #opened(index) {
    const { presets, size } = this.bundle;
    const { data, width, height, channels } = await pixelsOf(presets[index].picture);
    if (width !== size || height !== size) return null;
    return Float32Array.from(
      { length: size * size * 3 },
      (_, i) => data[Math.floor(i / 3) * channels + (i % 3)],
    );
  }

  /** Promise of what the model leaves out of a preset's own picture, S * S * 3; null for another face. */
  async #residual(base) {
    const [own, drawn] = await Promise.all([this.#original(base), base && this.plain({ base })]);
    return own?.map((value, i) => value - drawn[i]) ?? null;
  }

  /** Promise of the picture of a state's base as it is shown at rest: a preset's own, else the model's. */
  async rest({ base }) {
    return (await this.#original(base)) ?? this.plain({ base });
  }

  /**
   * Promise of the picture of a state without a photograph, S * S * 3: what the model draws. Of a preset its
   * own picture, and the model's where sliders change it (faces/edits/detail.py).
   */
  async face(state) {
    const share = state.other ? state.mix : 0;
    const [own, others] = await Promise.all([
      share < 1 ? this.#residual(state.base) : null,
      share > 0 ? this.#residual(state.other) : null,
    ]);
    if (!own && !others) return this.render(state);
    const { from, to, weight } = await this.#moved(state);
    const original = from.map(
      (value, i) => value + (1 - share) * (own?.[i] ?? 0) + share * (others?.[i] ?? 0),
    );
    return keepDetail(original, to, weight);
  }

  /**
   * Promise of what sliders do to the face that they start from: {from, to: its pictures before and after,
   * weight (S, S): where they change it, judged with the change complete (faces/edits/detail.py), so that the
   * first step of a slider moves the picture}.
   */
  async #moved(state) {
    const { size, detail } = this.bundle;
    const morphs = state.other && state.mix > 0;
    const start = morphs ? this.#remembered({ ...state, strengths: {}, locked: [] }) : this.plain(state);
    const moves = Object.keys(state.strengths).length > 0;
    const far = this.#atTheEnd(state);
    const edited = moves ? this.render(state, true) : start;
    const complete = moves && far !== state ? this.#remembered(far) : edited;
    const [from, to, end] = await Promise.all([start, edited, complete]);
    if (this.#weight.from !== from || this.#weight.end !== end) {
      const weight = end === from ? new Float32Array(size * size) : weights(from, end, size, detail);
      this.#weight = { from, end, weight };
    }
    return { from, to, weight: this.#weight.weight };
  }

  /** Promise of what the sliders of a state change on another code, as `change` gives it; by a `backend`. */
  async changeOf(code, state, backend) {
    const { size, detail } = this.bundle;
    const draw = async (of) => (await backend.render(this.#editOf(code, of), true)).pixels;
    const far = this.#atTheEnd(state);
    const [from, to] = [await draw({ ...state, strengths: {} }), await draw(state)];
    const end = far === state ? to : await draw(far);
    return { change: weighed(from, to, weights(from, end, size, detail)), share: 0, other: null };
  }

  /**
   * Promise of what a state changes in its photograph: {change (S, S, 3), share, other}, where `other` is the
   * face that a morph goes to, {drawn: the model's picture, held: the photograph or null}, or null without
   * one.
   *
   * Sliders add what they change of the face D(zt) that they start from, where they change it at all. A morph
   * of share t adds D(zt) - (1 - t) D(z0) - t D(z1), and lets t of the photograph give way to the other face
   * itself, so that with t = 1 that one is there, whole.
   */
  async change(state) {
    const share = state.other ? state.mix : 0;
    const [plain, { from, to, weight }, drawn] = await Promise.all([
      this.plain(state),
      this.#moved(state),
      share > 0 ? this.plain({ base: state.other }) : null,
    ]);
    const change = weighed(from, to, weight);
    if (share === 0) return { change, share, other: null };
    for (let i = 0; i < change.length; i++) change[i] += from[i] - (1 - share) * plain[i] - share * drawn[i];
    return { change, share, other: { drawn, held: this.photoOf(state.other) } };
  }
}
