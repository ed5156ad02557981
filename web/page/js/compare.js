/** The original beside the edit: while a person holds, or by a wipe. */

import { $ } from "./dom.js";

export class Compare {
  constructor(stage) {
    this.stage = stage;
    $("split").addEventListener("click", () => this.split(!stage.splitting));
    $("compare").addEventListener("pointerdown", () => this.hold());
    $("compare").addEventListener("keydown", (event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      this.hold();
    });
    stage.after.addEventListener("pointerdown", () => {
      if (!stage.frame.classList.contains("zoomed")) this.hold(); // there a pointer moves the picture
    });
    for (const event of ["pointerup", "pointercancel", "keyup", "blur"]) {
      window.addEventListener(event, () => stage.hold(false));
    }
    $("frame").addEventListener("contextmenu", (event) => {
      if (event.pointerType === "touch") event.preventDefault(); // a long touch compares
    });
  }

  hold() {
    if (!$("compare").disabled) this.stage.hold(true);
  }

  split(on) {
    this.stage.split(on);
    $("split").setAttribute("aria-pressed", String(on));
  }
}
