/** An edit played from the original and back, over and over. */

import { $, fail, icon, labelled } from "./dom.js";
import { onTheWay } from "./save.js";

const PERIOD = 2600; // milliseconds there and back

export class Player {
  #playing = false;

  constructor(app) {
    this.app = app;
    $("play").addEventListener("click", () => this.play());
  }

  async play() {
    if (this.#playing) return this.stop();
    const { app } = this;
    app.photoInput.live.stop();
    this.#show(true);
    app.queue.cancel();
    const { state } = app;
    const from = performance.now();
    try {
      while (this.#playing && app.state === state) {
        const t = (1 - Math.cos((2 * Math.PI * (performance.now() - from)) / PERIOD)) / 2;
        const show = await app.drawn(onTheWay(state, t));
        if (!this.#playing) break;
        show();
        await new Promise(requestAnimationFrame);
      }
    } catch (error) {
      fail(error);
    }
    this.stop();
  }

  stop() {
    if (!this.#playing) return;
    this.#show(false);
    this.app.draw();
  }

  #show(on) {
    this.#playing = on;
    $("play").replaceChildren(icon(on ? "stop" : "play"));
    labelled($("play"), on ? "Stop (P)" : "Play the edit (P)");
    $("play").setAttribute("aria-label", on ? "Stop" : "Play the edit");
  }
}
