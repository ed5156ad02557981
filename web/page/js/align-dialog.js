/**
 * How a photograph was aligned, shown and corrected: three points to drag or click, and the choice among
 * several faces.
 */

import { apply, invert, similarity } from "./align.js";
import { element, openDialog } from "./dom.js";
import { enlarged } from "./paint.js";
import { canvasOf, rgba } from "./photo.js";
import { viewWindow } from "./stage.js";

/** What is to be said of a model whose training pictures do not tell where eyes and mouth lie. */
export const GUESSED =
  "The training pictures are crops in which the places of eyes and mouth are not known: " +
  "photographs are laid as CelebA lays its faces, which may be a little off for this model.";

const SIDE = 760; // longest side of the photograph in the dialog
const MOST = 3; // times it is enlarged at most
const SAME = 0.6; // a closer look that shows more than this share of the photograph is no use
const SETTLE = 300; // milliseconds after the last arrow key before the face is cut anew
const NAMES = ["Eye on the left", "Eye on the right", "Middle of the mouth"];
const NOTICES = {
  none:
    "No face was found, so the middle of the picture was taken. " +
    "Three clicks on the eyes and the mouth put it right.",
  several: "Several faces were found. Choose one by its frame.",
  small: "The face is small: the model sees little of it.",
  turned: "The face is turned far to a side; the model knows faces from the front best.",
  unlike:
    "The model learnt from faces unlike this one: it draws this one back only roughly, " +
    "and edits will be rough too.",
};
const UPSIDE_DOWN = "The mouth lies above the eyes: the face is taken to be upside down.";
const HOW = {
  face: "Found by the face detector.",
  points: "Aligned by your three points.",
  frame: "The picture has the frame of the training pictures already, so it was taken as it is.",
};

export class AlignDialog {
  /**
   * encode: (photo, {face, points}) -> Promise of what the encoder made of it, drawn: S * S * 3 numbers among
   * it; use: (photo, encoded).
   */
  constructor(dialog, { encode, use, fail }) {
    this.dialog = dialog;
    this.photoBox = dialog.querySelector("#align-photo");
    this.canvas = dialog.querySelector("#align-canvas");
    this.marks = dialog.querySelector("#align-marks");
    this.text = dialog.querySelector("#align-text");
    Object.assign(this, { encode, use, fail });
    dialog.querySelector("#align-clicks").addEventListener("click", () => this.#startClicks());
    dialog.querySelector("#align-auto").addEventListener("click", () => this.#again({}));
    this.zoom = dialog.querySelector("#align-zoom");
    this.zoom.addEventListener("click", () => this.#look(!this.closer));
    dialog.addEventListener("close", () => this.#stopClicks());
    this.photoBox.addEventListener("click", (event) => this.#click(event));
  }

  /** photo: with its pixels loaded. */
  open(photo, encoded, { size, geometry }) {
    Object.assign(this, { photo, size, clicks: null, encoded, guessed: geometry.guessed });
    this.source = canvasOf(photo.picture);
    this.#show(encoded, encoded.faces.length < 2 && encoded.aligned !== "frame");
    openDialog(this.dialog);
  }

  /** closer: whether to look closer, or undefined to stay where one is. */
  #show(encoded, closer) {
    this.encoded = encoded;
    const how = encoded.notices.includes("none") && encoded.aligned === "frame" ? "" : HOW[encoded.aligned];
    const notices = encoded.notices
      .filter((notice) => notice !== "several" || encoded.aligned === "face")
      .map((notice) => NOTICES[notice]);
    this.text.textContent = [how, ...notices, this.guessed ? GUESSED : ""].join(" ").trim();
    const [a, b, mouth] = encoded.points;
    if (mouth[1] < (a[1] + b[1]) / 2) this.text.textContent += ` ${UPSIDE_DOWN}`;
    this.#picture("#align-crop", encoded.crop);
    this.#picture("#align-back", enlarged(encoded.drawn, this.size));
    if (closer === undefined) this.#draw();
    else this.#look(closer);
  }

  /** Show the surroundings of the face, or the whole photograph. */
  #look(closer) {
    const { picture } = this.photo;
    const close = viewWindow("close", picture, this.encoded.matrix, this.size);
    this.zoom.hidden = close[2] * close[3] > SAME * picture.width * picture.height;
    this.closer = closer && !this.zoom.hidden;
    this.zoom.setAttribute("aria-pressed", String(this.closer));
    this.window = this.closer ? close : viewWindow("whole", picture);
    const [, , width, height] = this.window;
    this.scale = Math.min(MOST, SIDE / Math.max(width, height));
    [this.canvas.width, this.canvas.height] = [
      Math.round(width * this.scale),
      Math.round(height * this.scale),
    ];
    this.#draw();
  }

  #picture(selector, picture) {
    const canvas = this.dialog.querySelector(selector);
    [canvas.width, canvas.height] = [picture.width, picture.height];
    canvas.getContext("2d").putImageData(rgba(picture), 0, 0);
  }

  /** The photograph, dimmed outside what the model sees, and what lies on it. */
  #draw() {
    const { encoded } = this;
    const context = this.canvas.getContext("2d");
    const { width, height } = this.canvas;
    const [left, top] = this.window;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.source, ...this.window, 0, 0, width, height);
    const inverse = invert(encoded.matrix);
    const [low, high] = [-0.5, this.size - 0.5];
    const corners = [
      [low, low],
      [high, low],
      [high, high],
      [low, high],
    ]
      .map((corner) => apply(inverse, corner))
      .map(([x, y]) => [(x + 0.5 - left) * this.scale, (y + 0.5 - top) * this.scale]);
    context.save();
    context.beginPath();
    context.rect(0, 0, width, height);
    context.moveTo(...corners[0]);
    for (const corner of corners.slice(1)) context.lineTo(...corner);
    context.closePath();
    context.fillStyle = "rgb(0 0 0 / 45%)";
    context.fill("evenodd");
    context.restore();
    this.marks.replaceChildren(
      ...(this.clicks
        ? this.clicks.map((click) => this.#clicked(click))
        : [...this.#boxes(encoded), ...encoded.points.map((point, i) => this.#point(point, i))]),
    );
  }

  #clicked(click) {
    const mark = element("span", { className: "point" });
    this.#place(mark, click);
    return mark;
  }

  #place(mark, [x, y]) {
    const [left, top, width, height] = this.window;
    mark.style.left = `${(100 * (x + 0.5 - left)) / width}%`;
    mark.style.top = `${(100 * (y + 0.5 - top)) / height}%`;
  }

  /** Where a pointer is, in pixels of the photograph. */
  #where(event) {
    const box = this.canvas.getBoundingClientRect();
    const [left, top, width, height] = this.window;
    const inside = (share, from, length) => from + Math.min(1, Math.max(0, share)) * length - 0.5;
    return [
      inside((event.clientX - box.left) / box.width, left, width),
      inside((event.clientY - box.top) / box.height, top, height),
    ];
  }

