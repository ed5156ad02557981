/**
 * What is being edited. A state is plain and small:
 *
 *   base      {kind: "seed", seed} | {kind: "preset", index} | {kind: "photo", id}
 *   other     the same, or null: the face to morph towards
 *   mix       0 (base) to 1 (other)
 *   strengths {name: sigmas}, zeros left out; a slider of one's own is named "own:<number>"
 *   locked    names whose attribute stays where its own slider puts it
 *
 * States are never changed, only replaced. Codes of photographs stay in this object, out of states and links.
 */

import { arc } from "./vectors.js";

const REMEMBERED = 4; // pictures of unedited faces

export const START = Object.freeze({ base: null, other: null, mix: 0, strengths: {}, locked: [] });

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
    this.#future = [];
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  undo() {
    this.#future.push(this.now);
    this.now = this.#past.pop();
  }

  redo() {
    this.#past.push(this.now);
    this.now = this.#future.pop();
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
  #plain = new Map(); // key of a base -> Promise of its picture; the last few
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

  /** A slider of the model's, or of a person's own; undefined where there is none of that name. */
  slider(name) {
    return this.bundle.byName.get(name) ?? this.own.get(name);
  }

  /** Promise of the code of a base. */
  code(base) {
    if (base.kind === "photo") return Promise.resolve(this.photoOf(base).encoded.code);
    if (base.kind === "preset") return Promise.resolve(this.bundle.row("presets", base.index));
    const key = String(base.seed);
    if (!this.#codes.has(key)) {
      const code = this.backend.sample(base.seed);
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

  /** Promise of the edit of a state, as backends take it. */
  async edit(state) {
    const strengths = {};
    const custom = [];
    for (const [name, strength] of Object.entries(state.strengths))
      if (this.bundle.byName.has(name)) strengths[name] = strength;
    for (const [name, { unit, sigma }] of this.own) {
      const [strength, locked] = [state.strengths[name] ?? 0, state.locked.includes(name)];
      if (strength || locked) custom.push({ direction: unit, sigma, strength, locked });
    }
    return {
      code: await this.start(state),
      strengths,
      locked: state.locked.filter((name) => this.bundle.byName.has(name)),
      custom,
    };
  }

  /** Promise of the model's picture of a state: S * S * 3 numbers. */
  async render(state, fine = false) {
    return this.backend.render(await this.edit(state), fine);
  }

  /** Promise of the model's picture of a state's base, before any edit; the last few are remembered. */
  plain({ base }) {
    const key = JSON.stringify(base);
    const pixels = this.#plain.get(key) ?? this.render({ ...START, base }, true);
    this.#plain.delete(key);
    this.#plain.set(key, pixels); // the newest last
    pixels.catch(() => this.#plain.delete(key));
    if (this.#plain.size > REMEMBERED) this.#plain.delete(this.#plain.keys().next().value);
    return pixels;
  }
}
