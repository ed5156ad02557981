/** Make a slider from pictures with and without something. */

import { newDirection } from "./direction.js";
import { element } from "./dom.js";
import { Photo, rgba } from "./photo.js";

const MAX_PICTURES = 60; // a side

/** A sentence on how far a slider can be trusted. */
export function verdict({ auroc, kept, between, counts }) {
  const told =
    auroc === null
      ? "With one picture on a side, nothing can be held out to test it."
      : `Pairs held out of it are told apart with an AUROC of ${auroc.toFixed(2)}: ` +
        "1 is always, 0.5 is chance.";
  const apart =
    kept > 0
      ? `The two sides lie ${between.toFixed(1)} sigmas apart, ` +
        `after shrinking by ${Math.round(100 * (1 - kept))}% for being few.`
      : "So few pictures differ no more than chance would have it: " +
        "treat this slider as a guess, or add pictures.";
  return `From ${counts[0]} with and ${counts[1]} without. ${told} ${apart}`;
}

export class Maker {
  #sides;

  /** hooks: {session, locked() -> [{label, unit}], add(slider), fail(error)}. */
  constructor(root, hooks) {
    this.hooks = hooks;
    this.root = root;
    this.button = root.querySelector("#make");
    this.name = root.querySelector("#make-name");
    this.result = root.querySelector("#make-result");
    this.#sides = ["#drop-with", "#drop-without"].map((selector) => this.#side(root.querySelector(selector)));
    root.querySelector("#make-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#make();
    });
  }

  #side(box) {
    const side = { box, entries: [], list: box.querySelector(".thumbs") };
    const input = box.querySelector("input");
    box.querySelector(".add").addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      this.#take(side, [...input.files]);
      input.value = "";
    });
    box.addEventListener("dragover", () => box.classList.add("over"));
    box.addEventListener("dragleave", () => box.classList.remove("over"));
    box.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      box.classList.remove("over");
      this.#take(side, [...event.dataTransfer.files]);
    });
    return side;
  }

  async #take(side, files) {
    for (const file of files.slice(0, MAX_PICTURES - side.entries.length)) {
      const wait = element("li", { className: "wait" });
      side.list.append(wait);
      try {
        const { code, crop } = await this.hooks.session.backend.encode(await Photo.read(file));
        const entry = { code };
        const canvas = element("canvas", { width: crop.width, height: crop.height });
        canvas.getContext("2d").putImageData(rgba(crop), 0, 0);
        const remove = element("button", { type: "button", title: `Remove ${file.name}` }, canvas);
        remove.setAttribute("aria-label", `Remove ${file.name}`);
        const item = element("li", {}, remove);
        remove.addEventListener("click", () => {
          side.entries.splice(side.entries.indexOf(entry), 1);
          item.remove();
          this.#ready();
        });
        side.entries.push(entry);
        wait.replaceWith(item);
      } catch (error) {
        wait.remove();
        this.hooks.fail(error);
      }
      this.#ready();
    }
  }

  #ready() {
    const [withIt, without] = this.#sides.map((side) => side.entries.length);
    this.button.disabled = !withIt || !without;
  }

  #make() {
    const { session, locked, add, fail } = this.hooks;
    const codes = this.#sides.map((side) => side.entries.map((entry) => entry.code));
    const kept = locked();
    const [withIt, without] = session.bundle.untold(
      codes,
      kept.map(({ name }) => name),
    );
    try {
      const made = newDirection(
        withIt,
        without,
        session.bundle.values.std,
        (unit) => session.bundle.spread(unit),
        kept.map(({ unit }) => unit),
      );
      const slider = {
        ...made,
        label: this.name.value.trim() || "My slider",
        counts: [withIt.length, without.length],
        apart: kept.map(({ label }) => label),
      };
      add(slider);
      this.result.hidden = false;
      const text = verdict(slider);
      const apart = slider.apart.length ? ` It stays clear of: ${slider.apart.join(", ")}.` : "";
      this.result.replaceChildren(
        element("strong", { textContent: `${slider.label} is among your sliders.` }),
        element("p", { textContent: text + apart }),
      );
      this.name.value = "";
    } catch (error) {
      fail(error);
    }
  }
}
