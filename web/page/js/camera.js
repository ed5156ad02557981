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

  /** take: (file of the picture). */
  constructor(take) {
    this.take = take;
    $("camera-open").hidden = !navigator.mediaDevices?.getUserMedia; // as where the page came without TLS
    $("camera-open").addEventListener("click", () => this.open());
    $("camera-on").addEventListener("click", () => this.#turnOn());
    $("camera-take").addEventListener("click", () => this.#picture());
    $("camera").addEventListener("close", () => this.#turnOff());
  }

  open() {
    const local = $("frame").dataset.place === "local";
    $("camera-text").textContent =
      "The browser will ask whether this page may use the camera. " +
      (local
        ? "The picture that you take stays on this computer."
        : "Only the picture that you take is sent to this server, which does not store it.");
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
    for (const [id, hidden] of [
      ["camera-view", false],
      ["camera-take", false],
      ["camera-on", true],
    ])
      $(id).hidden = hidden;
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

  #turnOff() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    $("camera-view").srcObject = null;
    for (const [id, hidden] of [
      ["camera-view", true],
      ["camera-take", true],
      ["camera-on", false],
    ])
      $(id).hidden = hidden;
  }
}
