/**
 * Sliders of a person's own: made in the tab Make a slider, saved to a file and loaded from one. Those in the
 * panel are named in the state, so that undo brings them back, and kept by the browser over a reload.
 */

import { fromFile, toFile } from "./direction.js";
import { $, fail, say, stored, toast } from "./dom.js";
import { Maker, verdict } from "./maker.js";
import { download } from "./save.js";

const REACH = [3, 8]; // sigmas: the shortest and the longest that such a slider is
const FARTHER = 1.5; // times the distance between the two sides

const fileName = (label) => `${label.replaceAll(/[^\p{L}\p{N}_-]+/gu, "-").toLowerCase()}.slider.json`;

/** A slider with what the panel shows of it. */
function shown(slider) {
  const score = slider.auroc === null ? "not tested" : `AUROC ${slider.auroc.toFixed(2)}`;
  const text = `${slider.counts[0]} with, ${slider.counts[1]} without, ${score}`;
  const reach = Math.min(REACH[1], Math.max(REACH[0], FARTHER * slider.measured));
  return { ...slider, reach, text };
}

export class OwnSliders {
  #next = 1;
  #stored = "";

  constructor(app) {
    this.app = app;
    const { session } = app;
    this.maker = new Maker($("page-make"), {
      session,
      locked: () =>
        app.state.locked.map((name) => ({
          name,
          label: app.labelOf(name),
          unit: session.slider(name).unit,
        })),
      add: (slider) => this.add(slider),
      fail,
    });
    $("make-load").addEventListener("click", () => $("make-file").click());
    $("make-file").addEventListener("change", () => {
      this.load($("make-file").files[0]);
      $("make-file").value = "";
    });
  }

  #hold(slider) {
    const name = `own:${this.#next++}`;
    this.app.session.own.set(name, shown(slider));
    return name;
  }

  add(slider) {
    const { app } = this;
    const name = this.#hold(slider);
    app.commit({ ...app.state, own: [...app.state.own, name] });
    say(`${slider.label} is among your sliders. ${verdict(slider)}`);
  }

  remove(name) {
    const { app } = this;
    const { strengths, locked, own } = app.state;
    const others = Object.entries(strengths).filter(([other]) => other !== name);
    app.commit({
      ...app.state,
      strengths: Object.fromEntries(others),
      locked: locked.filter((other) => other !== name),
      own: own.filter((other) => other !== name),
    });
    $("search").focus();
  }

  save(name) {
    const { own, bundle } = this.app.session;
    const slider = own.get(name);
    const file = new Blob([toFile(slider, bundle.decoder)], { type: "application/json" });
    download(file, fileName(slider.label));
  }

  async load(file) {
    if (!file) return;
    const { bundle } = this.app.session;
    try {
      const slider = fromFile(await file.text(), bundle.decoder, bundle.length);
      this.add(slider);
      toast(`${slider.label} is among your sliders.`);
    } catch (error) {
      fail(error);
    }
  }

  get #place() {
    return `sliders ${this.app.session.bundle.decoder.slice(0, 16)}`;
  }

  /** Keep the sliders of a state in the browser. */
  store({ own }) {
    const { session } = this.app;
    const text = JSON.stringify(own.map((name) => toFile(session.own.get(name), session.bundle.decoder)));
    if (text === this.#stored) return;
    this.#stored = text;
    stored.set(this.#place, text);
  }

  /** The names of the sliders that the browser kept; those it cannot read any more are left out. */
  restore() {
    const { decoder, length } = this.app.session.bundle;
    try {
      const files = JSON.parse(stored.get(this.#place) ?? "[]");
      return files.map((text) => this.#hold(fromFile(text, decoder, length)));
    } catch {
      return [];
    }
  }
}
