/**
 * The backend that runs in the browser: the same interface as backend-http.js, over a worker that holds the
 * networks. Nothing leaves the computer.
 */

import { Bundle } from "./bundle.js";

export class LocalBackend {
  name = "local";
  #worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  #waiting = new Map();
  #next = 0;

  /** progress: (share from 0 to 1) while the networks load. */
  static async open(progress) {
    const bundle = await Bundle.open("export/bundle.json", "export/arrays.bin");
    const backend = new LocalBackend(bundle, progress);
    await backend.#ask("open", { files: bundle.files, geometry: bundle.geometry, length: bundle.length });
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
    this.#worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.#waiting.values())
        reject(new Error("The browser could not run the model: it needs WebAssembly and module workers."));
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

  async sample(seed) {
    return this.bundle.sample(seed);
  }

  encode(photo, { face = null, points = null } = {}) {
    return this.#ask("encode", { picture: photo.picture, face, points });
  }

  async render(edit, fine) {
    const pixels = await this.#ask("decode", { code: this.bundle.edited(edit) });
    return fine ? pixels : new Uint8ClampedArray(pixels);
  }

  close() {
    this.#worker.terminate();
  }
}
