/** The page: which backend runs it, what a person does, and what follows on the screen. */

import { about } from "./about.js";
import { AlignDialog } from "./align-dialog.js";
import { HttpBackend, Replaced } from "./backend-http.js";
import { LocalBackend } from "./backend-local.js";
import { fromFile, toFile } from "./direction.js";
import { Maker, verdict } from "./maker.js";
import { Photo, rgba, unlike } from "./photo.js";
import { latestWins } from "./queue.js";
import { Saver, download, onTheWay } from "./save.js";
import { History, START, Session, withLock, withStrength } from "./session.js";
import { MAX_SEED, fromHash, toHash } from "./share.js";
import { Sliders, element, icon, paint, signed } from "./sliders.js";
import { Stage, enlarged } from "./stage.js";

const $ = (id) => document.getElementById(id);
const MERGE = 1000; // milliseconds within which moves of one slider are one step of undo
const PERIOD = 2600; // milliseconds of an edit played there and back

const stored = {
  get(key) {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(key, value);
    } catch {
      // Storage is switched off: the choice lasts as long as the page.
    }
  },
};

/* Messages */

function say(text) {
  $("status").textContent = text;
}

function toast(text) {
  const close = element("button", { type: "button" }, icon("close"));
  close.setAttribute("aria-label", "Dismiss");
  const note = element("div", { className: "toast" }, element("span", { textContent: text }), close);
  close.addEventListener("click", () => note.remove());
  $("toasts").replaceChildren(note);
  say(text);
  setTimeout(() => note.remove(), 8000);
}

const fail = (error) => toast(error instanceof Error ? error.message : String(error));

/* The backend */

async function serverHealth() {
  if (document.documentElement.dataset.backend === "local") return null;
  try {
    const answer = await fetch("api/health");
    const health = await answer.json();
    return health.status === "ok" ? health : null;
  } catch {
    return null;
  }
}

/** How fresh the served model is, for the footer: nothing where nobody keeps it fresh. */
async function freshness() {
  try {
    const status = await (await fetch("api/status")).json();
    if (!status.version) return "";
    const day = (time) => new Date(time).toLocaleDateString(undefined, { dateStyle: "medium" });
    const checked = status.checked ? `, last checked ${day(status.checked)}` : "";
    return ` Version ${status.version}, since ${day(status.since)}${checked}${status.late ? ": the next check is overdue." : "."}`;
  } catch {
    return "";
  }
}

const openBackend = (name) =>
  name === "http"
    ? HttpBackend.open()
    : LocalBackend.open((share) => {
        $("veil-progress").value = share;
      });

function showPlace(name, both) {
  $("place").hidden = !both;
  $("place-local").checked = name === "local";
  $("privacy").textContent =
    name === "local" ? "Your photograph never leaves this computer." : "Photographs are sent to this server, and not stored.";
}

/* The page over a backend */

class App {
  #dragFrom = null;
  #last = { name: "", at: 0 };
  #nextOwn = 1;
  #playing = false;
  #view = "close";
  #standingOf = "";
  #faceLabel = "";

