/**
 * A direction of one's own, from a few pictures with and a few without something, the same as
 * facemorph/own_sliders.py.
 */

import { dot, norm, orthonormal, plus, projectOff } from "./vectors.js";

function mean(codes) {
  const sum = new Float64Array(codes[0].length);
  for (const code of codes) for (let i = 0; i < sum.length; i++) sum[i] += code[i] / codes.length;
  return sum;
}

/**
 * How much of a mean difference of few codes is more than chance: the positive-part James-Stein factor (James
 * and Stein 1961; Baranchik 1964), max(0, 1 - (K - 2) m / sum_j (d_j / s_j)^2), with m = 1/n1 + 1/n0 and K
 * the number of code dimensions in use.
 *
 * vector: (D) mean difference; std: (D) of the train codes; a dimension whose std is below a thousandth of
 * the largest is not in use.
 */
export function shrinkage(vector, std, withCount, withoutCount) {
  const floor = 1e-3 * std.reduce((a, b) => Math.max(a, b), 0);
  let [used, energy] = [0, 0];
  for (let i = 0; i < std.length; i++) {
    if (std[i] <= floor) continue;
    used += 1;
    energy += (vector[i] / std[i]) ** 2;
  }
  return energy > 0
    ? Math.max(0, 1 - (Math.max(used - 2, 0) * (1 / withCount + 1 / withoutCount)) / energy)
    : 0;
}

/**
 * AUROC of telling the two sides apart: the share of pairs, one of each side, put in order by a direction
 * learnt from all the others; ties count half, null with fewer than two on a side. Leaving out pairs has no
 * bias, where leaving out one at a time calls pictures that do not differ worse than chance (Airola et al.,
 * "An experimental comparison of cross-validation techniques for estimating the area under the ROC curve",
 * 2011).
 */
export function leavePairOut(withIt, without, basis = []) {
  if (Math.min(withIt.length, without.length) < 2) return null;
  const [a, b] = [mean(withIt), mean(without)];
  const rest = (middle, count, code) => middle.map((value, i) => (value * count - code[i]) / (count - 1));
  const positives = withIt.map((code) => rest(a, withIt.length, code));
  const negatives = without.map((code) => rest(b, without.length, code));
  let wins = 0;
  withIt.forEach((positive, i) => {
    without.forEach((negative, j) => {
      const ahead = dot(
        plus(positive, negative, -1),
        projectOff(plus(positives[i], negatives[j], -1), basis),
      );
      wins += ahead > 0 ? 1 : ahead === 0 ? 0.5 : 0;
    });
  });
  return wins / (withIt.length * without.length);
}

/**
 * The direction from `without` to `withIt` (arrays of codes, D), projected off the locked directions.
 *
 * std: (D) of the train codes; spread: (unit direction) -> standard deviation of the train codes along it;
 * locked: array of directions (D). Returns {unit (D), sigma, measured (sigmas between the two means), kept
 * (the shrinkage factor), between (their product), auroc (or null)}. Throws where a side is empty or nothing
 * sets the sides apart.
 */
export function newDirection(withIt, without, std, spread, locked = []) {
  if (!withIt.length || !without.length)
    throw new Error("At least one picture with and one without is needed.");
  const basis = orthonormal(locked);
  const whole = plus(mean(withIt), mean(without), -1);
  const vector = projectOff(whole, basis);
  const length = norm(vector);
  if (!(length > 1e-6 * norm(whole)))
    throw new Error("The two sets of pictures do not differ, or only in what is locked.");
  const unit = Float32Array.from(vector, (value) => value / length);
  const sigma = spread(unit);
  const kept = shrinkage(vector, std, withIt.length, without.length);
  const measured = length / sigma;
  return {
    unit,
    sigma,
    measured,
    kept,
    between: measured * kept,
    auroc: leavePairOut(withIt, without, basis),
  };
}

const MEANT = 1.5; // mean difference of a label, of 2 at most, from which it is what the pictures are about,
const MEANT_FROM = 4; // with so many pictures on a side: fewer have a label in common by chance

/**
 * The codes of two sides without what their labels say of them, so that what the sides differ in besides does
 * not get into a slider. What they are about stays: a label in which they differ nearly whole, unless it is
 * locked.
 *
 * flow: Flow (flow.js); read: (code) -> labels (A); locked: (A) of booleans.
 */
export function untold(sides, flow, read, locked) {
  const labels = sides.map((codes) => codes.map(read));
  const average = (side, a) => side.reduce((sum, one) => sum + one[a], 0) / side.length;
  const few = Math.min(...sides.map((codes) => codes.length)) < MEANT_FROM;
  const meant = locked.map(
    (lock, a) => !few && !lock && Math.abs(average(labels[0], a) - average(labels[1], a)) > MEANT,
  );
  const known = (one) => one.map((label, a) => (meant[a] ? 0 : label));
  return sides.map((codes, s) => codes.map((code, i) => flow.untold(code, known(labels[s][i]))));
}

const FORMAT = "facemorph slider 1";

/** The text of a slider's file. decoder: SHA-256 of the decoder to whose codes it belongs. */
export function toFile(slider, decoder) {
  const { label, unit, sigma, measured, kept, auroc: score, counts, apart } = slider;
  return JSON.stringify(
    {
      format: FORMAT,
      decoder,
      label,
      sigma,
      measured,
      kept,
      auroc: score,
      counts,
      apart,
      unit: toBase64(unit),
    },
    null,
    1,
  );
}

/** A slider from its file's text, every field checked. Throws with one line that says what is wrong. */
export function fromFile(text, decoder, length) {
  let file;
  try {
    file = JSON.parse(text);
  } catch {
    throw new Error("This file is not a saved slider.");
  }
  if (file?.format !== FORMAT) throw new Error("This file is not a saved slider.");
  if (file.decoder !== decoder)
    throw new Error("This slider was made for another model: its direction means nothing here.");
  const positive = (value) => Number.isFinite(value) && value > 0;
  const unit = fromBase64(String(file.unit), length);
  const sound =
    positive(file.sigma) &&
    positive(file.measured) &&
    file.kept >= 0 &&
    file.kept <= 1 &&
    Math.abs(norm(unit) - 1) < 1e-3 &&
    typeof file.label === "string" &&
    Array.isArray(file.counts) &&
    file.counts.length === 2 &&
    file.counts.every(positive) &&
    (file.auroc === null || (file.auroc >= 0 && file.auroc <= 1)) &&
    Array.isArray(file.apart);
  if (!sound) throw new Error("This slider file is damaged.");
  return {
    label: file.label.slice(0, 40),
    unit,
    sigma: file.sigma,
    measured: file.measured,
    kept: file.kept,
    between: file.measured * file.kept,
    auroc: file.auroc,
    counts: file.counts,
    apart: file.apart.map(String),
  };
}

/** float32 little-endian in base64, as codes travel. */
export function toBase64(values) {
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** Float32Array (length) from base64. Throws where it is not that many finite numbers. */
export function fromBase64(text, length) {
  let bytes;
  try {
    bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    throw new Error("Not base64.");
  }
  if (bytes.length !== 4 * length) throw new Error(`Expected ${length} numbers, found ${bytes.length / 4}.`);
  const values = new Float32Array(bytes.buffer);
  if (!values.every(Number.isFinite)) throw new Error("A number is not finite.");
  return values;
}