  #boxes({ faces, face }) {
    if (faces.length < 2) return [];
    return faces.map(({ box: [x, y, width, height] }, i) => {
      const mark = element("button", { type: "button", className: "face-box", title: `Face ${i + 1}` });
      mark.setAttribute("aria-label", `Face ${i + 1} of ${faces.length}`);
      mark.setAttribute("aria-pressed", String(i === face));
      this.#place(mark, [x, y]);
      mark.style.width = `${(100 * width) / this.window[2]}%`;
      mark.style.height = `${(100 * height) / this.window[3]}%`;
      mark.addEventListener("click", (event) => {
        if (this.clicks) return;
        event.stopPropagation();
        this.#again({ face: i });
      });
      return mark;
    });
  }

  #point(found, index) {
    let point = found;
    const mark = element("button", { type: "button", className: "point", title: NAMES[index] });
    mark.setAttribute("aria-label", `${NAMES[index]}: move with the arrow keys`);
    this.#place(mark, point);
    let settling = 0;
    const points = () => this.encoded.points.map((other, i) => (i === index ? point : other));
    mark.addEventListener("pointerdown", (event) => {
      mark.setPointerCapture(event.pointerId);
      const move = (moved) => {
        point = this.#where(moved);
        this.#place(mark, point);
      };
      mark.addEventListener("pointermove", move);
      mark.addEventListener(
        "pointerup",
        () => {
          mark.removeEventListener("pointermove", move);
          if (point !== this.encoded.points[index]) this.#again({ points: points() }, index);
        },
        { once: true },
      );
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
    this.marks.append(this.#clicked(this.clicks[index]));
    if (this.clicks.length < 3) {
      this.text.textContent = `Click: ${NAMES[this.clicks.length].toLowerCase()}.`;
      return;
    }
    const [a, b, mouth] = this.clicks;
    this.clicks = null;
    this.#again({ points: a[0] <= b[0] ? [a, b, mouth] : [b, a, mouth] });
  }

  #stopClicks() {
    this.clicks = null;
    this.photoBox.classList.remove("clicking");
  }

  async #again(choice, focus = null) {
    this.#stopClicks();
    this.photoBox.setAttribute("aria-busy", "true");
    const photo = this.photo;
    try {
      if (choice.points) similarity(choice.points, choice.points); // throws where they coincide
      const encoded = await this.encode(photo, choice);
      if (photo !== this.photo) return;
      this.#show(encoded, choice.points ? undefined : this.closer);
      if (focus !== null) this.marks.querySelectorAll(".point")[focus].focus();
      this.use(photo, encoded);
    } catch (error) {
      this.#show(this.encoded);
      this.fail(new Error(error.message.replace(/^points: /, "")));
    }
    this.photoBox.removeAttribute("aria-busy");
  }
}
