/** Shortcuts of one letter, their list in the dialog, and the switch that turns them off. */

import { $, element, stored } from "./dom.js";

const FIELDS = 'input:not([type="range"], [type="checkbox"], [type="radio"]), textarea';

const keyCap = (key) => element("kbd", { textContent: key });
const caps = (key) => (key === "Z" ? [keyCap("Shift"), keyCap("Z")] : [keyCap(key.toUpperCase())]);

/**
 * shortcuts: [[key, what it does in words, action]]; step: ("undo" | "redo"), for Ctrl+Z everywhere but in a
 * field.
 */
export function listenForShortcuts(shortcuts, step) {
  $("keys-list").replaceChildren(
    ...shortcuts.flatMap(([key, what]) => [
      element("dt", {}, ...caps(key)),
      element("dd", { textContent: what }),
    ]),
  );
  $("keys-on").checked = stored.get("shortcuts") !== "off";
  $("keys-on").addEventListener("change", () => stored.set("shortcuts", $("keys-on").checked ? "on" : "off"));
  window.addEventListener("keydown", (event) => {
    const inField = event.target.closest?.(FIELDS);
    const control = event.ctrlKey || event.metaKey;
    if (control && !event.altKey && event.key.toLowerCase() === "z" && !inField) {
      event.preventDefault();
      step(event.shiftKey ? "redo" : "undo");
      return;
    }
    if (control || event.altKey || inField || event.repeat || !$("keys-on").checked) return;
    if (document.querySelector("dialog[open]")) return;
    const shortcut = shortcuts.find(([key]) => key === event.key);
    if (!shortcut) return;
    event.preventDefault();
    shortcut[2]();
  });
}
