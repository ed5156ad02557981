/** The contact sheet: this face with each label turned, drawn when it is opened. */

import { $, element } from "./dom.js";
import { START, withStrength } from "./session.js";

const TIMES = 1; // canvas pixels per model pixel

export class Ends {
  #base = ""; // that the sheet shows

  constructor(app) {
    this.app = app;
    $("ends-box").addEventListener("toggle", () => this.refresh());
  }

  /** Draw the sheet anew where it is open and shows another face. */
  async refresh() {
    const { base } = this.app.state;
    const key = JSON.stringify(base);
    if (!$("ends-box").open || key === this.#base) return;
    this.#base = key;
    const { bundle } = this.app.session;
    const labels = bundle.labels(await this.app.session.code(base));
    $("ends").replaceChildren();
    for (const { name } of bundle.attributes.filter(({ judgemental }) => !judgemental)) {
      const end = await this.#end(base, name, labels.get(name) > 0 ? -1 : 1).catch(() => null);
      if (this.#base !== key) return;
      if (end) $("ends").append(element("li", {}, end));
    }
  }

  /** Promise of a button with the picture of a face with one slider at -1 or 1, which takes that. */
  async #end(base, name, sign) {
    const { app } = this;
    const { bundle } = app.session;
    const pixels = await app.session.face({ ...START, base, strengths: { [name]: sign } });
    const { data, width, height } = await app.painter.enlarged(pixels, bundle.size, TIMES);
    const canvas = element("canvas", { width, height });
    canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
    const word = element("span", { textContent: bundle.given(name, sign) });
    const button = element("button", { type: "button" }, canvas, word);
    button.addEventListener("click", () => app.commit(withStrength(app.state, name, sign)));
    return button;
  }
}
