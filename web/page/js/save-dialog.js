/** The dialog Save, and the link to copy. */

import { $, fail, openDialog, say, toast } from "./dom.js";
import { download, Saver, videoKind } from "./save.js";
import { leftOut } from "./share.js";

const ENDINGS = { png: ".png", jpeg: ".jpg", gif: ".gif", video: videoKind()?.[1], strip: "-strip.png" };
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
    $("save-batch").disabled = Object.keys(this.app.state.strengths).length === 0;
    const form = videoKind()?.[1] === ".mp4" ? "MP4" : "WebM";
    $("save-video-text").textContent = `${form}: the same, smoother, in three seconds`;
    openDialog(this.dialog);
  }

  async save(kind) {
    const { state } = this.app;
    await this.#making(async (progress) => {
      const blob = await this.saver[kind](state, progress);
      download(blob, `facemorph-${nameOfFile(state.base)}${ENDINGS[kind]}`);
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

  /** Make a file, with a bar that shows how far: make: (progress) -> Promise. */
  async #making(make) {
    const bar = $("save-progress");
    bar.hidden = false;
    bar.removeAttribute("value");
    for (const button of this.buttons) button.disabled = true;
    try {
      await make((share) => {
        bar.value = share;
      });
      this.dialog.close();
      say("Saved.");
    } catch (error) {
      fail(error);
    }
    for (const button of this.buttons) button.disabled = false;
    bar.hidden = true;
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
