/** Pictures made off the page's thread, so that a drag never waits for pixels. */

import { holds } from "./paint.js";

export class Painter {
  #worker = new Worker(new URL("paint-worker.js", import.meta.url), { type: "module" });
  #waiting = new Map(); // id -> {resolve, reject}
  #next = 0;
  #held = {}; // what the worker holds of the last change: {part, other}

  /** drawing: whether the model's faces are drawings, whose edges are shown sharp. */
  constructor(drawing) {
    this.drawing = drawing;
    this.#worker.onmessage = ({ data: { id, picture, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) resolve(picture);
      else reject(new Error(error));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.#waiting.values()) reject(new Error("The picture could not be made."));
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

  /** Promise of model pixels (S * S * 3 numbers) as an RGBA picture `times` as large; sharp: if a drawing. */
  enlarged(pixels, size, times, sharp = true) {
    return this.#ask("enlarged", { pixels, size, times, drawing: this.drawing && sharp });
  }

  /** Promise of a photograph's part with a change in it (paint.js). A part is sent once. */
  changed(part, changed, other, size) {
    const request = { changed: { change: changed.change, share: changed.share }, size };
    const { picture, toModel, around } = part;
    if (this.#held.part !== part) request.part = { picture, toModel, around };
    if (this.#held.other !== other) request.other = other ?? null;
    this.#held = holds(part) ? { part, other } : {};
    return this.#ask("changed", request);
  }
}
