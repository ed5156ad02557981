/** Photographs: brought by button, drop or paste, encoded, and shown as a person chooses. */

import { threePoints } from "./align.js";
import { AlignDialog } from "./align-dialog.js";
import { Camera } from "./camera.js";
import { $, element, fail, say, toast } from "./dom.js";
import { Live } from "./live.js";
import { readState } from "./marks.js";
import { Photo, rgba, unlike } from "./photo.js";
import * as store from "./photo-store.js";

// What is said of a photograph at once; the dialog says more.
const NOTICES = {
  none: "No face was found: the middle of the picture was taken. “How it was aligned” puts it right.",
  several: "Several faces were found, the largest was taken. “How it was aligned” lets you choose.",
  small: "The face is small: the model sees little of it.",
  turned: "The face is turned to a side; the model knows faces from the front best.",
  unlike:
    "This picture is too unlike the faces that the model knows: " +
    "it cannot be edited well, and nothing is promised.",
};
const INSTEAD = "Start from one of the faces below, or bring a picture like them.";

const said = ({ notices }) => Object.keys(NOTICES).filter((name) => notices.includes(name));

/** Which face was encoded, as backends take it. */
const choiceOf = ({ aligned, face, points }) => {
  if (aligned === "points") return { points };
  return aligned === "face" ? { face } : {};
};

export class PhotoInput {
  #kept = null; // what the session holds of the photograph that the browser keeps
  view = "close"; // "close", "whole" or "model": what is shown of a photograph

  constructor(app) {
    this.app = app;
    this.alignDialog = new AlignDialog($("align"), {
      encode: (photo, choice) => this.encode(photo, choice),
      use: (photo, encoded) => app.commit({ ...app.state, base: app.session.addPhoto(photo, encoded) }),
      fail,
    });
    const take = (file) => this.bring(file, (base) => app.face(base));
    this.live = new Live(app, (file) => this.bring(file, (base) => app.commit({ ...app.state, base })));
    this.camera = new Camera(take, (stream) => this.live.run(stream));
    this.#button("upload", "file", (base) => app.face(base));
    this.#button("morph-upload", "morph-file", (base) => app.morph.towards(base));
    $("align-open").addEventListener("click", () => this.openAlign());
    for (const radio of document.querySelectorAll('input[name="view"]')) {
      radio.addEventListener("change", () => {
        this.view = radio.value;
        app.zoom.reset();
        app.draw();
      });
    }
    $("forget").addEventListener("click", () => this.#forget());
    this.#dropAndPaste();
  }

  /** Keep the photograph that is shown over a reload, and none where none is. */
  #keep(held) {
    if (held === this.#kept) return;
    this.#kept = held;
    if (held) store.keep({ file: held.photo.file, choice: choiceOf(held.encoded) });
    else store.forget();
  }

  /** Promise of the base of the photograph that the browser kept; null without one. */
  async restored() {
    const photograph = await store.kept();
    if (!photograph) return null;
    const photo = await Photo.read(photograph.file);
    return this.app.session.addPhoto(photo, await this.encode(photo, photograph.choice));
  }

  /** Let the photograph go, here and in all steps: the page begins anew. */
  async #forget() {
    await store.forget();
    history.replaceState(null, "", `${location.pathname}${location.search}`);
    location.reload();
  }

