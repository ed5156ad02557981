/**
 * A share link: what stands after # in the address. It carries a seed or the number of a preset, sliders and
 * locks; never a photograph or its code.
 *
 *   #seed=42&Smiling=1.2&lock=Male,Young&with=7&mix=0.4
 */

export const MAX_SEED = 4294967295;

const source = (value) => {
  const preset = /^preset(\d{1,4})$/.exec(value);
  if (preset) return { kind: "preset", index: Number(preset[1]) };
  if (/^\d{1,10}$/.test(value) && Number(value) <= MAX_SEED) return { kind: "seed", seed: Number(value) };
  return null;
};
const name = (base) => (base.kind === "seed" ? String(base.seed) : `preset${base.index}`);

/**
 * The link text for a state {base, other, mix, strengths, locked}, "#..."; a photograph leaves out its base,
 * a slider of one's own is left out.
 */
export function toHash({ base, other, mix, strengths, locked }, attributes) {
  const known = new Set(attributes.map((attribute) => attribute.name));
  const query = new URLSearchParams();
  if (base.kind !== "photo") query.set("seed", name(base));
  for (const [attribute, strength] of Object.entries(strengths)) {
    if (strength && known.has(attribute)) query.set(attribute, String(Number(strength.toFixed(2))));
  }
  const locks = [...locked].filter((attribute) => known.has(attribute));
  if (locks.length) query.set("lock", locks.join(","));
  if (other && other.kind !== "photo" && mix > 0) {
    query.set("with", name(other));
    query.set("mix", String(Number(mix.toFixed(2))));
  }
  return `#${query}`.replaceAll("%2C", ",");
}

/**
 * What a link says, checked: {base or null, other or null, mix, strengths, locked}; what it cannot mean is
 * left out, strengths are clamped to what a slider reaches.
 */
export function fromHash(hash, attributes) {
  const query = new URLSearchParams(hash.replace(/^#/, ""));
  const reaches = new Map(attributes.map((attribute) => [attribute.name, attribute.reach]));
  const strengths = {};
  for (const [key, value] of query) {
    const strength = Number(value);
    if (reaches.has(key) && value !== "" && Number.isFinite(strength)) {
      const reach = reaches.get(key);
      strengths[key] = Math.min(reach, Math.max(-reach, strength));
    }
  }
  const mix = Number(query.get("mix"));
  return {
    base: source(query.get("seed") ?? ""),
    other: source(query.get("with") ?? ""),
    mix: Number.isFinite(mix) ? Math.min(1, Math.max(0, mix)) : 0,
    strengths,
    locked: (query.get("lock") ?? "").split(",").filter((attribute) => reaches.has(attribute)),
  };
}
