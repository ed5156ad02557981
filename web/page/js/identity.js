/**
 * Whether an edited photograph still shows the same person, by a face network that nobody here trained. It is
 * fetched when a person asks for it, and runs in a worker of its own, so that no drag waits for it.
 */

import { extract } from "./align.js";
import { $, fail, say } from "./dom.js";
import { latestWins } from "./queue.js";
import { cut, faceBeside, viewWindow } from "./stage.js";

const FINE = 6; // pixels of the looked-at part per pixel of the model, before it is made that small
const RUNTIME = 14.2; // MB, which the page has already where the model runs in it

/** A distance of two pictures in words, by the scale of bundle.json's `identity`. */
export function inWords(distance, { threshold, unit }) {
  if (distance < threshold) return "Still the same person, to a face network";
  return distance < unit ? "Hardly the same person, to a face network" : "Another person, to a face network";
}

/** The figures behind it. */
export const inFigures = (distance, { threshold, unit }) =>
  `Distance ${distance.toFixed(2)}. Of a hundred pairs of two people one is nearer than ` +
  `${threshold.toFixed(2)}, half of them than ${unit.toFixed(2)}.`;

export class Identity {
  #worker = null;
  #waiting = null; // {resolve, reject} of what the worker is asked
  #on = false;

  constructor(app) {
    this.app = app;
    this.scale = app.session.bundle.identity;
    this.queue = latestWins(
      (state) => this.#look(state),
      (distance) => this.#say(distance),
      (error) => {
        this.#end();
        fail(error);
      },
    );
    $("same-check").addEventListener("click", () => {
      this.#on = true;
      this.refresh();
      this.queue.request(app.state);
    });
  }

  /** Whether there is a face that the network can be asked about. */
  get #asks() {
    const { app, scale } = this;
    return Boolean(scale && !$("place").hasAttribute("data-alone") && app.session.photoOf(app.state.base));
  }

  /** Bring the button and the words in line with the state; a drag's picture is looked at when it rests. */
  refresh(drags = false) {
    const asks = this.#asks;
    $("same-check").hidden = !asks || this.#on;
    $("same").hidden = !asks || !this.#on;
    if (!asks) return;
    const more = this.app.session.backend.name === "local" ? 0 : RUNTIME;
    const size = Math.ceil(this.scale.bytes / 1e6 + more);
    $("same-check").textContent = `Same person? Check with a face network (${size} MB)`;
    if (this.#on && (drags || !$("same-words").textContent)) $("same-words").textContent = "Looking …";
  }

  /** A state is on the stage, at rest. */
  shown(state) {
    if (this.#on && this.#asks) this.queue.request(state);
  }

  #say(distance) {
    $("same-words").textContent = inWords(distance, this.scale);
    $("same-figures").textContent = inFigures(distance, this.scale);
    say(`${$("same-words").textContent}.`);
  }

  /** Promise of how far the face of a state is from the photograph's. */
  async #look(state) {
    const { session, painter } = this.app;
    const { size } = session.bundle;
    const { photo, encoded } = session.photoOf(state.base);
    const whole = await photo.load();
    const window = viewWindow("close", whole, encoded.matrix, size);
    const part = await cut(whole, window, encoded.matrix, FINE * size);
    const changed = await session.change(state);
    const other = changed.other && (await faceBeside(changed.other, part.toModel, size, painter));
    const picture = await painter.changed(part, changed, other, size);
    const crop = (of) => extract(of, part.toModel, size, size);
    return this.#ask({
      path: `export/${this.scale.file}`,
      before: crop(part.picture),
      after: crop(picture),
    });
  }

  #ask(request) {
    this.#worker ??= this.#started();
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#worker.postMessage({ id: 0, task: "apart", request });
    });
  }

  #started() {
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    worker.onmessage = ({ data: { result, error } }) => {
      if (error === undefined) this.#waiting.resolve(result);
      else this.#waiting.reject(new Error(error));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      this.#waiting.reject(new Error("The face network could not be started in this browser."));
    };
    return worker;
  }

  #end() {
    this.#worker?.terminate();
    this.#worker = null;
    this.#on = false;
    this.refresh();
  }
}
