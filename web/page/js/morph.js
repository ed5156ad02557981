/** The tab Morph: the other face, and how far towards it. */

import { $, enable, fail, say } from "./dom.js";
import { draggable } from "./drag.js";
import { rgba } from "./photo.js";
import { paint } from "./sliders.js";

const DETAIL = 2; // canvas pixels per model pixel of the two small pictures

export class Morph {
  constructor(app) {
    this.app = app;
    app.listPresets($("morph-presets"), (base) => this.towards(base));
    $("morph-random").addEventListener("click", () => this.towards(app.random()));
    $("morph-clear").addEventListener("click", () => app.commit({ ...app.state, other: null, mix: 0 }));
    $("morph-swap").addEventListener("click", () => this.swap());
    draggable($("mix").parentElement, $("mix"));
    $("mix").addEventListener("input", () => app.preview({ ...app.state, mix: Number($("mix").value) }));
    $("mix").addEventListener("change", () =>
      app.commit({ ...app.state, mix: Number($("mix").value) }, "mix"),
    );
  }

  towards(base) {
    const { app } = this;
    app.commit({ ...app.state, other: base, mix: app.state.mix || 0.5 });
    say(`Morphing towards: ${app.nameOf(base)}.`);
  }

  swap() {
    const { base, other, mix } = this.app.state;
    this.app.commit({
      ...this.app.state,
      base: other,
      other: base,
      mix: Number((1 - mix).toFixed(2)),
    });
  }

  /** Show how far a state has gone. */
  showMix({ mix }) {
    const text = `${Math.round(100 * mix)}%`;
    $("mix").value = String(mix);
    $("mix-value").textContent = text;
    $("mix").setAttribute("aria-valuetext", `${text} of the other face`);
    paint($("mix").parentElement, $("mix"));
  }

  /** Bring the tab in line with the state. */
  refresh() {
    const { app } = this;
    const { state } = app;
    const name = state.other ? app.nameOf(state.other) : null;
    $("mix").disabled = !state.other;
    this.showMix(state);
    enable("morph-clear", state.other !== null);
    enable("morph-swap", state.other !== null);
    $("morph-name").textContent = name ?? "None yet";
    $("morph-b").setAttribute("aria-label", `The other face: ${name ?? "none yet"}`);
    if (!$("page-morph").hidden) this.#pictures().catch(fail);
  }

  async #pictures() {
    const { state } = this.app;
    await this.#picture($("morph-a"), state.base);
    await this.#picture($("morph-b"), state.other);
  }

  async #picture(canvas, base) {
    const key = JSON.stringify(base);
    if (canvas.dataset.base === key) return;
    const context = canvas.getContext("2d");
    if (!base) {
      context.clearRect(0, 0, canvas.width, canvas.height);
    } else {
      const { session, painter } = this.app;
      const picture = await painter.enlarged(await session.rest({ base }), session.bundle.size, DETAIL);
      canvas.width = picture.width;
      canvas.height = picture.height;
      context.putImageData(rgba(picture), 0, 0);
    }
    canvas.dataset.base = key;
  }
}
