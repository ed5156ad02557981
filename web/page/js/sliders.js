/**
 * The panel of sliders: the telling ones first, the others by group, judgements of looks behind a fold, one's
 * own on top.
 */

import { NOTABLE, qualityOf, reading, sliderSteps } from "./bundle.js";
import { $, element, icon, labelled } from "./dom.js";
import { draggable, onStep } from "./drag.js";

const QUALITIES = {
  clear: "The model knows this well",
  fair: "The model knows this fairly well",
  faint: "The model hardly knows this",
};

export const signed = (value) => (value ? `${value > 0 ? "+" : "−"}${Math.abs(value).toFixed(2)}` : "0");

/** The number that a person typed, with any minus sign and comma; null where it is none. */
export function typed(text) {
  const plain = text.trim().replace(/^[−–]/, "-").replace(",", ".");
  return /^[+-]?(\d+\.?\d*|\.\d+)$/.test(plain) ? Number(plain) : null;
}

/** The bar of a range input, from its zero to its thumb, and its zero mark. */
export function paint(track, input) {
  const [low, high, value] = [Number(input.min), Number(input.max), Number(input.value)];
  const at = (number) => (number - low) / (high - low);
  const zero = at(Math.min(high, Math.max(low, 0)));
  track.style.setProperty("--zero", zero);
  track.style.setProperty("--bar-from", Math.min(zero, at(value)));
  track.style.setProperty("--bar-width", Math.abs(at(value) - zero));
}

/** One slider: its name, its value as a number to type, lock, reset, and the track. */
class Row {
  #marks = { turns: [0, 0], promised: [0, 0], carried: 0 }; // in its own unit

  #locked = false;

  /**
   * slider: {label, meaning, group, reach, auroc_low, measure: unit and scale of a measured label, unit
   * of its strength}; actions as of Sliders.
   */
  constructor(name, { label, meaning, group, reach, auroc_low: sure, measure, unit = "" }, actions) {
    const { step, end } = sliderSteps(reach);
    const id = `slider-${name.replaceAll(/[^\w-]/g, "-")}`;
    const ends = { min: String(-end), max: String(end), step: String(step) };
    Object.assign(this, { name, label, actions, unit, ends, measure });
    this.words = [label, name.replaceAll("_", " "), meaning, group].join(" ").toLowerCase();
    this.input = element("input", { type: "range", id, ...ends, value: "0" });
    if (!unit) this.input.setAttribute("aria-describedby", "slider-help");
    this.field = element("input", {
      className: "value",
      inputMode: "decimal",
      autocomplete: "off",
      value: "0",
    });
    this.field.setAttribute("aria-label", `${label}, ${unit || "in changes of the label"}`);
    this.lock = element("button", { type: "button" });
    this.reset = labelled(
      element("button", { type: "button", disabled: true }, icon("reset")),
      `Reset ${label}`,
    );
    const marks = ["zero", "also", "promise"].map((className) => element("span", { className }));
    this.track = element("div", { className: "track" }, ...marks, this.input);
    const title = element("label", { htmlFor: id, textContent: label });
    if (meaning) title.title = meaning[0].toUpperCase() + meaning.slice(1);
    const quality = qualityOf(sure);
    const hint =
      quality && `${QUALITIES[quality]}: at least ${Math.round(100 * sure)} of 100 pairs told apart`;
    const word = element("span", { className: "quality", textContent: quality, title: hint });
    this.against = element("p", { className: "against", hidden: true });
    this.reading = element("span", { className: "reading", title: "What the model reads off the face" });
    const heading = element("span", {}, title, word, this.reading);
    const parts = [heading, this.field, this.lock, this.reset, this.track, this.against];
    this.element = element("li", { className: "row", dataset: { name } }, ...parts);
    this.#listen();
  }

