/**
 * Sharp edges for enlarged drawings: a shock filter (Osher & Rudin, SIAM J. Numerical Analysis 1990).
 *
 * On the dark side of an edge each pixel moves towards the darkest of its four neighbours, on the light side
 * towards the lightest. Which side it is, the second derivative of the smoothed lightness across the edge
 * says (Alvarez & Mazorra 1994). So edges become steep and stay where they are, no value leaves the range of
 * its surroundings, and an even area stays as it is to the byte.
 */

const SMOOTH = 0.375; // deviation of the Gaussian on the lightness, in model pixels
const PASSES = 1.5; // for each pixel that a model pixel is enlarged to: how far an edge can be drawn together
const PACE = 0.4; // share of the way to the neighbour in one pass
const GAIN = 1.2; // of the curvature, in levels of 255 a squared pixel: where it is 1, the side is certain
const DOUBT = 0.02; // a pixel is left as it is where it is on no side by more than this

/** Gaussian blur of values (width, height), borders repeated. */
function blurred(values, width, height, deviation) {
  const reach = Math.ceil(3 * deviation);
  const weights = Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-((i - reach) ** 2) / (2 * deviation ** 2)),
  );
  const sum = weights.reduce((a, b) => a + b, 0);
  const along = (from, step, count, lines, stride) => {
    const out = new Float32Array(from.length);
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < count; i++) {
        let value = 0;
        for (let k = -reach; k <= reach; k++) {
          const at = Math.min(count - 1, Math.max(0, i + k));
          value += weights[k + reach] * from[line * stride + at * step];
        }
        out[line * stride + i * step] = value / sum;
      }
    }
    return out;
  };
  return along(along(values, 1, width, height, width), width, height, width, 1);
}

/** For each pixel -1 to 1: above 0 on the dark side of an edge, below 0 on the light side. */
function sides(data, width, height, times) {
  const light = new Float32Array(width * height);
  for (let i = 0; i < light.length; i++)
    light[i] = 0.3 * data[3 * i] + 0.59 * data[3 * i + 1] + 0.11 * data[3 * i + 2];
  const smooth = blurred(light, width, height, SMOOTH * times);
  const out = new Float32Array(light.length);
  for (let y = 1; y < height - 1; y++) {
    for (let x = 1; x < width - 1; x++) {
      const i = y * width + x;
      const twice = 2 * smooth[i];
      const dx = (smooth[i + 1] - smooth[i - 1]) / 2;
      const dy = (smooth[i + width] - smooth[i - width]) / 2;
      const dxx = smooth[i + 1] - twice + smooth[i - 1];
      const dyy = smooth[i + width] - twice + smooth[i - width];
      const dxy =
        (smooth[i + width + 1] - smooth[i + width - 1] - smooth[i - width + 1] + smooth[i - width - 1]) / 4;
      const across = dx * dx * dxx + 2 * dx * dy * dxy + dy * dy * dyy;
      out[i] = Math.tanh((across / (dx * dx + dy * dy + 1e-4)) * GAIN);
    }
  }
  return out;
}

/** An RGB picture (data: numbers, three a pixel), enlarged `times`, with sharp edges: Float32Array. */
export function crisp({ data, width, height }, times) {
  const side = sides(data, width, height, times);
  const edges = new Int32Array(side.length);
  let count = 0;
  for (let i = 0; i < side.length; i++) if (Math.abs(side[i]) > DOUBT) edges[count++] = i;
  const row = 3 * width;
  let now = new Float32Array(data);
  let next = now.slice();
  for (let pass = 0; pass < Math.round(PASSES * times); pass++) {
    for (let k = 0; k < count; k++) {
      const share = PACE * side[edges[k]];
      const first = 3 * edges[k];
      for (let i = first; i < first + 3; i++) {
        const here = now[i];
        const end =
          share > 0
            ? Math.min(here, now[i - 3], now[i + 3], now[i - row], now[i + row])
            : Math.max(here, now[i - 3], now[i + 3], now[i - row], now[i + row]);
        next[i] = here + Math.abs(share) * (end - here);
      }
    }
    [now, next] = [next, now];
  }
  return now;
}
