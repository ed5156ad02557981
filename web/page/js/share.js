/**
 * A share link: what stands after # in the address. It carries a seed or the number of a preset, sliders,
 * locks, and the labels that a random face was asked for; never a photograph or its code.
 *
 *   #seed=42&of=Bald,-Male&Smiling=1.2&lock=Male,Young&with=7&mix=0.4&model=4.0a1b2c3d4e5f
 */

import { sliderSteps } from "./bundle.js";

export const MAX_SEED = 4294967295;
const COUNTED = 4; // format of the export from which on sliders count as they do

const source = (value) => {
  const preset = /^preset(\d{1,4})$/.exec(value);
  if (preset) return { kind: "preset", index: Number(preset[1]) };
  if (/^\d{1,10}$/.test(value) && Number(value) <= MAX_SEED) return { kind: "seed", seed: Number(value) };
  return null;
};
const nameOf = (base) => (base.kind === "seed" ? String(base.seed) : `preset${base.index}`);

/**
 * The link text for a state, "#...", made with the model of `mark`. What cannot be in a link is left out:
 * photographs and sliders of one's own (`leftOut`).
 */
export function toHash({ base, other, mix, strengths, locked }, { attributes, mark }) {
  const known = new Set(attributes.map((attribute) => attribute.name));
  const query = new URLSearchParams();
  if (base.kind !== "photo") query.set("seed", nameOf(base));
  for (const [attribute, strength] of Object.entries(strengths)) {
    if (strength && known.has(attribute)) query.set(attribute, String(Number(strength.toFixed(2))));
  }
  const locks = locked.filter((attribute) => known.has(attribute));
  if (locks.length) query.set("lock", locks.join(","));
  if (other && other.kind !== "photo" && mix > 0) {
    query.set("with", nameOf(other));
    query.set("mix", String(Number(mix.toFixed(2))));
  }
  const asked = Object.entries(base.labels ?? {}).map(([name, sign]) => (sign > 0 ? name : `-${name}`));
  if (asked.length) query.set("of", asked.join(","));
  query.set("model", mark);
  return `#${query}`.replaceAll("%2C", ",");
}

/** What a link of this state does not carry, in words. */
export function leftOut({ base, other, mix, strengths, locked }) {
  const own = [...Object.keys(strengths), ...locked].some((name) => name.startsWith("own:"));
  return [
    base.kind === "photo" && "the photograph",
    other?.kind === "photo" && mix > 0 && "the morph to a photograph",
    own && "sliders of your own",
  ].filter(Boolean);
}

/**
 * What a link says, checked: {base or null, other or null, mix, strengths, locked, foreign: whether it names
 * another model, older: and one whose sliders counted otherwise}; what it cannot mean is left out, strengths
 * are clamped to where a slider ends.
 */
export function fromHash(hash, { attributes, mark }) {
  const query = new URLSearchParams(hash.replace(/^#/, ""));
  const model = query.get("model");
  const older = model !== null && !(Number(/^(\d+)\./.exec(model)?.[1]) >= COUNTED);
  const ends = new Map(attributes.map(({ name, reach }) => [name, sliderSteps(reach).end]));
  const strengths = {};
  for (const [key, value] of query) {
    const strength = Number(value);
    if (!older && ends.has(key) && value !== "" && Number.isFinite(strength)) {
      const end = ends.get(key);
      strengths[key] = Math.min(end, Math.max(-end, strength));
    }
  }
  const mix = Number(query.get("mix"));
  const base = source(query.get("seed") ?? "");
  const asked = (query.get("of") ?? "").split(",").filter((name) => ends.has(name.replace(/^-/, "")));
  if (base?.kind === "seed" && asked.length)
    base.labels = Object.fromEntries(
      asked.map((name) => [name.replace(/^-/, ""), name.startsWith("-") ? -1 : 1]),
    );
  return {
    base,
    other: source(query.get("with") ?? ""),
    mix: Number.isFinite(mix) ? Math.min(1, Math.max(0, mix)) : 0,
    strengths,
    locked: (query.get("lock") ?? "").split(",").filter((attribute) => ends.has(attribute)),
    foreign: model !== null && model !== mark,
    older,
  };
}
