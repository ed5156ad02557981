/** The page over a backend: the state being edited, and what follows from it on the screen. */

import { about } from "./about.js";
import { Replaced } from "./backend-http.js";
import { Compare } from "./compare.js";
import { Demo } from "./demo.js";
import { $, element, enable, labelled, openDialog, placeMessages, say, toast } from "./dom.js";
import { Ends } from "./ends.js";
import { Film } from "./film.js";
import { HistoryStrip } from "./history-strip.js";
import { Identity } from "./identity.js";
import { keepHere } from "./keeper.js";
import { Morph } from "./morph.js";
import { OwnSliders } from "./own-sliders.js";
import { Painter } from "./painter.js";
import { PhotoInput } from "./photo-input.js";
import { forget } from "./photo-store.js";
import { Pins } from "./pins.js";
import { Player } from "./player.js";
import { latestWins, Pace } from "./queue.js";
import { SaveDialog } from "./save-dialog.js";
import { History, Session, START, withLock, withStrength } from "./session.js";
import { fromHash, MAX_SEED, toHash } from "./share.js";
import { listenForShortcuts } from "./shortcuts.js";
import { Sliders, signed } from "./sliders.js";
import { Stage } from "./stage.js";
import { listenForTabs } from "./tabs.js";
import { Zoom } from "./zoom.js";

const MERGE = 1000; // milliseconds within which moves of one slider are one step of undo
const SURPRISES = 3; // sliders that are moved at once,
const [LEAST_SURPRISE, MOST_SURPRISE] = [0.7, 1.2]; // changes of the label by which
const PER_PIXEL = 6.5; // pixels of the page at which a pixel of the model is shown at most
const RANDOM_SEEDS = 100000; // random faces have short numbers, which people can read out

/** Scroll a list sideways, and nothing else, until `item` is in view. */
function inView(item) {
  const list = item.closest("ul");
  const [box, seen] = [item.getBoundingClientRect(), list.getBoundingClientRect()];
  const margin = box.width / 4;
  if (box.left < seen.left) list.scrollLeft -= seen.left - box.left + margin;
  else if (box.right > seen.right) list.scrollLeft += box.right - seen.right + margin;
}

export class App {
  #dragFrom = null; // the state before a drag, while one lasts
  #pace = new Pace(); // of it
  #last = { name: "", at: 0 }; // the slider of the last step, and when
  #labelsOf = ""; // the face whose labels are shown
  #fresh = false; // whether the page was opened by nothing but its name
  #labels = null; // Map of what the model sees in it
  restoring = false; // whether a photograph is read again after a reload

  constructor(backend) {
    const { bundle } = backend;
    this.session = new Session(backend);
    this.history = new History(START);
    this.painter = new Painter(bundle.data.drawn);
    this.stage = new Stage(
      {
        frame: $("frame"),
        after: $("after"),
        before: $("before"),
        wipe: $("wipe"),
        wipeBox: $("wipe-box"),
        tagBefore: $("tag-before"),
        tagAfter: $("tag-after"),
      },
      bundle.size,
      this.painter,
    );
    this.sliders = new Sliders($("sliders"), this.session, {
      input: (name, value) => this.preview(withStrength(this.state, name, value)),
      change: (name, value) => this.commit(withStrength(this.state, name, value), name),
      lock: (name) => this.lock(name),
      save: (name) => this.ownSliders.save(name),
      remove: (name) => this.ownSliders.remove(name),
    });
    this.queue = latestWins(
      (state) => this.#paced(state),
      (show, state) => {
        show();
        this.#shown(state);
      },
      (error) => {
        if (error instanceof Replaced) this.stop(error.message);
        else this.#stale(error);
      },
    );
    this.compare = new Compare(this.stage);
    this.film = new Film(this);
    this.photoInput = new PhotoInput(this);
    this.morph = new Morph(this);
    this.ownSliders = new OwnSliders(this);
    this.player = new Player(this);
    this.saveDialog = new SaveDialog(this);
    this.historyStrip = new HistoryStrip(this);
    this.pins = new Pins(this);
    this.ends = new Ends(this);
    this.zoom = new Zoom(this);
    this.demo = new Demo(this);
    this.identity = new Identity(this);
    const deserved = Math.round(bundle.size * PER_PIXEL);
    document.querySelector(".stage").style.setProperty("--deserved", `${deserved}px`);
    this.listPresets($("presets"), (base) => this.face(base));
    this.#listen();
    for (const part of document.querySelectorAll("[inert]")) part.inert = false;
  }