  constructor(backend) {
    const { bundle } = backend;
    this.session = new Session(backend);
    this.history = new History(START);
    this.stage = new Stage(
      {
        frame: $("frame"), after: $("after"), before: $("before"), wipe: $("wipe"), wipeBox: $("wipe-box"), tagBefore: $("tag-before"), tagAfter: $("tag-after"),
      },
      bundle.size,
    );
    this.sliders = new Sliders($("sliders"), bundle, {
      input: (name, value) => this.preview(withStrength(this.state, name, value)),
      change: (name, value) => this.commit(withStrength(this.state, name, value), name),
      lock: (name) => {
        this.commit(withLock(this.state, name));
        say(this.state.locked.includes(name) ? "Kept as it is." : "Free again.");
      },
      save: (name) => this.saveSlider(name),
      remove: (name) => this.removeSlider(name),
    });
    this.saver = new Saver(this.session, (state) => this.shot(state));
    this.queue = latestWins(
      async (state) => {
        const shot = this.shot(state);
        const plain = await this.session.plain(state);
        return { plain, pixels: await this.session.render(state, shot !== null && shot.view !== "model"), shot, state };
      },
      ({ plain, pixels, shot, state }) => {
        this.stage.show(plain, pixels, shot);
        this.#shown(state);
      },
      (error) => {
        if (error instanceof Replaced) return this.stop(error.message, () => location.reload());
        fail(error);
        this.#shown(this.state);
      },
    );
    this.alignDialog = new AlignDialog($("align"), {
      encode: (photo, choice) => this.encode(photo, choice),
      use: (photo, encoded) => this.commit({ ...this.state, base: this.session.addPhoto(photo, encoded) }),
      fail,
    });
    this.maker = new Maker($("page-make"), {
      session: this.session,
      locked: () => this.state.locked.map((name) => ({ label: this.label(name), unit: (bundle.byName.get(name) ?? this.session.own.get(name)).unit })),
      add: (slider) => this.addSlider(slider),
      fail,
    });
    this.#presets($("presets"), (base) => this.face(base));
    this.#presets($("morph-presets"), (base) => this.towards(base));
    this.#listen();
  }

  get state() {
    return this.history.now;
  }

  label(name) {
    return this.session.bundle.byName.get(name)?.label ?? this.session.own.get(name)?.label ?? name;
  }

  /* Showing */

  /** What the stage is to show: null for a face the model draws, else a photograph and how much of it. */
  shot(state) {
    const held = this.session.photoOf(state.base);
    return held && { id: state.base.id, photo: held.photo, toModel: held.encoded.matrix, view: this.#view };
  }

  draw() {
    this.queue.request(this.state);
  }

  stop(text, retry) {
    $("frame").dataset.failed = "true";
    $("veil-text").textContent = text;
    $("veil-progress").hidden = true;
    $("veil-retry").hidden = false;
    $("veil-retry").onclick = retry;
    say(text);
  }

  #shown(state) {
    const { frame } = this.stage;
    if (frame.dataset.loading) {
      delete frame.dataset.loading;
      for (const id of ["share", "save"]) $(id).disabled = false;
      say("Ready.");
      this.#prepare();
    }
    frame.dataset.shown = JSON.stringify([state.base, state.mix, state.strengths, state.locked]);
  }