  #listen() {
    const { name, input, field, actions } = this;
    const value = () => Number(Number(input.value).toFixed(2));
    draggable(this.track, input);
    input.addEventListener("input", () => actions.input(name, value()));
    input.addEventListener("change", () => actions.change(name, value()));
    input.addEventListener("keydown", (event) => {
      if (event.key !== "0" || event.ctrlKey || event.metaKey || event.altKey) return;
      event.stopPropagation(); // which would reset all
      actions.change(name, 0);
    });
    field.addEventListener("focus", () => field.select());
    field.addEventListener("change", () => {
      const number = typed(field.value);
      if (number === null) field.value = signed(value());
      else actions.change(name, onStep(this.ends, number));
    });
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      field.value = signed(value());
      input.focus();
    });
    this.element.addEventListener("dblclick", (event) => {
      if (!event.target.closest("button, .value") && !input.disabled) actions.change(name, 0);
    });
    this.reset.addEventListener("click", () => {
      actions.change(name, 0);
      input.focus();
    });
    this.lock.addEventListener("click", () => actions.lock(name));
  }

  update(value, locked) {
    const { input, field, lock, element: row } = this;
    this.#span(Number(input.min), Number(input.max), value);
    if (Number(input.value) !== value) input.value = String(value);
    this.#locked = locked;
    this.#say();
    if (document.activeElement !== field || Number(typed(field.value)) !== value) field.value = signed(value);
    row.classList.toggle("moved", value !== 0);
    if (row.classList.contains("locked") !== locked || !lock.hasAttribute("aria-pressed")) {
      row.classList.toggle("locked", locked);
      lock.setAttribute("aria-pressed", String(locked));
      labelled(lock, `Keep ${this.label} as it is`);
      lock.replaceChildren(icon(locked ? "lock" : "open"));
    }
    input.disabled = locked;
    field.disabled = locked;
    this.reset.disabled = value === 0 || locked;
    paint(this.track, input);
  }

  #say() {
    const { input, reading: shown } = this;
    const parts = [signed(Number(input.value)), shown.textContent, this.#locked ? "kept" : ""];
    input.setAttribute("aria-valuetext", parts.filter(Boolean).join(", "));
  }

  /** Show the value that the model reads off the face, of a measured label. */
  reads(label) {
    if (!this.measure) return;
    this.reading.textContent = `reads ${reading(this.measure, label)}`;
    this.#say();
  }

  /** Let the track go from `low` to `high`, as far as `value` at least, and its marks with it. */
  #span(low, high, value) {
    const { input } = this;
    const [min, max] = [Math.min(low, value), Math.max(high, value)].map(String);
    if (input.min === min && input.max === max) return;
    Object.assign(input, { min, max });
    this.#mark();
  }

  #share(value) {
    const [low, high] = [Number(this.input.min), Number(this.input.max)];
    return (Math.min(high, Math.max(low, value)) - low) / (high - low);
  }

  #mark() {
    const { style } = this.track;
    const { turns, promised, carried } = this.#marks;
    style.setProperty("--band-from", `${100 * this.#share(turns[0])}%`);
    style.setProperty("--band-to", `${100 * this.#share(turns[1])}%`);
    style.setProperty("--promise-from", this.#share(promised[0]));
    style.setProperty("--promise-width", this.#share(promised[1]) - this.#share(promised[0]));
    style.setProperty("--also", this.#share(carried));
  }

  /**
   * Let the track go where faces lie: {turns: the strengths that turn this face's label, ends: where it ends,
   * promised: the strengths that are promised, null for none}, for `level` of faces. value: where it stands.
   */
  reaches({ turns, ends, promised }, level, value) {
    this.#marks = { ...this.#marks, turns, promised: promised ?? [0, 0] };
    this.track.classList.toggle("promised", promised !== null);
    const words = promised
      ? `From ${signed(promised[0])} to ${signed(promised[1])} it turns ${Math.round(100 * level)} of 100 ` +
        "faces like this one, and nothing else of them."
      : "";
    this.track.title = words;
    this.input.setAttribute("aria-description", words);
    this.#span(...ends, value);
    paint(this.track, this.input);
    this.#mark();
  }

  /** Say which other sliders, by their labels, ask for what cannot be beside this one. */
  oppose(labels) {
    this.against.hidden = labels.length === 0;
    this.against.textContent = labels.length ? `Opposes ${labels.join(" and ")}: no face has both.` : "";
  }

  /** Mark where other sliders took the label: `change` changes of it; by little is not shown. */
  also(change) {
    this.#marks.carried = change;
    this.track.classList.toggle("carried", Math.abs(change) >= NOTABLE);
    this.#mark();
  }
}

export class Sliders {
  #rows = new Map();
  #groups = [];

  /** actions: {input(name, value), change(name, value), lock(name), save(name), remove(name)}. */
  constructor(root, session, actions) {
    const { bundle } = session;
    Object.assign(this, { session, actions });
    this.own = this.#section("Your own", [], false);
    this.own.section.hidden = true;
    const looks = bundle.attributes.filter((a) => a.judgemental);
    const rest = bundle.attributes.filter((a) => !a.judgemental);
    $("promise-legend").hidden = !bundle.guarantee.promised;
    const telling = rest.filter((a) => a.telling);
    root.replaceChildren(this.own.section);
    if (telling.length) root.append(this.#section("First to try", telling, false).section);
    for (const group of bundle.groups) {
      const members = rest.filter((a) => a.group === group && !a.telling);
      if (members.length) root.append(this.#section(group, members, telling.length > 0).section);
    }
    if (looks.length) {
      const { section } = this.#section("Judgements of looks and guesses about people", looks, true);
      section.querySelector("summary").after(
        element("p", {
          className: "note",
          textContent:
            "These follow labels that annotators or programs put on strangers’ faces. " +
            "They say what was labelled, not what anyone is.",
        }),
      );
      root.append(section);
    }
  }

  #section(title, attributes, fold) {
    const section = element(fold ? "details" : "section", { className: "group" });
    const count = element("span", { className: "count" });
    section.append(fold ? element("summary", {}, title, count) : element("h2", {}, title));
    const list = element("ul", { className: "rows" });
    list.append(...attributes.map((attribute) => this.#row(attribute.name, attribute).element));
    section.append(list);
    const group = { section, list, count, names: attributes.map((a) => a.name), fold, open: false };
    this.#groups.push(group);
    return group;
  }

  #row(name, slider) {
    const row = new Row(name, slider, this.actions);
    this.#rows.set(name, row);
    return row;
  }

  #addOwn(name) {
    const { label, text, reach } = this.session.own.get(name);
    const row = this.#row(name, {
      label,
      meaning: text,
      group: "your own",
      reach,
      auroc_low: null,
      unit: "in sigmas",
    });
    const save = element("button", { type: "button", textContent: "Save as a file" });
    const remove = element("button", { type: "button", textContent: "Remove" });
    save.setAttribute("aria-label", `Save ${label} as a file`);
    remove.setAttribute("aria-label", `Remove ${label}`);
    save.addEventListener("click", () => this.actions.save(name));
    remove.addEventListener("click", () => this.actions.remove(name));
    const said = element("span", { textContent: text });
    row.element.append(element("div", { className: "extra" }, said, element("span", {}, save, remove)));
    this.own.list.append(row.element);
  }

  /** Show the sliders of one's own of a state, and no others. */
  #matchOwn(names) {
    for (const name of this.own.names.filter((shown) => !names.includes(shown))) {
      this.#rows.get(name).element.remove();
      this.#rows.delete(name);
    }
    for (const name of names) if (!this.#rows.has(name)) this.#addOwn(name);
    this.own.names = [...names];
    this.own.section.hidden = names.length === 0;
  }

  /** Show a state. labels: Map of what the model sees in the face; null leaves the bands as they are. */
  update(state, labels) {
    this.#matchOwn(state.own);
    const { bundle } = this.session;
    const likeness = this.session.photoOf(state.base)?.encoded.likeness ?? null;
    for (const [name, row] of this.#rows) {
      const value = state.strengths[name] ?? 0;
      row.update(value, state.locked.includes(name));
      if (!labels?.has(name)) continue;
      row.reaches(bundle.reaches(name, labels.get(name), likeness), bundle.guarantee.level, value);
      if (!Object.keys(state.strengths).length) row.reads(labels.get(name));
    }
    const pairs = this.session.bundle.opposed(state.strengths);
    for (const [name, row] of this.#rows) {
      const others = pairs.filter((pair) => pair.includes(name)).flat();
      row.oppose(others.filter((other) => other !== name).map((other) => this.#rows.get(other).label));
    }
    for (const { count, names } of this.#groups) {
      const moved = names.filter((name) => state.strengths[name]).length;
      count.textContent = moved ? `${moved} moved` : String(names.length);
      count.classList.toggle("moved", moved > 0);
    }
  }

  /**
   * Show what a state brought along, and the values that are read off it: Maps of labels `before` and
   * `after`, undefined where nothing moved.
   */
  moved(state, before, after) {
    for (const [name, row] of this.#rows) {
      const own = Boolean(state.strengths[name]);
      const change = after?.has(name) && before && !own ? (after.get(name) - before.get(name)) / 2 : 0;
      row.also(change);
      const shown = after ?? before;
      if (shown?.has(name)) row.reads(shown.get(name));
    }
  }

  /** Show only sliders whose name, group or meaning holds `text`; returns how many. */
  filter(text) {
    const wanted = text.trim().toLowerCase();
    let shown = 0;
    for (const row of this.#rows.values()) {
      row.element.hidden = !row.words.includes(wanted);
      if (!row.element.hidden) shown += 1;
    }
    for (const group of this.#groups) {
      const { section, names, fold } = group;
      section.hidden = names.every((name) => this.#rows.get(name).element.hidden);
      if (!fold) continue;
      if (wanted && !group.searching) group.open = section.open;
      if (wanted) section.open = true;
      else if (group.searching) section.open = group.open;
      group.searching = wanted !== "";
    }
    return shown;
  }
}
