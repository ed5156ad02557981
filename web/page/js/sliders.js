/**
 * The panel of sliders: the telling ones first, the others by group, judgements of looks behind a fold, one's
 * own on top.
 */

import { element, icon, labelled } from "./dom.js";

const STEP = 0.05; // sigmas
const WEAK = 0.7; // a direction that tells held-out faces apart no better than this is called faint

export const signed = (value) => (value ? `${value > 0 ? "+" : "−"}${Math.abs(value).toFixed(2)}` : "0");

/** The bar of a range input, from its zero to its thumb, and its zero mark. */
export function paint(track, input) {
  const [low, high, value] = [Number(input.min), Number(input.max), Number(input.value)];
  const at = (number) => (number - low) / (high - low);
  const zero = at(Math.min(high, Math.max(low, 0)));
  track.style.setProperty("--zero", zero);
  track.style.setProperty("--bar-from", Math.min(zero, at(value)));
  track.style.setProperty("--bar-width", Math.abs(at(value) - zero));
}

export class Sliders {
  #rows = new Map();
  #groups = [];

  /** actions: {input(name, value), change(name, value), lock(name), save(name), remove(name)}. */
  constructor(root, bundle, actions) {
    this.root = root;
    this.bundle = bundle;
    this.actions = actions;
    this.own = this.#section("Your own", [], false);
    this.own.hidden = true;
    const [looks, rest] = [
      bundle.attributes.filter((a) => a.judgemental),
      bundle.attributes.filter((a) => !a.judgemental),
    ];
    const telling = rest.filter((a) => a.telling);
    root.replaceChildren(this.own);
    if (telling.length) root.append(this.#section("Most telling", telling, false));
    for (const group of bundle.groups) {
      const members = rest.filter((a) => a.group === group && !a.telling);
      if (members.length) root.append(this.#section(group, members, telling.length > 0));
    }
    if (looks.length) {
      const fold = this.#section("Judgements of looks and guesses about people", looks, true);
      fold.querySelector("summary").after(
        element("p", {
          className: "note",
          textContent:
            "These follow labels that annotators or programs put on strangers’ faces. " +
            "They say what was labelled, not what anyone is.",
        }),
      );
      root.append(fold);
    }
  }

  #section(title, attributes, fold) {
    const section = element(fold ? "details" : "section", { className: "group" });
    const count = element("span", { className: "count" });
    section.append(fold ? element("summary", {}, title, count) : element("h2", {}, title));
    const list = element("ul", { className: "rows" });
    list.append(...attributes.map((attribute) => this.#row(attribute)));
    section.append(list);
    this.#groups.push({ section, list, count, names: attributes.map((a) => a.name), fold, open: false });
    return section;
  }

  #row({ name, label, meaning, reach, auroc_low: sure }) {
    const id = `slider-${name.replaceAll(/[^\w-]/g, "-")}`;
    const limit = Math.max(1, Math.round(reach / STEP) * STEP).toFixed(2);
    const input = element("input", {
      type: "range",
      id,
      min: `-${limit}`,
      max: limit,
      step: String(STEP),
      value: "0",
    });
    input.setAttribute("aria-describedby", "slider-help");
    const shown = element("span", { className: "value", textContent: "0" });
    shown.setAttribute("aria-hidden", "true"); // the range says it
    const lock = element("button", { type: "button" }, icon("open"));
    const reset = labelled(
      element("button", { type: "button", disabled: true }, icon("reset")),
      `Reset ${label}`,
    );
    const zero = element("span", { className: "zero" });
    const track = element("div", { className: "track" }, zero, input);
    const title = element("label", {
      htmlFor: id,
      textContent: label,
      title: meaning ? meaning[0].toUpperCase() + meaning.slice(1) : "",
    });
    if (sure !== null && sure < WEAK)
      title.append(
        element("span", {
          className: "weak",
          textContent: "faint",
          title: "The model hardly knows this one",
        }),
      );
    const row = element("li", { className: "row", dataset: { name } }, title, shown, lock, reset, track);

    let dragging = false;
    const value = () => {
      const read = Number(input.value);
      return dragging && Math.abs(read) < 0.02 * limit ? 0 : Number(read.toFixed(2));
    };
    input.addEventListener("pointerdown", () => (dragging = true));
    input.addEventListener("input", () => this.actions.input(name, value()));
    input.addEventListener("change", () => {
      this.actions.change(name, value());
      dragging = false;
    });
    row.addEventListener("dblclick", (event) => {
      if (!event.target.closest("button") && !input.disabled) this.actions.change(name, 0);
    });
    reset.addEventListener("click", () => {
      this.actions.change(name, 0);
      input.focus();
    });
    lock.addEventListener("click", () => this.actions.lock(name));
    this.#rows.set(name, { row, input, shown, lock, reset, track, label });
    return row;
  }

  /** Put a slider of one's own in, or take it out. */
  add(name, slider) {
    const group = this.#groups.find(({ section }) => section === this.own);
    const row = this.#row({
      name,
      label: slider.label,
      meaning: slider.text,
      reach: slider.reach,
      auroc_low: null,
    });
    const save = element("button", { type: "button", textContent: "Save as a file" });
    const remove = element("button", { type: "button", textContent: "Remove" });
    save.setAttribute("aria-label", `Save ${slider.label} as a file`);
    remove.setAttribute("aria-label", `Remove ${slider.label}`);
    save.addEventListener("click", () => this.actions.save(name));
    remove.addEventListener("click", () => this.actions.remove(name));
    row.append(
      element(
        "div",
        { className: "extra" },
        element("span", { textContent: slider.text }),
        element("span", {}, save, remove),
      ),
    );
    group.list.append(row);
    group.names.push(name);
    this.own.hidden = false;
  }