  /** Fetch what may be needed later; a failure shows itself when it is. */
  async #prepare() {
    const alone = await this.session.backend.prepare().catch(() => false);
    this.stage.frame.toggleAttribute("data-alone", alone);
  }

  /** Bring everything but the picture in line with the state. */
  refresh() {
    const { state, session } = this;
    const edited = Object.keys(state.strengths).length > 0 || (state.mix > 0 && state.other !== null);
    this.#enable("undo", this.history.canUndo);
    this.#enable("redo", this.history.canRedo);
    for (const id of ["compare", "split", "play"]) this.#enable(id, edited);
    if (!edited && this.stage.splitting) this.#split(false);
    this.#enable("reset-all", edited || state.locked.length > 0);
    this.sliders.update(state, null);
    this.#bands();
    const held = session.photoOf(state.base);
    $("photo-bar").hidden = !held;
    if (held) {
      [$("crop").width, $("crop").height] = [session.bundle.size, session.bundle.size];
      $("crop").getContext("2d").putImageData(rgba(held.encoded.crop), 0, 0);
    }
    $("seed").value = state.base.kind === "seed" ? state.base.seed : "";
    $("presets").querySelectorAll("button").forEach((button, i) => {
      button.setAttribute("aria-pressed", String(state.base.kind === "preset" && state.base.index === i));
    });
    this.#morph();
    const moved = Object.entries(state.strengths).map(([name, value]) => `${this.label(name)} ${signed(value)}`);
    this.stage.describe([this.#name(state.base), ...(moved.length ? [`edited: ${moved.join(", ")}`] : ["unedited"])].join(", "));
    const hash = toHash(state, session.bundle.attributes);
    if (hash !== location.hash) history.replaceState(null, "", hash === "#" ? location.pathname + location.search : hash);
  }

  /** A button that is switched off while focused passes its focus on, so that a keyboard is not thrown back to the top. */
  #enable(id, on) {
    const button = $(id);
    if (!on && document.activeElement === button) $("panel").focus({ preventScroll: true });
    button.disabled = !on;
  }

  async #bands() {
    const { state } = this;
    const key = JSON.stringify([state.base, state.other, state.mix, [...this.session.own.keys()]]);
    if (key === this.#standingOf) return;
    this.#standingOf = key;
    const standing = this.session.bundle.standing(await this.session.start(state));
    if (key === this.#standingOf) this.sliders.update(this.state, standing);
  }

  #name(base) {
    if (base.kind === "seed") return `Random face ${base.seed}`;
    return base.kind === "preset" ? this.session.bundle.presets[base.index].label : "Photograph";
  }

  /* Changing */

  preview(state) {
    this.#stopPlaying();
    this.#dragFrom ??= this.state;
    this.history.now = state;
    this.sliders.update(state, null);
    $("mix-value").textContent = `${Math.round(100 * state.mix)}%`;
    paint($("mix").parentElement, $("mix"));
    this.draw();
  }

  commit(state, name = "") {
    this.#stopPlaying();
    const now = performance.now();
    const same = name !== "" && name === this.#last.name && now - this.#last.at < MERGE;
    this.#last = { name, at: now };
    if (same) this.history.now = state;
    else this.history.commit(state, this.#dragFrom ?? this.state);
    this.#dragFrom = null;
    this.refresh();
    this.draw();
  }

  /** A new face to start from. */
  face(base) {
    const kept = $("keep").checked ? {} : { strengths: {}, other: null, mix: 0 };
    this.commit({ ...this.state, ...kept, base });
    say(`${this.#name(base)}.`);
  }

  towards(base) {
    this.commit({ ...this.state, other: base, mix: this.state.mix || 0.5 });
    say(`Morphing towards: ${this.#name(base)}.`);
  }

  random() {
    return { kind: "seed", seed: crypto.getRandomValues(new Uint32Array(1))[0] % 100000 };
  }

  resetAll() {
    this.commit({ ...this.state, strengths: {}, locked: [], mix: 0 });
    say("All sliders are at zero.");
  }

  step(way) {
    if (way === "undo" ? !this.history.canUndo : !this.history.canRedo) return;
    this.#stopPlaying();
    this.#last.name = "";
    this.history[way]();
    this.refresh();
    this.draw();
  }

  /** A link's state in place of this one. */
  follow(hash) {
    const link = fromHash(hash, this.session.bundle.attributes);
    const there = (base) => (base?.kind === "preset" && base.index >= this.session.bundle.presets.length ? null : base);
    const first = this.session.bundle.presets.length ? { kind: "preset", index: 0 } : { kind: "seed", seed: 1 };
    const other = there(link.other);
    return { base: there(link.base) ?? this.state.base ?? first, other, mix: other ? link.mix : 0, strengths: link.strengths, locked: link.locked };
  }

  start() {
    this.history = new History(this.follow(location.hash));
    this.refresh();
    this.draw();
  }

  /** Go on with another backend over the same model. */
  use(backend) {
    this.session.backend.close();
    this.session.backend = backend;
    this.draw();
    this.#prepare();
  }

  /* Photographs */

  async encode(photo, choice) {
    const { backend } = this.session;
    const encoded = await backend.encode(photo, choice);
    const drawn = await backend.render({ code: encoded.code, strengths: {}, locked: [], custom: [] }, false);
    const notices = unlike(encoded.crop, drawn, backend.bundle.quality.psnr) ? [...encoded.notices, "unlike"] : encoded.notices;
    return { ...encoded, drawn, notices };
  }

  async #bring(file, then) {
    if (!file) return;
    this.stage.frame.setAttribute("aria-busy", "true");
    say("Reading the photograph.");
    try {
      const photo = await Photo.read(file);
      const encoded = await this.encode(photo, {});
      then(this.session.addPhoto(photo, encoded));
      if (encoded.notices.includes("none")) toast("No face was found: the middle of the picture was taken. “How it was aligned” puts it right.");
      else if (encoded.notices.includes("several")) toast("Several faces were found, the largest was taken. “How it was aligned” lets you choose.");
      else if (encoded.notices.includes("unlike")) toast("This face is unlike those the model learnt from: edits will be rough.");
    } catch (error) {
      fail(error);
    }
    this.stage.frame.removeAttribute("aria-busy");
  }

  photograph(file) {
    return this.#bring(file, (base) => this.face(base));
  }

  /* Morph */

  async #morph() {
    const { state, session } = this;
    $("mix").disabled = !state.other;
    $("mix").value = String(state.mix);
    $("mix-value").textContent = `${Math.round(100 * state.mix)}%`;
    $("mix").setAttribute("aria-valuetext", `${Math.round(100 * state.mix)}% of the other face`);
    paint($("mix").parentElement, $("mix"));
    this.#enable("morph-clear", state.other !== null);
    this.#enable("morph-swap", state.other !== null);
    $("morph-name").textContent = state.other ? this.#name(state.other) : "None yet";
    $("morph-b").setAttribute("aria-label", state.other ? `The other face: ${this.#name(state.other)}` : "The other face: none yet");
    if ($("page-morph").hidden) return;
    const size = session.bundle.size;
    try {
      for (const [canvas, base] of [["morph-a", state.base], ["morph-b", state.other]]) {
        const context = $(canvas).getContext("2d");
        if (!base) context.clearRect(0, 0, $(canvas).width, $(canvas).height);
        if (!base || $(canvas).dataset.base === JSON.stringify(base)) continue;
        const pixels = await session.backend.render({ code: await session.code(base), strengths: {}, locked: [], custom: [] }, false);
        const picture = enlarged(pixels, size, 2);
        [$(canvas).width, $(canvas).height] = [picture.width, picture.height];
        context.putImageData(rgba(picture), 0, 0);
        $(canvas).dataset.base = JSON.stringify(base);
      }
    } catch (error) {
      fail(error);
    }
  }

  /* Sliders of one's own */

  addSlider(slider) {
    const name = `own:${this.#nextOwn++}`;
    const score = slider.auroc === null ? "not tested" : `AUROC ${slider.auroc.toFixed(2)}`;
    const whole = { ...slider, reach: Math.min(8, Math.max(3, 1.5 * slider.measured)), text: `${slider.counts[0]} with, ${slider.counts[1]} without, ${score}` };
    this.session.own.set(name, whole);
    this.sliders.add(name, whole);
    this.sliders.update(this.state, null);
    say(`${slider.label} is among your sliders. ${verdict(slider)}`);
  }

  removeSlider(name) {
    this.session.own.delete(name);
    this.sliders.remove(name);
    const { strengths, locked } = this.state;
    this.commit({ ...withStrength(this.state, name, 0), strengths: Object.fromEntries(Object.entries(strengths).filter(([key]) => key !== name)), locked: locked.filter((key) => key !== name) });
    $("search").focus();
  }

  saveSlider(name) {
    const slider = this.session.own.get(name);
    const text = toFile(slider, this.session.bundle.decoder);
    download(new Blob([text], { type: "application/json" }), `${slider.label.replaceAll(/[^\w-]+/g, "-").toLowerCase() || "slider"}.slider.json`);
  }

  async loadSlider(file) {
    if (!file) return;
    try {
      const slider = fromFile(await file.text(), this.session.bundle.decoder, this.session.bundle.length);
      this.addSlider(slider);
      toast(`${slider.label} is among your sliders.`);
    } catch (error) {
      fail(error);
    }
  }

  /* Playing, saving, sharing */

  async play() {
    if (this.#playing) return this.#stopPlaying();
    this.#playing = true;
    this.queue.cancel();
    this.#playIcon(true);
    const { state } = this;
    const shot = this.shot(state);
    const from = performance.now();
    try {
      const plain = await this.session.plain(state);
      while (this.#playing && this.state === state) {
        const t = (1 - Math.cos((2 * Math.PI * (performance.now() - from)) / PERIOD)) / 2;
        const pixels = await this.session.render(onTheWay(state, t), shot !== null && shot.view !== "model");
        if (!this.#playing) break;
        this.stage.show(plain, pixels, shot);
        await new Promise(requestAnimationFrame);
      }
    } catch (error) {
      fail(error);
    }
    this.#stopPlaying();
  }

  #playIcon(on) {
    $("play").replaceChildren(icon(on ? "stop" : "play"));
    $("play").setAttribute("aria-label", on ? "Stop" : "Play the edit");
  }

  #stopPlaying() {
    if (!this.#playing) return;
    this.#playing = false;
    this.#playIcon(false);
    this.draw();
  }

  #split(on) {
    this.stage.split(on);
    $("split").setAttribute("aria-pressed", String(on));
  }

  async share() {
    const { state } = this;
    try {
      await navigator.clipboard.writeText(location.href);
      toast(state.base.kind === "photo" ? "Link copied. It carries the sliders, never the photograph." : "Link copied: it opens this face with these sliders.");
    } catch {
      toast("The link is in the address bar: copy it from there.");
    }
  }

  async save(kind) {
    const { state } = this;
    const bar = $("save-progress");
    const buttons = [...$("saver").querySelectorAll(".choice")];
    bar.hidden = false;
    bar.removeAttribute("value");
    for (const button of buttons) button.disabled = true;
    try {
      const blob = await this.saver[kind](state, (share) => {
        bar.value = share;
      });
      const base = state.base.kind === "photo" ? "photo" : state.base.kind === "seed" ? `face-${state.base.seed}` : `preset-${state.base.index + 1}`;
      download(blob, `facemorph-${base}${kind === "strip" ? "-strip" : ""}.${kind === "gif" ? "gif" : "png"}`);
      $("saver").close();
      say("Saved.");
    } catch (error) {
      fail(error);
    }
    for (const button of buttons) button.disabled = false;
    bar.hidden = true;
  }

  openSaver() {
    if ($("save").disabled) return;
    const held = this.session.photoOf(this.state.base);
    const { width, height } = held?.photo.picture ?? {};
    $("save-png-text").textContent = held && this.#view !== "model" ? `PNG, ${width} × ${height}: the photograph with the change in it` : "PNG, 512 × 512";
    for (const id of ["save-gif", "save-strip"]) $(id).disabled = $("play").disabled;
    $("saver").showModal();
  }

  openAlign() {
    const held = this.session.photoOf(this.state.base);
    if (held) this.alignDialog.open(held.photo, held.encoded, this.session.bundle);
  }

  openAbout() {
    about($("about-body"), this.session.bundle, this.session.backend.name);
    $("about").showModal();
  }

  /* What a person does */

  #presets(list, choose) {
    list.replaceChildren(
      ...this.session.bundle.presets.map(({ label, picture }, index) => {
        const image = element("img", { src: picture, alt: "", width: 56, height: 56 });
        const button = element("button", { type: "button", title: label }, image);
        button.setAttribute("aria-label", label);
        button.addEventListener("click", () => choose({ kind: "preset", index }));
        return element("li", {}, button);
      }),
    );
    list.hidden = this.session.bundle.presets.length === 0;
  }

  #listen() {
    const on = (id, action, event = "click") => $(id).addEventListener(event, action);
    on("undo", () => this.step("undo"));
    on("redo", () => this.step("redo"));
    on("play", () => this.play());
    on("share", () => this.share());
    on("save", () => this.openSaver());
    on("split", () => this.#split(!this.stage.splitting));
    on("reset-all", () => this.resetAll());
    on("align-open", () => this.openAlign());
    on("about-open", () => this.openAbout());
    on("keys-open", () => $("keys").showModal());
    for (const kind of ["png", "gif", "strip"]) on(`save-${kind}`, () => this.save(kind));

    const hold = (event) => {
      if (event.type === "keydown" && event.key !== " " && event.key !== "Enter") return;
      if (event.type === "keydown") event.preventDefault();
      if (!$("compare").disabled) this.stage.hold(true);
    };
    const release = () => this.stage.hold(false);
    for (const [element_, events] of [[$("compare"), ["pointerdown", "keydown"]], [this.stage.after, ["pointerdown"]]]) {
      for (const event of events) element_.addEventListener(event, hold);
    }
    for (const event of ["pointerup", "pointercancel", "keyup", "blur"]) window.addEventListener(event, release);
    $("frame").addEventListener("contextmenu", (event) => event.pointerType === "touch" && event.preventDefault());

    on("random", () => this.face(this.random()));
    on("seed-form", (event) => {
      event.preventDefault();
      const text = $("seed").value.trim();
      if (/^\d+$/.test(text) && Number(text) <= MAX_SEED) this.face({ kind: "seed", seed: Number(text) });
      else toast(`A seed is a whole number from 0 to ${MAX_SEED}.`);
    }, "submit");
    for (const [button, input, then] of [
      ["upload", "file", (file) => this.photograph(file)],
      ["morph-upload", "morph-file", (file) => this.#bring(file, (base) => this.towards(base))],
      ["make-load", "make-file", (file) => this.loadSlider(file)],
    ]) {
      on(button, () => $(input).click());
      on(input, () => {
        then($(input).files[0]);
        $(input).value = "";
      }, "change");
    }
    for (const radio of document.querySelectorAll('input[name="view"]')) {
      radio.addEventListener("change", () => {
        this.#view = radio.value;
        this.draw();
      });
    }

    on("search", () => {
      $("no-match").hidden = this.sliders.filter($("search").value) > 0;
    }, "input");
    on("morph-random", () => this.towards(this.random()));
    on("morph-clear", () => this.commit({ ...this.state, other: null, mix: 0 }));
    on("morph-swap", () => this.commit({ ...this.state, base: this.state.other, other: this.state.base, mix: Number((1 - this.state.mix).toFixed(2)) }));
    on("mix", () => this.preview({ ...this.state, mix: Number($("mix").value) }), "input");
    on("mix", () => this.commit({ ...this.state, mix: Number($("mix").value) }, "mix"), "change");
    this.#tabs();
    this.#dropAndPaste();
    this.#shortcuts();
    window.addEventListener("hashchange", () => this.commit(this.follow(location.hash)));
    for (const dialog of document.querySelectorAll("dialog")) {
      dialog.addEventListener("click", (event) => {
        if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
      });
    }
  }

  #tabs() {
    const tabs = [...document.querySelectorAll('[role="tab"]')];
    const choose = (chosen) => {
      for (const tab of tabs) {
        tab.setAttribute("aria-selected", String(tab === chosen));
        tab.tabIndex = tab === chosen ? 0 : -1;
        $(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
      }
      if (this.state.base) this.#morph();
    };
    tabs.forEach((tab, i) => {
      tab.addEventListener("click", () => choose(tab));
      tab.addEventListener("keydown", (event) => {
        const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1 }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        const next = tabs[(to + tabs.length) % tabs.length];
        choose(next);
        next.focus();
      });
    });
  }

  #dropAndPaste() {
    const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    let depth = 0;
    const cover = (change) => {
      depth = Math.max(0, depth + change);
      $("drop-cover").hidden = depth === 0 || !$("page-make").hidden;
    };
    window.addEventListener("dragenter", (event) => carries(event) && cover(1));
    window.addEventListener("dragleave", (event) => carries(event) && cover(-1));
    window.addEventListener("dragover", (event) => carries(event) && event.preventDefault());
    window.addEventListener("drop", (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      this.photograph(event.dataTransfer.files[0]);
    });
    window.addEventListener("drop", () => cover(-depth), true);
    window.addEventListener("paste", (event) => {
      const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
      if (file) this.photograph(file);
    });
  }

  #shortcuts() {
    const shortcuts = [
      ["r", "Random face", () => this.face(this.random())],
      ["u", "Use a photograph", () => $("upload").click()],
      ["c", "Hold to see the original", () => !$("compare").disabled && this.stage.hold(true)],
      ["w", "Before and after, side by side", () => $("split").click()],
      ["p", "Play the edit, or stop", () => $("play").click()],
      ["z", "Undo", () => this.step("undo")],
      ["Z", "Redo", () => this.step("redo")],
      ["0", "Reset all sliders", () => $("reset-all").click()],
      ["/", "Find a slider", () => { $("tab-sliders").click(); $("search").focus(); }],
      ["s", "Save", () => this.openSaver()],
      ["l", "Copy a link", () => this.share()],
      ["?", "This list", () => $("keys").showModal()],
    ];
    $("keys-list").replaceChildren(
      ...shortcuts.flatMap(([key, what]) => [
        element("dt", {}, ...(key === "Z" ? [element("kbd", { textContent: "Shift" }), element("kbd", { textContent: "Z" })] : [element("kbd", { textContent: key.toUpperCase() })])),
        element("dd", { textContent: what }),
      ]),
    );
    $("keys-on").checked = stored.get("shortcuts") !== "off";
    $("keys-on").addEventListener("change", () => stored.set("shortcuts", $("keys-on").checked ? "on" : "off"));
    window.addEventListener("keydown", (event) => {
      const field = event.target.closest?.('input:not([type="range"], [type="checkbox"], [type="radio"]), textarea');
      if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "z" && !field) {
        event.preventDefault();
        return this.step(event.shiftKey ? "redo" : "undo");
      }
      if (event.ctrlKey || event.metaKey || event.altKey || field || event.repeat || !$("keys-on").checked) return;
      if (document.querySelector("dialog[open]")) return;
      const shortcut = shortcuts.find(([key]) => key === event.key);
      if (!shortcut) return;
      event.preventDefault();
      shortcut[2]();
    });
  }
}