  get state() {
    return this.history.now;
  }

  labelOf(name) {
    return this.session.slider(name)?.label ?? name;
  }

  nameOf(base) {
    const asked = this.session.bundle.worded(base.labels);
    if (base.kind === "seed") return `Random face ${base.seed}${asked && ` (${asked})`}`;
    return base.kind === "preset" ? this.session.bundle.presets[base.index].label : "Photograph";
  }

  /** A state in words. */
  describe({ base, strengths }) {
    const edits = Object.entries(strengths).map(([name, value]) => `${this.labelOf(name)} ${signed(value)}`);
    return `${this.nameOf(base)}, ${edits.length ? `edited: ${edits.join(", ")}` : "unedited"}`;
  }

  /* Showing */

  /** What the stage is to show: null for a face the model draws, else a photograph and how much of it. */
  shot(state) {
    const held = this.session.photoOf(state.base);
    if (!held) return null;
    return {
      id: state.base.id,
      photo: held.photo,
      toModel: held.encoded.matrix,
      view: this.photoInput.view,
      zoom: this.zoom.value,
    };
  }

  /** `drawn`, of a drag that comes late without sharp edges: they are drawn when it rests. */
  async #paced(state) {
    const drags = this.#dragFrom !== null;
    const from = performance.now();
    const show = await this.drawn(state, !(drags && this.#pace.hurries));
    if (drags) this.#pace.took(performance.now() - from);
    return show;
  }

  /** Promise of a function that puts the picture of a state on the stage. sharp: a drawing's edges. */
  async drawn(state, sharp = true) {
    const { session, stage } = this;
    const shot = this.shot(state);
    if (!shot || shot.view === "model")
      return stage.face(...(await Promise.all([session.rest(state), session.face(state)])), sharp);
    return stage.photograph(shot, await session.change(state));
  }

  draw() {
    if (this.photoInput.live.running) return; // which shows the state by itself
    this.queue.request(this.state);
  }

  /** The page cannot go on until it is loaded again. */
  stop(text) {
    $("frame").dataset.failed = "true";
    $("veil-text").textContent = text;
    $("veil-progress").hidden = true;
    $("veil-retry").hidden = false;
    $("veil-retry").onclick = () => location.reload();
    say(text);
  }

  #shown(state) {
    const { frame } = this.stage;
    if (frame.dataset.loading) {
      delete frame.dataset.loading;
      for (const id of ["share", "save", "pin"]) $(id).disabled = false;
      say("Ready.");
      this.#prepare();
      if (this.#fresh) this.demo.run();
    }
    delete frame.dataset.stale;
    this.historyStrip.shown(state);
    this.sliders.moved(state, this.#labels, this.session.seen(state));
    this.#also(state, this.session.seen(state));
    this.identity.refresh(this.#dragFrom !== null);
    if (this.#dragFrom === null) this.identity.shown(state);
    frame.dataset.shown = JSON.stringify([state.base, state.mix, state.strengths, state.locked]);
  }

  /** Put into words what a state brought along besides what its sliders ask for. */
  #also({ strengths }, after) {
    const { bundle } = this.session;
    const found =
      after && this.#labels ? bundle.alsoChanged(this.#labels, after, Object.keys(strengths)) : [];
    $("also").hidden = found.length === 0;
    $("also-words").textContent = `Also changed: ${found.map(({ words }) => words).join(", ")}`;
    $("also-figures").textContent = found
      .map(({ name, change }) => `${this.labelOf(name)} ${signed(change)}`)
      .join(", ")
      .concat(", in changes of the label, as the model reads it off the face.");
  }

  /** The picture could not be drawn: say so over the old one, until it is. */
  #stale(error) {
    const { frame } = this.stage;
    if (frame.dataset.loading) return this.stop(error.message);
    frame.dataset.stale = "true";
    $("stale-text").textContent = `Not up to date. ${error.message}`;
    say($("stale-text").textContent);
  }

  /** Fetch what may be needed later; a failure shows itself when it is. */
  async #prepare() {
    const alone = await this.session.backend.prepare().catch(() => false);
    this.stage.frame.toggleAttribute("data-alone", alone);
    if (alone) this.stage.frame.toggleAttribute("data-kept", await keepHere(this.session.bundle));
  }

  /** Bring everything but the picture in line with the state. */
  refresh() {
    const { state } = this;
    const edited = Object.keys(state.strengths).length > 0 || (state.mix > 0 && state.other !== null);
    enable("undo", this.history.canUndo);
    enable("redo", this.history.canRedo);
    for (const id of ["compare", "split", "play"]) enable(id, edited);
    if (!edited && this.stage.splitting) this.compare.split(false);
    enable("reset-all", edited || state.locked.length > 0);
    this.sliders.update(state, null);
    this.#look();
    this.photoInput.refresh();
    this.morph.refresh();
    const { kind, seed, labels } = state.base;
    $("seed").value = this.session.bundle.worded(labels) || (kind === "seed" ? seed : "");
    $("presets")
      .querySelectorAll("button")
      .forEach((button, index) => {
        const pressed = state.base.kind === "preset" && state.base.index === index;
        button.setAttribute("aria-pressed", String(pressed));
        if (pressed) inView(button);
      });
    this.stage.describe(this.describe(state));
    this.historyStrip.refresh();
    this.pins.refresh();
    this.ends.refresh();
    this.zoom.refresh();
    this.identity.refresh();
    this.session.keep([...this.history.all.states, ...this.pins.states], state);
    this.ownSliders.store(state);
    this.#address();
  }

  /**
   * Put the link of the state into the address, and beside it what a link does not carry but a reload should.
   */
  #address() {
    const { strengths, locked, own, base } = this.state;
    const beside = {
      strengths: own.map((name) => strengths[name] ?? 0),
      locked: own.map((name) => locked.includes(name)),
      photo: base.kind === "photo" || this.restoring,
    };
    history.replaceState(beside, "", toHash(this.state, this.session.bundle));
    $("whole").href = location.pathname + location.hash; // seen in a frame of another page
  }

