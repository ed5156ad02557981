/** The dialog Save, and the link to copy. */

import { $, fail, openDialog, say, toast } from "./dom.js";
import { download, filed, Saver, videoKind } from "./save.js";
import { leftOut } from "./share.js";

const ENDINGS = { png: ".png", jpeg: ".jpg", gif: ".gif", video: videoKind()?.[1], strip: "-strip.png" };
const VIDEO_SIDE = 720; // longest side of an edited video, in pixels
const FRAME = { title: "Facemorph: a face with sliders", width: "420", height: "760" };
const MOVING = ["gif", "video", "strip"]; // of an edit

const nameOfFile = (base) => {
  if (base.kind === "photo") return "photo";
  return base.kind === "seed" ? `face-${base.seed}` : `preset-${base.index + 1}`;
};

export class SaveDialog {
  constructor(app) {
    this.app = app;
    this.saver = new Saver(app.session, (state) => app.shot(state), app.painter);
    this.dialog = $("saver");
    this.buttons = [...this.dialog.querySelectorAll(".choice")];
    $("save").addEventListener("click", () => this.open());
    $("share").addEventListener("click", () => this.share());
    for (const kind of Object.keys(ENDINGS)) {
      $(`save-${kind}`).addEventListener("click", () => this.save(kind));
    }
    $("save-video").hidden = !videoKind();
    $("save-batch").addEventListener("click", () => $("batch-files").click());
    $("batch-files").addEventListener("change", () => {
      this.batch([...$("batch-files").files]);
      $("batch-files").value = "";
    });
    $("save-film").addEventListener("click", () => $("film-file").click());
    $("film-file").addEventListener("change", () => {
      this.film($("film-file").files[0]);
      $("film-file").value = "";
    });
    $("save-embed").addEventListener("click", () => this.embed());
    $("save-cancel").addEventListener("click", () => this.dialog.close());
  }

  open() {
    if ($("save").disabled) return;
    const shot = this.app.shot(this.app.state);
    const { width, height } = shot?.photo ?? {};
    $("save-png-text").textContent =
      shot && shot.view !== "model"
        ? `PNG, ${width} × ${height}: the photograph with the change in it`
        : "PNG, 512 × 512";
    for (const kind of MOVING) $(`save-${kind}`).disabled = $("play").disabled;
    $("save-film").hidden = !videoKind() || ($("frame").dataset.place !== "local" && $("place").hidden);
    for (const id of ["save-batch", "save-film"])
      $(id).disabled = Object.keys(this.app.state.strengths).length === 0;
    // A server of the API forbids frames; a file server does not, unless told to
    $("save-embed").hidden = document.documentElement.dataset.backend !== "local" || shot !== null;
    $("embed-box").hidden = true;
    const form = videoKind()?.[1] === ".mp4" ? "MP4" : "WebM";
    $("save-video-text").textContent = `${form}: the same, smoother, in three seconds`;
    openDialog(this.dialog);
  }

  async save(kind) {
    const { state } = this.app;
    await this.#making(async (progress) => {
      const blob = await this.saver[kind](state, progress);
      if (this.dialog.open) download(blob, `facemorph-${nameOfFile(state.base)}${ENDINGS[kind]}`);
    });
  }

  /** The sliders on other photographs; closing the dialog ends it. */
  async batch(files) {
    if (!files.length) return;
    const { app, dialog, saver } = this;
    const missed = [];
    await this.#making(async (progress) => {
      const archive = await saver.batch(app.state, files, (photo) => app.photoInput.encode(photo, {}), {
        progress,
        goesOn: () => dialog.open,
        failed: (error) => missed.push(error.message),
      });
      app.refresh(); // which lets the photographs go
      if (archive) download(archive, "facemorph-photographs.zip");
    });
    if (missed.length) toast(`Left out: ${missed.join(" ")}`);
  }

  /** The sliders on a short video, here in the browser; closing the dialog ends it. */
  async film(file) {
    if (!file) return;
    const { app, dialog } = this;
    await this.#making(async (progress) => {
      const found = { progress, goesOn: () => dialog.open };
      const pictures = await app.film.video(file, app.state, VIDEO_SIDE, found);
      if (pictures) download(await filed(pictures, "photo"), `facemorph-video${ENDINGS.video}`);
    });
  }

  /** Make a file, with a bar that shows how far: make: (progress) -> Promise. */
  async #making(make) {
    const bar = $("save-progress");
    bar.hidden = false;
    $("save-cancel").hidden = false;
    bar.removeAttribute("value");
    for (const button of this.buttons) button.disabled = true;
    try {
      await make((share) => {
        bar.value = share;
      });
      say(this.dialog.open ? "Saved." : "Ended.");
      this.dialog.close();
    } catch (error) {
      fail(error);
    }
    for (const button of this.buttons) button.disabled = false;
    bar.hidden = true;
    $("save-cancel").hidden = true;
  }

  /** The HTML of a frame with this face, copied and shown. */
  async embed() {
    const address = new URL(location.href);
    address.search = "?embed";
    const frame = document.createElement("iframe");
    Object.assign(frame, { src: address.href, title: FRAME.title, width: FRAME.width, height: FRAME.height });
    frame.loading = "lazy";
    $("embed-code").value = frame.outerHTML;
    $("embed-box").hidden = false;
    $("embed-code").select();
    const copied = await navigator.clipboard.writeText(frame.outerHTML).then(
      () => true,
      () => false,
    );
    if (copied) toast("Copied.");
  }

  async share() {
    const { state } = this.app;
    try {
      await navigator.clipboard.writeText(location.href);
      const missing = leftOut(state);
      toast(
        missing.length
          ? `Link copied. It cannot carry: ${missing.join(", ")}.`
          : "Link copied: it opens this face with these sliders.",
      );
    } catch {
      toast("The link is in the address bar: copy it from there.");
    }
  }
}
