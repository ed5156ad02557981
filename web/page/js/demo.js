/**
 * An example in motion, for whoever opens the page without a link: sliders of the first face move, one group
 * after another, until a person does anything. It is no step of the history.
 */

import { $ } from "./dom.js";

const GOING = 900; // milliseconds that a slider takes one way,
const RESTING = 900; // rests at its end, and
const PAUSE = 350; // at zero
const STARTS = ["pointerdown", "keydown", "dragenter", "paste", "focusin", "hashchange", "popstate"];

const wait = (time) => new Promise((resolve) => setTimeout(resolve, time));
const eased = (t) => (1 - Math.cos(Math.PI * t)) / 2;

/** [name, 1 or -1] of each group of the first sliders: what a face with these labels lacks, the surest. */
export function examples({ attributes, groups }, labels) {
  const lacks = ({ name, label }) => {
    const absence = label.toLowerCase().startsWith("no "); // "no beard" taken away is what comes
    return absence === labels.get(name) > 0;
  };
  const fit = attributes.filter((one) => one.telling && !one.judgemental && lacks(one));
  return groups.flatMap((group) => {
    const [best] = fit
      .filter((one) => one.group === group)
      .toSorted((a, b) => (b.auroc_low ?? 0) - (a.auroc_low ?? 0));
    return best ? [[best.name, labels.get(best.name) > 0 ? -1 : 1]] : [];
  });
}

export class Demo {
  #running = false;

  constructor(app) {
    this.app = app;
  }

  async run() {
    const { app } = this;
    if (matchMedia("(prefers-reduced-motion: reduce)").matches || document.hidden) return;
    this.#running = true;
    const stop = () => this.stop();
    for (const event of STARTS) window.addEventListener(event, stop, { once: true, capture: true });
    const { state, session } = app;
    const labels = session.bundle.labels(await session.start(state));
    for (const [name, sign] of examples(session.bundle, labels)) {
      $("tag-demo").textContent = session.bundle.given(name, sign);
      $("tag-demo").hidden = !this.#running;
      await this.#go(state, name, (t) => sign * eased(t));
      if (this.#running) await wait(RESTING);
      await this.#go(state, name, (t) => sign * eased(1 - t));
      if (this.#running) await wait(PAUSE);
    }
    this.stop();
    for (const event of STARTS) window.removeEventListener(event, stop, { capture: true });
  }

  async #go(state, name, valueAt) {
    const from = performance.now();
    for (let t = 0; t < 1 && this.#running && this.app.state === state; ) {
      t = Math.min(1, (performance.now() - from) / GOING);
      const value = Number(valueAt(t).toFixed(2));
      const shown = { ...state, strengths: value ? { [name]: value } : {} };
      this.app.sliders.update(shown, null);
      const show = await this.app.drawn(shown).catch(() => null);
      if (!show) return this.stop();
      if (this.#running) show();
      await new Promise(requestAnimationFrame);
    }
  }

  stop() {
    if (!this.#running) return;
    this.#running = false;
    $("tag-demo").hidden = true;
    this.app.sliders.update(this.app.state, null);
    this.app.draw();
  }
}