/* Start */

$("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark" || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  stored.set("theme", document.documentElement.dataset.theme);
});

async function boot() {
  const health = await serverHealth();
  const both = health?.local === true;
  const name = !health || (both && stored.get("place") === "local") ? "local" : "http";
  showPlace(name, both);
  $("veil-text").textContent = name === "local" ? "Loading the model into this browser" : "Loading the model";
  const app = new App(await openBackend(name));
  app.start();
  $("foot").textContent = `${app.session.bundle.notes.model} Faces it draws are not photographs of anyone.`;
  if (health) freshness().then((text) => $("foot").append(text));
  $("place-local").addEventListener("change", async () => {
    const next = $("place-local").checked ? "local" : "http";
    $("place-local").disabled = true;
    say(next === "local" ? "Loading the model into this browser." : "Connecting to the server.");
    try {
      app.use(await openBackend(next));
      stored.set("place", next);
      showPlace(next, true);
      say(next === "local" ? "The model runs on this computer now." : "The model runs on the server now.");
    } catch (error) {
      showPlace(app.session.backend.name, true);
      fail(error);
    }
    $("place-local").disabled = false;
  });
}

boot().catch((error) => {
  $("frame").dataset.failed = "true";
  $("veil-text").textContent = error.message;
  $("veil-progress").hidden = true;
  $("veil-retry").hidden = false;
  $("veil-retry").addEventListener("click", () => location.reload());
});
