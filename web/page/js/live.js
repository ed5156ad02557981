/** The camera's pictures with the sliders on them, as many a second as the machine can do. */

import { $, fail, say } from "./dom.js";
import { grabbed } from "./film.js";

const SIDE = 640; // longest side of a picture, in pixels
const STILL = 0.3; // share of the way to where the face is now that is gone at least,
const FAR = 0.1; // and the whole from so many eye distances on, so that a still face does not tremble
const COUNTED = 1000; // milliseconds over which pictures are counted

/** Five points between where a face `was` and where it `is`, near the latter the farther it moved. */
export function steadied(was, is) {
  if (!was || !is) return is;
  const eyes = Math.hypot(is[1][0] - is[0][0], is[1][1] - is[0][1]);
  const moved = is.map(([x, y], i) => Math.hypot(x - was[i][0], y - was[i][1]));
  const share = Math.min(1, Math.max(STILL, Math.max(...moved) / (FAR * eyes)));
  return is.map((point, i) => point.map((value, axis) => was[i][axis] + share * (value - was[i][axis])));
}

export class Live {
  #view = null; // the video, while it runs
  #last = null; // the last frame as it came

  /** take: (file of a picture). */
  constructor(app, take) {
    this.app = app;
    $("live-stop").addEventListener("click", () => this.stop());
    $("live-take").addEventListener("click", async () => {
      const file = await this.#file();
      this.stop();
      take(file);
    });
  }

  get running() {
    return this.#view !== null;
  }

  /** Run over a camera's stream, which is let go at the end. */
  async run(stream) {
    const { app } = this;
    const view = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
    view.srcObject = stream;
    this.#view = view;
    this.#show(true);
    $("live-stop").focus();
    const canvas = new OffscreenCanvas(1, 1);
    let five = null;
    let count = 0;
    let since = performance.now();
    try {
      await view.play();
      await app.film.ready((share) => this.#say(`Loading the model: ${Math.round(100 * share)}%.`));
      while (this.#view === view) {
        const frame = grabbed(view, view.videoWidth, view.videoHeight, SIDE, canvas);
        const seen = await app.film.seek(frame, five);
        five = steadied(five, seen);
        const picture = await app.film.edited(frame, five, app.state);
        if (this.#view !== view) break;
        this.#last = frame;
        app.stage.moving(frame, picture);
        $("frame").dataset.live = "true"; // as in a mirror
        count += 1;
        const now = performance.now();
        if (now - since >= COUNTED) {
          const rate = (1000 * count) / (now - since);
          this.#say(seen ? `${rate.toFixed(rate < 3 ? 1 : 0)} pictures a second.` : "No face is seen.");
          [count, since] = [0, now];
        }
        await new Promise(requestAnimationFrame);
      }
    } catch (error) {
      fail(error);
      this.stop();
    }
  }

  #say(text) {
    $("live-text").textContent = `Live, in this browser alone. ${text}`;
  }

  #show(on) {
    $("live-bar").hidden = !on;
    if (!on) $("frame").removeAttribute("data-live");
    for (const id of ["share", "save", "pin"]) $(id).disabled = on;
    this.app.refresh();
    if (on) this.#say("");
    say(on ? "Live. The sliders change what the camera sees." : "The camera is off.");
  }

  stop() {
    if (!this.running) return;
    for (const track of this.#view.srcObject.getTracks()) track.stop();
    this.#view.srcObject = null;
    this.#view = null;
    this.#show(false);
    this.app.draw();
  }

  /** Promise of the last picture as a file, unedited: the sliders go on it as on any photograph. */
  async #file() {
    const { data, width, height } = this.#last;
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
    return new File([await canvas.convertToBlob({ type: "image/png" })], "camera.png", { type: "image/png" });
  }
}
