/** How like the training faces a picture is, and what is therefore promised of its sliders (web/API.md). */

const FLOORS = [1e-7, 1e-3, 1e-3, 1e-4, 1e-5]; // added to the statistics before the logarithm
const LEADING = 0.2; // share of the axes that lead

const meanOf = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Squares (K) of a code's coordinates along the axes of `factor`, rows of length D, of unit variance. */
function whitened(code, mean, factor) {
  const apart = Float64Array.from(code, (value, i) => value - mean[i]);
  const squares = new Float64Array(factor.length / code.length);
  for (let k = 0; k < squares.length; k++) {
    const axis = factor.subarray(k * code.length, (k + 1) * code.length);
    let along = 0;
    let variance = 0;
    for (let i = 0; i < code.length; i++) {
      along += axis[i] * apart[i];
      variance += axis[i] ** 2;
    }
    squares[k] = along ** 2 / Math.max(variance, 1e-24);
  }
  return squares;
}

/**
 * The five logarithms that a picture is judged by: crop (picture), what the model draws of it (S * S * 3
 * numbers), its code, and mean and factor of the train codes.
 */
export function statistics({ data, channels, width: side }, drawn, code, { mean, factor }) {
  const grey = new Float64Array(side * side);
  let error = 0;
  let colour = 0;
  for (let i = 0; i < grey.length; i++) {
    const pixel = [0, 1, 2].map((c) => data[i * channels + c] / 255);
    grey[i] = (pixel[0] + pixel[1] + pixel[2]) / 3;
    for (let c = 0; c < 3; c++) {
      error += (drawn[3 * i + c] / 255 - pixel[c]) ** 2;
      colour += (pixel[c] - grey[i]) ** 2;
    }
  }
  let detail = 0;
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const here = y * side + x;
      if (x + 1 < side) detail += (grey[here + 1] - grey[here]) ** 2;
      if (y + 1 < side) detail += (grey[here + side] - grey[here]) ** 2;
    }
  const along = whitened(code, mean, factor);
  const leading = Math.max(1, Math.round(LEADING * along.length));
  const rest = along.length > leading ? along.subarray(leading) : along;
  const numbers = 3 * grey.length;
  const found = [
    error / numbers,
    meanOf(along.subarray(0, leading)),
    meanOf(rest),
    colour / numbers,
    detail / (side * (side - 1)),
  ];
  return found.map((value, i) => Math.log(value + FLOORS[i]));
}

/** The p-value of statistics (5) by bundle.json's `likeness`, with the calibration's scores. */
export function pValue(found, { mean, precision }, scores) {
  const apart = found.map((value, i) => value - mean[i]);
  const far = apart.reduce(
    (sum, a, i) => sum + a * apart.reduce((inner, b, j) => inner + precision[i][j] * b, 0),
    0,
  );
  return (1 + scores.filter((score) => score >= far).length) / (scores.length + 1);
}

/**
 * The part of a calibrated range [low, high] that is promised of a face with p-value p, null for one that is
 * as the data's: whole from `gradual` on, shrinking to the strength nearest 1, null where it is refused.
 */
export function shrunk([low, high], p, { refuse, gradual }) {
  if (p === null) return [low, high];
  if (p <= refuse) return null;
  const share = Math.min(1, (p - refuse) / (gradual - refuse));
  const centre = Math.min(Math.max(1, low), high);
  return [centre + share * (low - centre), centre + share * (high - centre)];
}
