/** How a photograph was aligned, shown and corrected: three points to drag or click, and the choice among several faces. */

import { apply, invert } from "./align.js";
import { canvasOf, rgba } from "./photo.js";
import { element } from "./sliders.js";
import { enlarged } from "./stage.js";

const SIDE = 760; // longest side of the photograph in the dialog
const SETTLE = 300; // milliseconds after the last arrow key before the face is cut anew
const NAMES = ["Eye on the left", "Eye on the right", "Middle of the mouth"];
const NOTICES = {
  none: "No face was found, so the middle of the picture was taken. Three clicks on the eyes and the mouth put it right.",
  several: "Several faces were found. Choose one by its frame.",
  small: "The face is small: the model sees little of it.",
  turned: "The face is turned far to a side; the model knows faces from the front best.",
};
const HOW = {
  face: "Found by the face detector.",
  points: "Aligned by your three points.",
  frame: "The picture has the frame of the training pictures already, so it was taken as it is.",
};

export class AlignDialog {
  /** encode: (photo, {face, points}) -> Promise of what the encoder made of it, drawn: S * S * 3 numbers among it; use: (photo, encoded). */
  constructor(dialog, { encode, use, fail }) {
    this.dialog = dialog;
    this.photoBox = dialog.querySelector("#align-photo");
    this.canvas = dialog.querySelector("#align-canvas");
    this.marks = dialog.querySelector("#align-marks");
    this.text = dialog.querySelector("#align-text");
    Object.assign(this, { encode, use, fail });
    dialog.querySelector("#align-clicks").addEventListener("click", () => this.#startClicks());
    dialog.querySelector("#align-auto").addEventListener("click", () => this.#again({}));
    this.photoBox.addEventListener("click", (event) => this.#click(event));
  }

  open(photo, encoded, size) {
    Object.assign(this, { photo, size, clicks: null });
    const { width, height } = photo.picture;
    this.scale = Math.min(1, SIDE / Math.max(width, height));
    [this.canvas.width, this.canvas.height] = [Math.round(width * this.scale), Math.round(height * this.scale)];
    this.source = canvasOf(photo.picture);
    this.#show(encoded);
    this.dialog.showModal();
  }

  #show(encoded) {
    this.encoded = encoded;
    this.#draw(encoded.matrix);
    this.#picture("#align-crop", encoded.crop);
    this.#picture("#align-back", enlarged(encoded.drawn, this.size));
    const how = encoded.notices.includes("none") && encoded.aligned === "frame" ? "" : HOW[encoded.aligned];
    this.text.textContent = [how, ...encoded.notices.filter((n) => n !== "several" || encoded.aligned === "face").map((n) => NOTICES[n])].join(" ").trim();
    this.marks.replaceChildren(...this.#boxes(encoded), ...encoded.points.map((point, i) => this.#point(point, i)));
  }

  #picture(selector, picture) {
    const canvas = this.dialog.querySelector(selector);
    [canvas.width, canvas.height] = [picture.width, picture.height];
    canvas.getContext("2d").putImageData(rgba(picture), 0, 0);
  }

  /** The photograph, dimmed outside what the model sees. */
  #draw(matrix) {
    const context = this.canvas.getContext("2d");
    const { width, height } = this.canvas;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.source, 0, 0, width, height);
    const inverse = invert(matrix);
    const [low, high] = [-0.5, this.size - 0.5];
    const corners = [[low, low], [high, low], [high, high], [low, high]].map((corner) => apply(inverse, corner).map((v) => (v + 0.5) * this.scale));
    context.save();
    context.beginPath();
    context.rect(0, 0, width, height);
    corners.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.closePath();
    context.fillStyle = "rgb(0 0 0 / 45%)";
    context.fill("evenodd");
    context.restore();
  }

  #place(mark, [x, y]) {
    mark.style.left = `${(100 * (x + 0.5)) / this.photo.picture.width}%`;
    mark.style.top = `${(100 * (y + 0.5)) / this.photo.picture.height}%`;
  }

  /** Where a pointer is, in pixels of the photograph. */
  #where(event) {
    const box = this.canvas.getBoundingClientRect();
    const { width, height } = this.photo.picture;
    const inside = (value, limit) => Math.min(limit - 0.5, Math.max(-0.5, value));
    return [inside(((event.clientX - box.left) / box.width) * width - 0.5, width), inside(((event.clientY - box.top) / box.height) * height - 0.5, height)];
  }

  #boxes({ faces, face }) {
    if (faces.length < 2) return [];
    return faces.map(({ box: [x, y, width, height] }, i) => {
      const mark = element("button", { type: "button", className: "face-box", title: `Face ${i + 1}` });
      mark.setAttribute("aria-label", `Face ${i + 1} of ${faces.length}`);
      mark.setAttribute("aria-pressed", String(i === face));
      this.#place(mark, [x, y]);
      mark.style.width = `${(100 * width) / this.photo.picture.width}%`;
      mark.style.height = `${(100 * height) / this.photo.picture.height}%`;
      mark.addEventListener("click", (event) => {
        if (this.clicks) return;
        event.stopPropagation();
        this.#again({ face: i });
      });
      return mark;
    });
  }

  #point(point, index) {
    const mark = element("button", { type: "button", className: "point", title: NAMES[index] });
    mark.setAttribute("aria-label", `${NAMES[index]}: move with the arrow keys`);
    this.#place(mark, point);
    let settling = 0;
    const points = () => this.encoded.points.map((other, i) => (i === index ? point : other));
    mark.addEventListener("pointerdown", (event) => {
      mark.setPointerCapture(event.pointerId);
      const move = (moved) => this.#place(mark, (point = this.#where(moved)));
      mark.addEventListener("pointermove", move);
      mark.addEventListener("pointerup", () => {
        mark.removeEventListener("pointermove", move);
        if (point !== this.encoded.points[index]) this.#again({ points: points() }, index);
      }, { once: true });
    });
    mark.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      const far = (event.shiftKey ? 10 : 1) / this.scale;
      point = [point[0] + step[0] * far, point[1] + step[1] * far];
      this.#place(mark, point);
      clearTimeout(settling);
      settling = setTimeout(() => mark.isConnected && this.#again({ points: points() }, index), SETTLE);
    });
    return mark;
  }

  #startClicks() {
    this.clicks = [];
    this.marks.replaceChildren();
    this.photoBox.classList.add("clicking");
    this.text.textContent = `Click: ${NAMES[0].toLowerCase()}.`;
  }

  #click(event) {
    if (!this.clicks) return;
    const index = this.clicks.push(this.#where(event)) - 1;
    const mark = element("span", { className: "point" });
    this.#place(mark, this.clicks[index]);
    this.marks.append(mark);
    if (this.clicks.length < 3) {
      this.text.textContent = `Click: ${NAMES[this.clicks.length].toLowerCase()}.`;
      return;
    }
    const [a, b, mouth] = this.clicks;
    this.clicks = null;
    this.#again({ points: a[0] <= b[0] ? [a, b, mouth] : [b, a, mouth] });
  }

  async #again(choice, focus = null) {
    this.clicks = null;
    this.photoBox.classList.remove("clicking");
    const photo = this.photo;
    try {
      const encoded = await this.encode(photo, choice);
      if (photo !== this.photo) return;
      this.#show(encoded);
      if (focus !== null) this.marks.querySelectorAll(".point")[focus].focus();
      this.use(photo, encoded);
    } catch (error) {
      this.#show(this.encoded);
      this.fail(error);
    }
  }
}
