/**
 * The backend that runs in the browser: the same interface as backend-http.js, over a worker that holds the
 * networks. Nothing leaves the computer.
 */

import { Bundle } from "./bundle.js";
import { ARRAYS } from "./flow.js";

const PROGRAMS = ["js/worker.js", "ort/ort.wasm.min.js", "ort/ort-wasm-simd-threaded.js"];

/**
 * Why the worker did not start, in a sentence: files that are missing or sent as something else are named.
 */
async function whyNot() {
  for (const path of PROGRAMS) {
    const answer = await fetch(path, { method: "HEAD" }).catch(() => null);
    if (!answer?.ok) return `${path} cannot be loaded${answer ? `: ${answer.status}` : ""}.`;
    const type = answer.headers.get("Content-Type") ?? "nothing in particular";
    if (!type.includes("javascript"))
      return `The server sends ${path} as ${type}; it must be text/javascript.`;
  }
  return "This browser could not run the model: it needs WebAssembly and module workers.";
}

export class LocalBackend {
  name = "local";
  #worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  #waiting = new Map();
  #next = 0;

  /** progress: (share from 0 to 1) while the networks load. */
  static async open(progress) {
    const bundle = await Bundle.open("export/bundle.json", "export/arrays.safetensors");
    const backend = new LocalBackend(bundle, progress);
    const { files, geometry, length, editor, values } = bundle;
    const part = (name) => [name, values[`flow_${name}`]];
    const flow = editor.kind === "flow" && Object.fromEntries(ARRAYS.map(part));
    await backend.#ask("open", { files, geometry, length, editor, flow });
    return backend;
  }

  constructor(bundle, progress) {
    this.bundle = bundle;
    this.#worker.onmessage = ({ data: { id, share, result, error } }) => {
      if (share !== undefined) return progress(share);
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) reject(new Error(error));
      else resolve(result);
    };
    this.#worker.onerror = async (event) => {
      event.preventDefault();
      const error = new Error(await whyNot());
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    };
  }

  #ask(task, request) {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, task, request });
    });
  }

  /** Fetch the rest of the model in the background; true once the page needs no server any more. */
  async prepare() {
    await this.#ask("prepare");
    return true;
  }

  #gain = (code, labels, asked) => this.#ask("gain", { code, labels, asked });

  sample(seed, labels = {}) {
    return this.bundle.face(seed, labels, this.#gain, (given, noise) => this.#ask("draw", { given, noise }));
  }

  async encode(photo, { face = null, points = null } = {}) {
    return this.#ask("encode", { picture: await photo.load(), face, points });
  }

  /**
   * Promise of the five points of the face in the next picture of a film, near where it was `seen`, else of
   * the largest; null where there is none.
   */
  seek(picture, seen) {
    return this.#ask("seek", { picture, seen });
  }

  /** Promise of {code, matrix} of the face with these five points. */
  codeAt(picture, five) {
    return this.#ask("codeAt", { picture, five });
  }

  /** Promise of the code after an edit. */
  edited(edit) {
    return this.bundle.edited(edit, this.#gain);
  }

  async render(edit, fine) {
    const code = await this.edited(edit);
    const pixels = await this.#ask("decode", { code });
    return { pixels: fine ? pixels : new Uint8ClampedArray(pixels), labels: this.bundle.labels(code) };
  }

  close() {
    this.#worker.terminate();
  }
}