  #button(button, input, then) {
    $(button).addEventListener("click", () => $(input).click());
    $(input).addEventListener("change", () => {
      this.bring($(input).files[0], then);
      $(input).value = "";
    });
  }

  /** What the encoder makes of a photograph, with what the model draws back. */
  async encode(photo, choice) {
    const { backend } = this.app.session;
    const encoded = await backend.encode(photo, choice);
    const { pixels: drawn } = await backend.render(
      { code: encoded.code, strengths: {}, locked: [], custom: [] },
      false,
    );
    const { bundle } = backend;
    const likeness = bundle.pValue(encoded.crop, drawn, encoded.code);
    const refused =
      likeness === null
        ? unlike(encoded.crop, drawn, bundle.quality.psnr)
        : likeness <= bundle.likeness.refuse;
    const others = encoded.notices.filter((name) => name !== "unlike");
    return { ...encoded, drawn, likeness, notices: refused ? [...others, "unlike"] : others };
  }

  /** Read a file and hand its base to `then`. */
  async bring(file, then) {
    if (!file) return;
    const { session, stage } = this.app;
    stage.frame.setAttribute("aria-busy", "true");
    say("Reading the photograph.");
    try {
      const saved = await readState(file);
      if (saved) {
        this.app.commit(this.app.follow(saved));
        toast("A face saved here: opened again, with its sliders.");
        stage.frame.removeAttribute("aria-busy");
        return;
      }
      const photo = await Photo.read(file);
      const encoded = await this.encode(photo, {});
      then(session.addPhoto(photo, encoded));
      const notices = said(encoded);
      if (notices.length) toast(notices.map((name) => NOTICES[name]).join(" "));
    } catch (error) {
      fail(error);
    }
    stage.frame.removeAttribute("aria-busy");
  }

  /** Bring the bar under the picture in line with the state. */
  refresh() {
    const { session, state } = this.app;
    const held = session.photoOf(state.base);
    if (!this.app.restoring) this.#keep(held);
    const { running } = this.live;
    $("photo-bar").hidden = !held || running;
    document.querySelector(".stage").toggleAttribute("data-photo", Boolean(held) || running);
    $("photo-note").hidden = true;
    if (!held || running) return;
    this.#listFaces(held.encoded);
    const notices = said(held.encoded);
    const sentences = notices.map((name) => NOTICES[name]);
    if (notices.includes("unlike")) sentences.push(INSTEAD);
    $("photo-note").textContent = sentences.join(" ");
    $("photo-note").hidden = sentences.length === 0;
    const { crop } = held.encoded;
    $("crop").width = crop.width;
    $("crop").height = crop.height;
    $("crop").getContext("2d").putImageData(rgba(crop), 0, 0);
  }

  /** Offer the faces of a photograph, where there are several, from left to right. */
  #listFaces({ faces, face }) {
    const list = $("faces");
    list.hidden = faces.length < 2;
    const order = faces.map((_, index) => index).toSorted((a, b) => faces[a].box[0] - faces[b].box[0]);
    const choices = order.map((index, i) => {
      const radio = element("input", { type: "radio", name: "face", checked: index === face });
      radio.addEventListener("change", () => this.another(index));
      return element("label", {}, radio, element("span", { textContent: `Face ${i + 1}` }));
    });
    list.replaceChildren(list.querySelector("legend"), ...choices);
  }

  /**
   * Go on with another face of the same photograph, by its index; what was changed of this one stays in the
   * picture, which becomes the photograph.
   */
  async another(index) {
    const { app } = this;
    const { state, session, stage } = app;
    const { photo, encoded } = session.photoOf(state.base);
    stage.frame.setAttribute("aria-busy", "true");
    try {
      const edited = Object.keys(state.strengths).length > 0 || (state.other && state.mix > 0);
      const whole = edited ? await this.#baked(state, photo) : photo;
      const again = await this.#sameFace(whole, encoded.faces[index], index);
      if (app.state !== state) return;
      const base = session.addPhoto(whole, { ...again, faces: encoded.faces, face: index });
      app.commit({ ...state, base, other: null, mix: 0, strengths: {} });
      say("Another face of the photograph. What you changed before stays.");
    } catch (error) {
      fail(error);
      this.refresh();
    } finally {
      stage.frame.removeAttribute("aria-busy");
    }
  }

  /** Promise of the photograph with the change of a state in it, as a photograph. */
  async #baked(state, { file }) {
    const blob = await this.app.saveDialog.saver.photograph(state);
    return Photo.read(new File([blob], file.name, { type: blob.type }));
  }

  /** Promise of the encoding of a face where it was before, though an edit may change what is found. */
  async #sameFace(photo, { box: [left, top, width, height], points }, index) {
    const found = await this.encode(photo, { face: index }).catch(() => null);
    const box = found?.faces[index]?.box;
    const middle = box && [box[0] + box[2] / 2 - left, box[1] + box[3] / 2 - top];
    const there = middle && middle[0] > 0 && middle[0] < width && middle[1] > 0 && middle[1] < height;
    return there ? found : this.encode(photo, { points: threePoints(points) });
  }

  async openAlign() {
    const { session, state } = this.app;
    const held = session.photoOf(state.base);
    if (!held) return;
    await held.photo.load();
    this.alignDialog.open(held.photo, held.encoded, session.bundle);
  }

  #dropAndPaste() {
    const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    const busy = () => document.querySelector("dialog[open]") !== null;
    const take = (file) => this.bring(file, (base) => this.app.face(base));
    let depth = 0;
    const cover = (change) => {
      depth = Math.max(0, depth + change);
      $("drop-cover").hidden = depth === 0 || busy() || !$("page-make").hidden;
    };
    window.addEventListener("dragenter", (event) => carriesFiles(event) && cover(1));
    window.addEventListener("dragleave", (event) => carriesFiles(event) && cover(-1));
    window.addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
    window.addEventListener("drop", () => cover(-depth), true);
    window.addEventListener("drop", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      if (busy()) return;
      if ($("page-make").hidden) take(event.dataTransfer.files[0]);
      else toast("Drop the pictures on With or on Without.");
    });
    window.addEventListener("paste", (event) => {
      const pasted = [...(event.clipboardData?.files ?? [])];
      if (!busy()) take(pasted.find(({ type }) => type.startsWith("image/")));
    });
  }
}