  /** Show what the model sees in the face that sliders start from, and where they turn it. */
  async #look() {
    const { state } = this;
    const { bundle } = this.session;
    const key = JSON.stringify([state.base, state.other, state.mix, state.own]);
    if (key === this.#labelsOf) return;
    this.#labelsOf = key;
    this.#labels = null;
    const labels = bundle.labels(await this.session.start(state));
    if (key !== this.#labelsOf) return;
    this.#labels = labels;
    this.sliders.update(this.state, labels);
    const words = bundle.sees(labels);
    const measured = bundle.attributes.every(({ measure }) => measure);
    if (measured) $("sees").textContent = "What the model reads off the face stands at the sliders.";
    else $("sees").textContent = `The model sees: ${words || "nothing that it has a word for"}.`;
  }

  /* Changing */

  /** A state on the way, while something is dragged. */
  preview(state) {
    this.player.stop();
    this.#dragFrom ??= this.state;
    this.history.now = state;
    this.sliders.update(state, null);
    this.morph.showMix(state);
    this.draw();
  }

  /** A step that can be undone; steps of the same `name` in quick succession are one. */
  commit(state, name = "") {
    this.player.stop();
    const now = performance.now();
    const same = name !== "" && name === this.#last.name && now - this.#last.at < MERGE;
    this.#last = { name, at: now };
    if (same) this.history.now = state;
    else this.history.commit(state, this.#dragFrom ?? this.state);
    this.#dragFrom = null;
    this.#pace.end();
    this.refresh();
    this.draw();
  }

  /** A new face to start from. */
  face(base) {
    this.photoInput.live.stop();
    const kept = $("keep").checked ? {} : { strengths: {}, mix: 0 };
    this.commit({ ...this.state, ...kept, base });
    say(`${this.nameOf(base)}.`);
  }

  random() {
    return { kind: "seed", seed: crypto.getRandomValues(new Uint32Array(1))[0] % RANDOM_SEEDS };
  }

  lock(name) {
    this.commit(withLock(this.state, name));
    say(this.state.locked.includes(name) ? "Kept as it is." : "Free again.");
  }

  resetAll() {
    this.commit({ ...this.state, strengths: {}, locked: [], mix: 0 });
    say("All sliders are at zero.");
  }

  /** Turn up to three of the first sliders that are not kept, each by about a change of its label. */
  async surprise() {
    const { state, session } = this;
    const labels = session.bundle.labels(await session.start(state));
    const free = session.bundle.attributes.filter(
      ({ name, telling }) => telling && !state.locked.includes(name),
    );
    const chosen = free.toSorted(() => Math.random() - 0.5).slice(0, SURPRISES);
    const strengths = chosen.map(({ name }) => {
      const size = LEAST_SURPRISE + Math.random() * (MOST_SURPRISE - LEAST_SURPRISE);
      return [name, Number((labels.get(name) > 0 ? -size : size).toFixed(1))];
    });
    if (this.state !== state) return;
    this.commit({ ...state, strengths: Object.fromEntries(strengths) });
    say(strengths.map(([name, value]) => `${this.labelOf(name)} ${signed(value)}`).join(", "));
  }

  /** Show what a slider does: the first of them, by a change of its label, played once or more. */
  async example() {
    const { state, session } = this;
    const { attributes } = session.bundle;
    const { name } = attributes.find(({ telling }) => telling) ?? attributes[0];
    const has = session.bundle.labels(await session.start(state)).get(name) > 0;
    if (this.state !== state) return;
    this.commit(withStrength(state, name, has ? -1 : 1));
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.player.play();
    say(`${this.labelOf(name)} ${signed(this.state.strengths[name] ?? 0)}. Undo takes it back.`);
  }

  /** way: "undo" or "redo". */
  step(way) {
    this.goTo(this.history.all.place + (way === "undo" ? -1 : 1));
  }

  /** Show a step of the history again, by its place among all. */
  goTo(place) {
    if (place < 0 || place >= this.history.all.states.length) return;
    this.player.stop();
    this.#last.name = "";
    this.history.goTo(place);
    this.refresh();
    this.draw();
  }

  /** A link's state in place of this one. */
  follow(hash) {
    const { bundle } = this.session;
    const link = fromHash(hash, bundle);
    const known = (base) => (base?.kind === "preset" && base.index >= bundle.presets.length ? null : base);
    const other = known(link.other);
    if (link.older)
      toast("This link is of an older model, whose sliders counted otherwise: they are left at zero.");
    else if (link.foreign)
      toast("This link was made with another model: its face and its sliders differ here.");
    return {
      base: known(link.base) ?? this.state.base ?? bundle.first,
      other,
      mix: other ? link.mix : 0,
      strengths: link.strengths,
      locked: link.locked,
      own: this.state.own,
    };
  }

  start() {
    const own = this.ownSliders.restore();
    const state = { ...this.follow(location.hash), own };
    const beside = history.state; // of this page before it was loaded again
    own.forEach((name, i) => {
      if (beside?.strengths?.[i]) state.strengths[name] = beside.strengths[i];
      if (beside?.locked?.[i]) state.locked.push(name);
    });
    this.history = new History(state);
    this.#fresh = !beside && !location.hash;
    this.restoring = Boolean(beside?.photo);
    this.refresh();
    this.draw();
    if (this.restoring) this.#restore();
    else forget(); // what an earlier visit kept
  }

  /** Go on with the photograph of before a reload, which this browser kept, if nothing was done since. */
  async #restore() {
    const { state } = this;
    const base = await this.photoInput.restored().catch(() => null);
    this.restoring = false;
    if (this.state !== state) return this.refresh();
    if (base) {
      this.history = new History({ ...state, base });
      toast("Your photograph is back: this browser alone kept it.");
    } else toast("The photograph did not outlast the reload: choose it again. The sliders are kept.");
    this.refresh();
    this.draw();
  }

  /** Go on with another backend over the same model. */
  use(backend) {
    if (backend.bundle.mark !== this.session.bundle.mark) {
      backend.close();
      return this.stop("The server has moved on to a new model: load the page again.");
    }
    this.session.backend.close();
    this.session.backend = backend;
    this.draw();
    this.#prepare();
  }

  /* What a person does */

  listPresets(list, choose) {
    const { presets } = this.session.bundle;
    list.replaceChildren(
      ...presets.map(({ label, picture }, index) => {
        const image = element("img", { src: picture, alt: "", width: 56, height: 56 });
        const looks = this.session.bundle.looks(index);
        const name = looks.length ? `${label}: ${looks.join(", ").toLowerCase()}` : label;
        const button = labelled(element("button", { type: "button" }, image), name);
        button.addEventListener("click", () => choose({ kind: "preset", index }));
        return element("li", {}, button);
      }),
    );
    list.hidden = presets.length === 0;
  }

  openAbout() {
    about($("about-body"), this.session.bundle, this.session.backend.name);
    openDialog($("about"));
  }

  /** A random face, with the labels that stand in the field of seeds as words. */
  #random() {
    this.#seed(/^[\d\s]*$/.test($("seed").value) ? String(this.random().seed) : $("seed").value.trim());
  }

