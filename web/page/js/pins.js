/** Versions that a person pinned: small pictures beside each other, each of which leads back to its state. */

import { $, element, labelled } from "./dom.js";
import { smallCopy } from "./stage.js";

const SIDE = 112; // pixels of a picture

export class Pins {
  #pins = []; // {state, picture}

  constructor(app) {
    this.app = app;
    $("pin").addEventListener("click", () => this.turn());
  }

  /** The states that are pinned. */
  get states() {
    return this.#pins.map(({ state }) => state);
  }

  /** Pin the state that is shown, or let it go. */
  turn() {
    const { state, stage } = this.app;
    const others = this.#pins.filter((pin) => !same(pin.state, state));
    if (others.length < this.#pins.length) this.#pins = others;
    else this.#pins.push({ state, picture: smallCopy(stage.after, SIDE) });
    this.refresh();
  }

  refresh() {
    const { state } = this.app;
    $("pins-box").hidden = this.#pins.length === 0;
    $("pin").setAttribute("aria-pressed", String(this.#pins.some((pin) => same(pin.state, state))));
    $("pins").replaceChildren(...this.#pins.map((pin, index) => this.#item(pin, index)));
  }

  #item({ state, picture }, index) {
    const button = element("button", { type: "button" }, picture);
    labelled(button, `Version ${index + 1}: ${this.app.describe(state)}`);
    if (same(state, this.app.state)) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => {
      this.app.commit(state);
      $("pins").querySelectorAll("button")[index].focus();
    });
    return element("li", {}, button);
  }
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
