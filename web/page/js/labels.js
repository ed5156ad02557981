/**
 * Labels of a face, read off its code, and what sliders make of them (facemorph/labels.py). A label is a
 * number in [-1, 1]: 1 with, -1 without, 0 unknown, and between them what the model believes.
 */

import { dot } from "./vectors.js";

/** The log-odds of each attribute's readout as labels (A). rows: its normals (D) each. */
export const read = (code, rows, intercepts) =>
  Float64Array.from(rows, (row, a) => Math.tanh((dot(code, row) + intercepts[a]) / 2));

/** Sets of names, "-" in front where the absence is meant -> sets of [place in `names`, 1 or -1]. */
export const placed = (sets, names) =>
  sets.map((members) =>
    members.map((name) => [names.indexOf(name.replace(/^-/, "")), name.startsWith("-") ? -1 : 1]),
  );

/**
 * Labels made certain, 1 or -1, of two that exclude one another the surer alone, of an exhaustive set the
 * likeliest that nothing excludes; 0 stays.
 */
export function settled(labels, { pairs, exhaustive }) {
  const found = labels.map(Math.sign);
  const surest = Array.from(labels.keys()).toSorted((a, b) => Math.abs(labels[b]) - Math.abs(labels[a]));
  for (const a of surest)
    for (const pair of pairs) {
      const [own, other] = pair[0][0] === a ? pair : pair.toReversed();
      if (own[0] === a && found[a] === own[1] && found[other[0]] === other[1]) found[other[0]] = -other[1];
    }
  for (const members of exhaustive) {
    if (members.some(([b, side]) => found[b] === 0 || found[b] === side)) continue;
    const excluded = ([b, side]) =>
      pairs.some(
        (pair) =>
          pair.some(([a, sign]) => a === b && sign === side) &&
          pair.some(([a, sign]) => a !== b && found[a] === sign),
      );
    const likeliest = members.toSorted(([a, one], [b, other]) => other * labels[b] - one * labels[a]);
    const [b, side] = likeliest.find((member) => !excluded(member)) ?? [];
    if (b !== undefined) found[b] = side;
  }
  return found;
}

/**
 * Labels moved by `share` of the way to `wanted`, and those that are `free` by what exclusions ask for where
 * a label `comes`: the largest claim on a label counts, less the largest the other way. Where one of an
 * exhaustive set goes and none is wanted, the first that is free claims to come by what is then lacking. All
 * are arrays (A).
 */
function pushed(labels, wanted, share, comes, free, { pairs, exhaustive }) {
  const up = new Float64Array(labels.length);
  const down = new Float64Array(labels.length);
  for (const [first, second] of pairs) {
    for (const [[a, sign], [b, other]] of [
      [first, second],
      [second, first],
    ]) {
      if (wanted[a] !== sign || !free[b]) continue;
      const claims = other < 0 ? up : down;
      claims[b] = Math.max(claims[b], comes[a]);
    }
  }
  for (const members of exhaustive) {
    if (members.some(([b, side]) => wanted[b] === side)) continue;
    let lost = 0;
    let left = 0;
    const others = [];
    for (const [b, side] of members) {
      const shown = labels[b] ? (1 + side * labels[b]) / 2 : 1;
      const claimed = (side < 0 ? up : down)[b];
      if (wanted[b]) lost = Math.max(lost, comes[b]);
      else if (claimed) lost = Math.max(lost, claimed * shown);
      else {
        left = Math.max(left, shown);
        if (free[b]) others.push([b, side]);
      }
    }
    if (!others.length) continue;
    const [b, side] = others[0];
    const claims = side > 0 ? up : down;
    claims[b] = Math.max(claims[b], lost * (1 - left));
  }
  return labels.map((label, a) => {
    const claim = up[a] - down[a];
    const beyond = Math.max(Math.abs(claim) - share[a], 0);
    return label + share[a] * (wanted[a] - label) + beyond * (Math.sign(claim) - label);
  });
}

/**
 * What sliders ask for: the change of labels from `start` to `goal`, done `strength` times. values: of the
 * sliders (A); free: whether an exclusion may move a label (A); ruledOut: {pairs, exhaustive} (`placed`).
 */
export function move(labels, values, free, ruledOut) {
  const strength = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (strength === 0) return { start: labels, goal: labels, strength, still: true };
  const share = values.map((value) => Math.abs(value) / strength);
  const sign = values.map(Math.sign);
  const comes = share.map((part, a) => (part * (1 - sign[a] * labels[a])) / 2); // flips; the rest exaggerates
  const loose = free.map((can, a) => can && labels[a] !== 0);
  const stays = share.map((part, a) => part - comes[a]);
  const away = sign.map((one) => -one);
  const goal = pushed(labels, sign, share, comes, loose, ruledOut);
  const start = pushed(labels, away, share, stays, loose, ruledOut);
  return { start, goal, strength, still: goal.every((label, a) => label === start[a]) };
}