  /** The face of a seed, or a random one of the labels that `text` asks for. */
  #seed(text) {
    if (/^\d+$/.test(text)) {
      if (Number(text) <= MAX_SEED) this.face({ kind: "seed", seed: Number(text) });
      else toast(`A seed is a whole number from 0 to ${MAX_SEED}.`);
      return;
    }
    try {
      const labels = this.session.bundle.wanted(text);
      this.face({ ...this.random(), ...(Object.keys(labels).length && { labels }) });
    } catch (error) {
      toast(error.message);
    }
  }

  #listen() {
    const on = (id, action, event = "click") => $(id).addEventListener(event, action);
    on("undo", () => this.step("undo"));
    on("redo", () => this.step("redo"));
    on("reset-all", () => this.resetAll());
    on("about-open", () => this.openAbout());
    on("keys-open", () => openDialog($("keys")));
    on("random", () => this.#random());
    on(
      "seed-form",
      (event) => {
        event.preventDefault();
        this.#seed($("seed").value.trim());
      },
      "submit",
    );
    on(
      "search",
      () => {
        $("no-match").hidden = this.sliders.filter($("search").value) > 0;
      },
      "input",
    );
    window.addEventListener("hashchange", () => this.commit(this.follow(location.hash)));
    for (const dialog of document.querySelectorAll("dialog")) {
      dialog.addEventListener("click", (event) => {
        if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
      });
      dialog.addEventListener("close", placeMessages);
    }
    on(
      "search",
      (event) => {
        if (event.key === "Escape" && !$("search").value) $("panel").focus({ preventScroll: true });
      },
      "keydown",
    );
    on("surprise", () => this.surprise());
    on("example", () => this.example());
    on("stale-retry", () => this.draw());
    window.addEventListener("online", () => this.stage.frame.dataset.stale && this.draw());
    listenForTabs(() => this.morph.refresh());
    listenForShortcuts(
      [
        ["r", "Random face", () => this.#random()],
        ["u", "Use a photograph", () => $("upload").click()],
        ["c", "Hold to see the original", () => this.compare.hold()],
        ["w", "Before and after, side by side", () => $("split").click()],
        ["p", "Play the edit, or stop", () => $("play").click()],
        ["b", "Pin this version", () => $("pin").click()],
        ["z", "Undo", () => this.step("undo")],
        ["Z", "Redo", () => this.step("redo")],
        ["v", "Surprise me: move a few sliders", () => this.surprise()],
        ["0", "Reset all sliders, or the one in focus", () => $("reset-all").click()],
        ["/", "Find a slider", () => this.#find()],
        ["s", "Save", () => this.saveDialog.open()],
        ["l", "Copy a link", () => this.saveDialog.share()],
        ["?", "This list", () => openDialog($("keys"))],
      ],
      (way) => this.step(way),
    );
  }

  #find() {
    $("tab-sliders").click();
    $("search").focus();
  }
}
