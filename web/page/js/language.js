/**
 * The page in another language. It is written in English; a language is a file, lang/CODE.json, of its
 * texts: {English: translation}, with {1}, {2} where something stands that the page fills in. Whatever
 * the page shows or tells a screen reader is looked up as it appears. What is not found stays English,
 * as names of attributes do. Nothing inside an element with translate="no" is looked up.
 */

import { $, stored } from "./dom.js";

const NAMES = { en: "English", de: "Deutsch" };
const ATTRIBUTES = ["aria-label", "aria-valuetext", "placeholder", "title", "alt"];
const SENTENCES = /(?<=[.!?]) (?=[\p{Lu}\p{N}“])/u;

/** (text) -> its translation by {English: translation}; the text itself where there is none. */
export function translator(texts) {
  const literal = (key) => key.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
  const patterns = Object.entries(texts)
    .filter(([key]) => key.includes("{1}"))
    .toSorted(([a], [b]) => b.length - a.length)
    .map(([key, goal]) => [new RegExp(`^${literal(key).replace(/\{\d\}/g, "(.+?)")}$`, "u"), goal]);
  const exact = (text) => (Object.hasOwn(texts, text) ? texts[text] : null);
  const filled = (text) => {
    for (const [pattern, goal] of patterns) {
      const found = text.match(pattern);
      if (found) return goal.replace(/\{(\d)\}/g, (_, place) => translate(found[place]));
    }
    return null;
  };
  const translate = (text) => {
    const sentences = text.split(SENTENCES);
    const goals = sentences.map((sentence) => exact(sentence) ?? filled(sentence));
    if (sentences.length > 1 && goals.every((goal) => goal !== null)) return exact(text) ?? goals.join(" ");
    return exact(text) ?? filled(text) ?? goals.map((goal, i) => goal ?? sentences[i]).join(" ");
  };
  return translate;
}

const known = new Map(); // text -> translation, of what was looked up lately
const MOST = 2000;

function lookedUp(translate, shown) {
  if (!/\p{L}/u.test(shown)) return shown;
  if (!known.has(shown)) {
    if (known.size === MOST) known.clear();
    const text = shown.trim().replace(/\s+/g, " ");
    known.set(shown, shown.match(/^\s*/)[0] + translate(text) + shown.match(/\s*$/)[0]);
  }
  return known.get(shown);
}

function ofText(translate, node) {
  const goal = lookedUp(translate, node.data);
  if (goal !== node.data) node.data = goal;
}

function ofAttribute(translate, element, name) {
  const shown = element.getAttribute(name);
  const goal = shown && lookedUp(translate, shown);
  if (goal !== shown) element.setAttribute(name, goal);
}

const stays = (node) => (node.parentElement ?? node).closest?.("[translate=no], script, style") !== null;

function ofTree(translate, root) {
  if (root.nodeType === Node.TEXT_NODE) {
    if (!stays(root)) ofText(translate, root);
    return;
  }
  const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
  for (let node = root; node; node = walk.nextNode()) {
    if (stays(node)) continue;
    if (node.nodeType === Node.TEXT_NODE) ofText(translate, node);
    else if (node.nodeType === Node.ELEMENT_NODE)
      for (const name of ATTRIBUTES) ofAttribute(translate, node, name);
  }
}

/** Show the page, and whatever will appear in it, by a translation. */
function show(translate) {
  new MutationObserver((changes) => {
    for (const { type, target, addedNodes, attributeName } of changes) {
      if (type === "childList") for (const node of addedNodes) ofTree(translate, node);
      else if (type === "characterData") ofTree(translate, target);
      else if (!stays(target)) ofAttribute(translate, target, attributeName);
    }
  }).observe(document.body, {
    subtree: true,
    childList: true,
    characterData: true,
    attributeFilter: ATTRIBUTES,
  });
  ofTree(translate, document.body);
}

/** The first language that a person wants and the page has: chosen here, or set in the browser. */
export function wanted(chosen, languages) {
  const codes = [chosen, ...languages].map((language) => String(language).slice(0, 2));
  return codes.find((code) => Object.hasOwn(NAMES, code)) ?? "en";
}

const code = globalThis.document ? wanted(stored.get("language"), navigator.languages) : "en";
if (globalThis.document) {
  const choice = $("language");
  for (const [value, name] of Object.entries(NAMES))
    choice.add(new Option(name, value, false, value === code));
  choice.addEventListener("change", () => {
    stored.set("language", choice.value);
    location.reload();
  });
}
if (code !== "en") {
  document.documentElement.lang = code;
  const answer = await fetch(`lang/${code}.json`).catch(() => null);
  if (answer?.ok) show(translator(await answer.json()));
}
