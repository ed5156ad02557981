/** A picture taken with the camera, which is asked for only when a person has read what becomes of it. */

import { $, openDialog } from "./dom.js";

const QUALITY = 0.95; // of the JPEG
const SIDE = 1920; // pixels that are asked for
const REFUSED = {
  NotAllowedError: "The browser does not allow the camera here: allow it in the address bar, then try again.",
  NotFoundError: "No camera was found. Use a photograph instead.",
  NotReadableError: "The camera is in use by another program: close that, then try again.",
};

export class Camera {
  #stream = null;

  /** take: (file of the picture); live: (stream), which takes it over. */
  constructor(take, live) {
    Object.assign(this, { take, live });
    $("camera-open").hidden = !navigator.mediaDevices?.getUserMedia; // as where the page came without TLS
    $("camera-open").addEventListener("click", () => this.open());
    $("camera-on").addEventListener("click", () => this.#turnOn());
    $("camera-take").addEventListener("click", () => this.#picture());
    $("camera-live").addEventListener("click", () => this.#goLive());
    $("camera").addEventListener("close", () => this.#turnOff());
  }

  open() {
    const local = $("frame").dataset.place === "local";
    $("camera-text").textContent =
      "The browser will ask whether this page may use the camera. " +
      (local
        ? "The picture that you take stays on this computer."
        : "Only the picture that you take is sent to this server, which does not store it.") +
      " Live, each picture is edited in this browser, and none is sent or kept.";
    $("camera-live").hidden = !local && $("place").hidden; // there the model cannot come here
    openDialog($("camera"));
  }

  async #turnOn() {
    $("camera-on").disabled = true;
    try {
      const video = { facingMode: "user", width: { ideal: SIDE }, height: { ideal: SIDE } };
      const stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
      this.#stream = stream;
      if (!$("camera").open) this.#turnOff();
      else await this.#show();
    } catch (error) {
      $("camera-text").textContent = REFUSED[error.name] ?? `The camera did not start: ${error.message}`;
    }
    $("camera-on").disabled = false;
  }

  async #show() {
    const view = $("camera-view");
    view.srcObject = this.#stream;
    await view.play();
    $("camera-text").textContent = "Look into the camera, with your face in the middle.";
    this.#seen(true);
    $("camera-take").focus();
  }

  async #picture() {
    const view = $("camera-view");
    const canvas = new OffscreenCanvas(view.videoWidth, view.videoHeight);
    canvas.getContext("2d").drawImage(view, 0, 0);
    $("camera").close();
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
    this.take(new File([blob], "camera.jpg", { type: "image/jpeg" }));
  }

  #goLive() {
    const stream = this.#stream;
    this.#stream = null; // which goes on
    $("camera").close();
    this.live(stream);
  }

  #turnOff() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    $("camera-view").srcObject = null;
    this.#seen(false);
  }

  #seen(on) {
    for (const id of ["camera-view", "camera-on-buttons"]) $(id).hidden = !on;
    $("camera-on").hidden = on;
  }
}
