/** The dialog Save, and the link to copy. */

import { $, fail, openDialog, say, toast } from "./dom.js";
import { download, Saver } from "./save.js";
import { leftOut } from "./share.js";

const ENDINGS = { png: ".png", gif: ".gif", strip: "-strip.png" };

const nameOfFile = (base) => {
  if (base.kind === "photo") return "photo";
  return base.kind === "seed" ? `face-${base.seed}` : `preset-${base.index + 1}`;
};

export class SaveDialog {
  constructor(app) {
    this.app = app;
    this.saver = new Saver(app.session, (state) => app.shot(state));
    this.dialog = $("saver");
    this.buttons = [...this.dialog.querySelectorAll(".choice")];
    $("save").addEventListener("click", () => this.open());
    $("share").addEventListener("click", () => this.share());
    for (const kind of Object.keys(ENDINGS)) {
      $(`save-${kind}`).addEventListener("click", () => this.save(kind));
    }
  }

  open() {
    if ($("save").disabled) return;
    const shot = this.app.shot(this.app.state);
    const { width, height } = shot?.photo ?? {};
    $("save-png-text").textContent =
      shot && shot.view !== "model"
        ? `PNG, ${width} × ${height}: the photograph with the change in it`
        : "PNG, 512 × 512";
    for (const id of ["save-gif", "save-strip"]) $(id).disabled = $("play").disabled;
    openDialog(this.dialog);
  }

  async save(kind) {
    const { state } = this.app;
    const bar = $("save-progress");
    bar.hidden = false;
    bar.removeAttribute("value");
    for (const button of this.buttons) button.disabled = true;
    try {
      const blob = await this.saver[kind](state, (share) => {
        bar.value = share;
      });
      download(blob, `facemorph-${nameOfFile(state.base)}${ENDINGS[kind]}`);
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