  remove(name) {
    const group = this.#groups.find(({ section }) => section === this.own);
    this.#rows.get(name).row.remove();
    this.#rows.delete(name);
    group.names.splice(group.names.indexOf(name), 1);
    this.own.hidden = !group.names.length;
  }

  /** Show a state. standing: Map of name -> sigmas, or null to leave the bands as they are. */
  update(state, standing) {
    for (const [name, { row, input, shown, lock, reset, track, label }] of this.#rows) {
      const value = state.strengths[name] ?? 0;
      const locked = state.locked.includes(name);
      if (Number(input.value) !== value) input.value = String(value);
      input.setAttribute("aria-valuetext", `${signed(value)} sigma${locked ? ", kept" : ""}`);
      shown.textContent = signed(value);
      row.classList.toggle("moved", value !== 0);
      if (row.classList.contains("locked") !== locked || !lock.hasAttribute("aria-pressed")) {
        row.classList.toggle("locked", locked);
        lock.setAttribute("aria-pressed", String(locked));
        labelled(lock, `Keep ${label} as it is`);
        lock.replaceChildren(icon(locked ? "lock" : "open"));
      }
      input.disabled = locked;
      reset.disabled = value === 0 || locked;
      paint(track, input);
      const attribute = this.bundle.byName.get(name);
      if (standing && attribute) {
        const limit = Number(input.max);
        const share = (edge) =>
          `${(100 * (Math.min(limit, Math.max(-limit, edge - standing.get(name))) + limit)) / (2 * limit)}%`;
        track.style.setProperty("--band-from", share(attribute.range[0]));
        track.style.setProperty("--band-to", share(attribute.range[1]));
      }
    }
    for (const { count, names } of this.#groups) {
      const moved = names.filter((name) => state.strengths[name]).length;
      count.textContent = moved ? `${moved} moved` : String(names.length);
      count.classList.toggle("moved", moved > 0);
    }
  }

  /** Show only sliders whose name holds `text`; returns how many. */
  filter(text) {
    const wanted = text.trim().toLowerCase();
    let shown = 0;
    for (const [name, { row, label }] of this.#rows) {
      row.hidden =
        wanted !== "" &&
        !label.toLowerCase().includes(wanted) &&
        !name.toLowerCase().replaceAll("_", " ").includes(wanted);
      if (!row.hidden) shown += 1;
    }
    for (const group of this.#groups) {
      const { section, names, fold } = group;
      section.hidden = names.every((name) => this.#rows.get(name).row.hidden);
      if (!fold) continue;
      if (wanted && !group.searching) group.open = section.open;
      if (wanted) section.open = true;
      else if (group.searching) section.open = group.open;
      group.searching = wanted !== "";
    }
    return shown;
  }
}
