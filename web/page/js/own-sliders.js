/** Sliders of a person's own: made in the tab Make a slider, saved to a file and loaded from one. */

import { fromFile, toFile } from "./direction.js";
import { $, fail, say, toast } from "./dom.js";
import { Maker, verdict } from "./maker.js";
import { download } from "./save.js";
import { withStrength } from "./session.js";

const REACH = [3, 8]; // sigmas: the shortest and the longest that such a slider is
const FARTHER = 1.5; // times the distance between the two sides

const fileName = (label) => `${label.replaceAll(/[^\w-]+/g, "-").toLowerCase() || "slider"}.slider.json`;

export class OwnSliders {
  #next = 1;

  constructor(app) {
    this.app = app;
    const { session } = app;
    this.maker = new Maker($("page-make"), {
      session,
      locked: () =>
        app.state.locked.map((name) => ({ label: app.labelOf(name), unit: session.slider(name).unit })),
      add: (slider) => this.add(slider),
      fail,
    });
    $("make-load").addEventListener("click", () => $("make-file").click());
    $("make-file").addEventListener("change", () => {
      this.load($("make-file").files[0]);
      $("make-file").value = "";
    });
  }

  add(slider) {
    const { app } = this;
    const name = `own:${this.#next++}`;
    const score = slider.auroc === null ? "not tested" : `AUROC ${slider.auroc.toFixed(2)}`;
    const text = `${slider.counts[0]} with, ${slider.counts[1]} without, ${score}`;
    const reach = Math.min(REACH[1], Math.max(REACH[0], FARTHER * slider.measured));
    const whole = { ...slider, reach, text };
    app.session.own.set(name, whole);
    app.sliders.add(name, whole);
    app.sliders.update(app.state, null);
    say(`${slider.label} is among your sliders. ${verdict(slider)}`);
  }

  remove(name) {
    const { app } = this;
    app.session.own.delete(name);
    app.sliders.remove(name);
    const state = withStrength(app.state, name, 0);
    app.commit({ ...state, locked: state.locked.filter((lock) => lock !== name) });
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
}
