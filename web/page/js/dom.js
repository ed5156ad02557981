/** Elements, messages and what the browser keeps: the little that every part of the page uses. */

const MESSAGE_TIME = 8000; // milliseconds that a toast stays

export const $ = (id) => document.getElementById(id);

/** An element with its properties, `dataset` among them, and its children. */
export function element(tag, properties = {}, ...children) {
  const { dataset, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  Object.assign(made.dataset, dataset);
  made.append(...children);
  return made;
}

/** An icon of the sprite in index.html. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  return svg;
}

/** `button` with a name for the eye and the ear. */
export function labelled(button, label) {
  button.setAttribute("aria-label", label);
  button.title = label;
  return button;
}

/**
 * Switch a button on or off; one switched off while focused hands its focus to the panel, so that a keyboard
 * stays there.
 */
export function enable(id, on) {
  const button = $(id);
  if (!on && document.activeElement === button) $("panel").focus({ preventScroll: true });
  button.disabled = !on;
}

/**
 * Bring the messages to where they are seen and heard: into the dialog that is open, else to the page's end.
 */
export function placeMessages() {
  const place = document.querySelector("dialog[open]") ?? document.body;
  if ($("toasts").parentElement !== place) place.append($("status"), $("toasts"));
}

/** Open a dialog, the messages with it. */
export function openDialog(dialog) {
  dialog.showModal();
  placeMessages();
}

/** Say something to a screen reader alone. */
export function say(text) {
  placeMessages();
  $("status").textContent = text;
}

/** Say something on the screen for a while, and to a screen reader. */
export function toast(text) {
  const close = labelled(element("button", { type: "button" }, icon("close")), "Dismiss");
  const note = element("div", { className: "toast" }, element("span", { textContent: text }), close);
  close.addEventListener("click", () => note.remove());
  $("toasts").replaceChildren(note);
  say(text);
  setTimeout(() => note.remove(), MESSAGE_TIME);
}

export const fail = (error) => toast(error instanceof Error ? error.message : String(error));

/** localStorage where there is one; without, a choice lasts as long as the page. */
export const stored = {
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
      // Storage is switched off.
    }
  },
};
