/** Closer into a photograph, and about in it: by buttons, wheel or pinch, and by dragging. */

import { $, enable } from "./dom.js";

const MOST = 8; // times
const STEP = 1.5; // times by a button, or by
const NOTCH = 240; // pixels of the wheel

export class Zoom {
  value = [1, 0.5, 0.5]; // times enlarged, around which point of the view, each from 0 to 1
  #base = null;
  #pointers = new Map(); // of those that are down: id -> [x, y]

  constructor(app) {
    this.app = app;
    $("zoom-in").addEventListener("click", () => this.by(STEP));
    $("zoom-out").addEventListener("click", () => this.by(1 / STEP));
    const { frame } = app.stage;
    frame.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    frame.addEventListener("pointerdown", (event) => this.#pointers.set(event.pointerId, place(event)));
    frame.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"])
      window.addEventListener(name, (event) => this.#pointers.delete(event.pointerId));
  }

  get #able() {
    const { state } = this.app;
    return this.app.session.photoOf(state.base) !== null && this.app.photoInput.view !== "model";
  }

  reset() {
    this.value = [1, 0.5, 0.5];
    this.refresh();
  }

  refresh() {
    const base = JSON.stringify(this.app.state.base);
    if (base !== this.#base) this.value = [1, 0.5, 0.5];
    this.#base = base;
    const [times] = this.value;
    $("zoom").hidden = !this.#able;
    enable("zoom-out", times > 1);
    enable("zoom-in", times < MOST);
    this.app.stage.frame.classList.toggle("zoomed", this.#able && times > 1);
  }

  /** Enlarge by a factor around the point of the frame (x, y), each from 0 to 1; that point stays. */
  by(factor, x = 0.5, y = 0.5) {
    if (!this.#able) return;
    const [times, cx, cy] = this.value;
    const next = Math.min(MOST, Math.max(1, times * factor));
    const about = (centre, at) => centre + (at - 0.5) * (1 / times - 1 / next);
    this.#set(next, about(cx, x), about(cy, y));
  }

  #set(times, x, y) {
    const inside = (centre) => Math.min(1 - 0.5 / times, Math.max(0.5 / times, centre));
    this.value = [times, inside(x), inside(y)];
    this.refresh();
    this.app.draw();
  }

  #wheel(event) {
    if (!this.#able || !(event.ctrlKey || this.value[0] > 1)) return; // else it scrolls the page
    event.preventDefault();
    const box = this.app.stage.frame.getBoundingClientRect();
    const at = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    this.by(STEP ** (-event.deltaY / NOTCH), ...at);
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before || !this.#able) return;
    const now = place(event);
    const box = this.app.stage.frame.getBoundingClientRect();
    const [other] = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    this.#pointers.set(event.pointerId, now);
    if (other) {
      const middle = [(now[0] + other[0]) / 2 - box.left, (now[1] + other[1]) / 2 - box.top];
      const factor = distance(now, other) / Math.max(1, distance(before, other));
      this.by(factor, middle[0] / box.width, middle[1] / box.height);
    } else if (this.value[0] > 1) {
      const [times, x, y] = this.value;
      const moved = [(now[0] - before[0]) / box.width, (now[1] - before[1]) / box.height];
      this.#set(times, x - moved[0] / times, y - moved[1] / times);
    }
  }
}

const place = ({ clientX, clientY }) => [clientX, clientY];
const distance = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by);
