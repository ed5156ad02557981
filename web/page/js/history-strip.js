/** The steps so far as small pictures, each of which leads back to its state. */

import { $, element, labelled } from "./dom.js";
import { smallCopy } from "./stage.js";

const SIDE = 56; // pixels of a picture
const MOST = 30; // steps that are shown

export class HistoryStrip {
  #pictures = new Map(); // state -> canvas

  constructor(app) {
    this.app = app;
  }

  /** Keep what the stage shows of a state that is a step. */
  shown(state) {
    const { states } = this.app.history.all;
    if (!states.includes(state)) return; // on the way of a drag
    const { after } = this.app.stage;
    this.#pictures.set(state, smallCopy(after, SIDE));
    for (const old of this.#pictures.keys()) if (!states.includes(old)) this.#pictures.delete(old);
    this.refresh();
  }

  refresh() {
    const { states, place } = this.app.history.all;
    const from = Math.max(0, states.length - MOST);
    const steps = states.slice(from).map((state, i) => this.#step(state, from + i, place));
    const focused = $("history").contains(document.activeElement);
    $("history").replaceChildren(...steps);
    if (focused) $("history").querySelector("[aria-current]").focus();
  }

  #step(state, index, place) {
    const picture = this.#pictures.get(state) ?? element("canvas", { width: SIDE, height: SIDE });
    const button = element("button", { type: "button" }, picture);
    labelled(button, `Step ${index + 1}: ${this.app.describe(state)}`);
    if (index === place) button.setAttribute("aria-current", "step");
    button.addEventListener("click", () => this.app.goTo(index));
    return element("li", {}, button);
  }
}
