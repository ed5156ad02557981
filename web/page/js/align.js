/**
 * From a photograph to the face the model sees: CelebA's similarity alignment, the data set's crop, and
 * antialiased resizing, step by step as facemorph/align.py does it on the server.
 *
 * A picture is {data, width, height, channels}: bytes, row by row, channels interleaved (RGB 3 or RGBA 4).
 * Pixel centres lie at whole numbers. geometry is the bundle's: {frame, template, box, size, filter}.
 */

import { decode, INPUT, suppress } from "./yunet.js";

const middle = (points) =>
  [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);

/**
 * The least-squares similarity (rotation, scale, shift) that takes `from` to `to` (arrays of [x, y]), as [a,
 * b, x, y]: (u, v) = (a x - b y + x0, b x + a y + y0). Throws where the points coincide.
 */
export function similarity(from, to) {
  const [mx, my] = middle(from);
  const [mu, mv] = middle(to);
  let [power, same, cross] = [0, 0, 0];
  from.forEach(([x, y], i) => {
    const [dx, dy, du, dv] = [x - mx, y - my, to[i][0] - mu, to[i][1] - mv];
    power += dx * dx + dy * dy;
    same += dx * du + dy * dv;
    cross += dx * dv - dy * du;
  });
  if (!(power > 1e-9))
    throw new Error("The three points coincide: put one on each eye and one on the mouth.");
  const [a, b] = [same / power, cross / power];
  return [a, b, mu - a * mx + b * my, mv - b * mx - a * my];
}

export const apply = ([a, b, x0, y0], [x, y]) => [a * x - b * y + x0, b * x + a * y + y0];

/** The inverse similarity. */
export function invert([a, b, x0, y0]) {
  const power = a * a + b * b;
  const [p, q] = [a / power, -b / power];
  return [p, q, -(p * x0 - q * y0), -(q * x0 + p * y0)];
}

/** The similarity that does `inner` first and then `outer`. */
export function compose(outer, inner) {
  const [a, b] = [outer[0] * inner[0] - outer[1] * inner[1], outer[1] * inner[0] + outer[0] * inner[1]];
  return [a, b, ...apply(outer, [inner[2], inner[3]])];
}

/** The similarity from the frame to the model's pixels. */
function cutOf({ box: [left, top, right], size }) {
  const scale = size / (right - left);
  return [scale, 0, scale * (0.5 - left) - 0.5, scale * (0.5 - top) - 0.5];
}

/**
 * For each of `count` outputs: the inputs that it covers, by the length covered (OpenCV's INTER_AREA where it
 * shrinks).
 */
function coverage(length, count) {
  const scale = length / count;
  return Array.from({ length: count }, (_, i) => {
    const [from, to] = [i * scale, Math.min(length, (i + 1) * scale)];
    const first = Math.floor(from);
    const weights = [];
    for (let j = first; j < to - 1e-9; j++)
      weights.push((Math.min(to, j + 1) - Math.max(from, j)) / (to - from));
    return { first, weights };
  });
}

/** The part [left, top, right, bottom) of a picture averaged to width x height, RGB. */
export function average(
  picture,
  width,
  height,
  [left, top, right, bottom] = [0, 0, picture.width, picture.height],
) {
  const { data, channels } = picture;
  const across = coverage(right - left, width);
  const down = coverage(bottom - top, height);
  const middle = new Float32Array((bottom - top) * width * 3);
  for (let y = top; y < bottom; y++) {
    for (let x = 0; x < width; x++) {
      const { first, weights } = across[x];
      const to = ((y - top) * width + x) * 3;
      for (let i = 0; i < weights.length; i++) {
        const from = (y * picture.width + left + first + i) * channels;
        for (let c = 0; c < 3; c++) middle[to + c] += weights[i] * data[from + c];
      }
    }
  }
  const out = new Uint8ClampedArray(width * height * 3);
  const row = new Float32Array(width * 3);
  for (let y = 0; y < height; y++) {
    const { first, weights } = down[y];
    row.fill(0);
    for (let i = 0; i < weights.length; i++) {
      const from = (first + i) * width * 3;
      for (let x = 0; x < row.length; x++) row[x] += weights[i] * middle[from + x];
    }
    out.set(row, y * width * 3);
  }
  return { data: out, width, height, channels: 3 };
}

/**
 * Weights of cubic convolution (Keys 1981) with the free parameter that OpenCV uses, a = -0.75, for the four
 * pixels around t in [0, 1).
 */
function cubic(t, a = -0.75) {
  const near = (d) => ((a + 2) * d - (a + 3)) * d * d + 1;
  const far = (d) => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return [far(t + 1), near(t), near(1 - t), far(2 - t)];
}

/**
 * A picture of width x height, RGB, whose pixel (u, v) is taken from `picture` at place(u, v): bicubic, the
 * border repeated.
 */
export function warp(picture, width, height, place) {
  const { data, channels } = picture;
  const out = new Uint8ClampedArray(width * height * 3);
  const clampX = (x) => Math.min(picture.width - 1, Math.max(0, x)) * channels;
  const clampY = (y) => Math.min(picture.height - 1, Math.max(0, y)) * picture.width * channels;
  for (let v = 0; v < height; v++) {
    for (let u = 0; u < width; u++) {
      const [x, y] = place(u, v);
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const [wx, wy] = [cubic(x - left), cubic(y - top)];
      const sum = [0, 0, 0];
      for (let j = 0; j < 4; j++) {
        const row = clampY(top + j - 1);
        for (let i = 0; i < 4; i++) {
          const at = row + clampX(left + i - 1);
          for (let c = 0; c < 3; c++) sum[c] += wx[i] * wy[j] * data[at + c];
        }
      }
      out.set(sum, (v * width + u) * 3);
    }
  }
  return { data: out, width, height, channels: 3 };
}

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const FILTERS = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight(x) {
      const d = Math.abs(x);
      if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
      return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
    },
  },
  lanczos: { support: 3, weight: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/**
 * For each of `count` outputs: the first input it reads and the weights of those it reads, over the span
 * [from, to) of an input of `length`.
 */
function taps(length, from, to, count, filter) {
  const scale = (to - from) / count;
  const stretch = Math.max(1, scale);
  const support = filter.support * stretch;
  return Array.from({ length: count }, (_, i) => {
    const centre = from + (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - support + 0.5));
    const last = Math.min(length, Math.floor(centre + support + 0.5));
    const weights = [];
    for (let j = first; j < last; j++) weights.push(filter.weight((j + 0.5 - centre) / stretch));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/**
 * The part `box` of a picture, resized to width x height, RGB, antialiased, as Pillow's resize: separable,
 * rounding to bytes between the passes.
 */
export function resize(picture, width, height, filter, box = [0, 0, picture.width, picture.height]) {
  const { data, channels } = picture;
  const kernel = FILTERS[filter];
  const across = taps(picture.width, box[0], box[2], width, kernel);
  const down = taps(picture.height, box[1], box[3], height, kernel);
  const top = Math.min(...down.map((tap) => tap.first));
  const bottom = Math.max(...down.map((tap) => tap.first + tap.weights.length));
  const middle = new Uint8ClampedArray((bottom - top) * width * 3);
  for (let y = top; y < bottom; y++) {
    for (let x = 0; x < width; x++) {
      const { first, weights } = across[x];
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++)
          sum += weights[i] * data[(y * picture.width + first + i) * channels + c];
        middle[((y - top) * width + x) * 3 + c] = sum;
      }
    }
  }
  const out = new Uint8ClampedArray(width * height * 3);
  for (let y = 0; y < height; y++) {
    const { first, weights } = down[y];
    for (let x = 0; x < width * 3; x++) {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * middle[(first - top + i) * width * 3 + x];
      out[y * width * 3 + x] = sum;
    }
  }
  return { data: out, width, height, channels: 3 };
}

/**
 * Eye, eye, mouth, with the eyes exchanged where the face would otherwise be a mirror image, whichever way up
 * it stands.
 */
export function ordered([a, b, mouth]) {
  const turn = (b[0] - a[0]) * (mouth[1] - a[1]) - (b[1] - a[1]) * (mouth[0] - a[0]);
  return turn >= 0 ? [a, b, mouth] : [b, a, mouth];
}

/** Three points that align a face, from a detector's five: both eyes and the middle of the mouth. */
export const threePoints = ([left, right, , one, two]) =>
  ordered([left, right, [(one[0] + two[0]) / 2, (one[1] + two[1]) / 2]]);

/**
 * The face whose eyes and mouth stand at `points`, in pixels of the photograph: {matrix: photograph to model
 * pixels, face: RGB picture of geometry.size}. What is larger than the frame is averaged down to about its
 * scale first, so that sampling does not alias.
 */
export function faceByPoints(photo, points, geometry) {
  const matrix = similarity(points, geometry.template);
  const {
    box: [left, top, right, bottom],
    size,
    filter,
  } = geometry;
  const margin = 3 * Math.ceil((right - left) / size) + 1; // the filter looks beyond the box, as in training
  const [width, height] = [right - left + 2 * margin, bottom - top + 2 * margin];
  const toBox = compose([1, 0, margin - left, margin - top], matrix);
  const face = resize(extract(photo, toBox, width, height), size, size, filter, [
    margin,
    margin,
    width - margin,
    height - margin,
  ]);
  return { matrix: compose(cutOf(geometry), matrix), face };
}

/**
 * What the similarity `toBox` takes into width x height: averaged down where it shrinks, bicubic, the border
 * repeated.
 */
export function extract(photo, toBox, width, height) {
  const scale = Math.hypot(toBox[0], toBox[1]);
  const { picture, step, shift } =
    scale > 1 - 1e-6
      ? { picture: photo, step: [1, 1], shift: [0, 0] }
      : shrunk(photo, toBox, width, height, scale);
  return warpBy(picture, toBox, step, shift, width, height);
}

/**
 * The part of a photograph that `toBox` takes into width x height, averaged; a pixel x of it lies at (x +
 * 0.5) * step - 0.5 + shift in the photograph.
 */
function shrunk(photo, toBox, width, height, scale) {
  const back = invert(toBox);
  const corners = [
    [-4, -4],
    [width + 3, -4],
    [-4, height + 3],
    [width + 3, height + 3],
  ].map((corner) => apply(back, corner));
  const span = (axis, limit) => {
    const values = corners.map((corner) => corner[axis]);
    const from = Math.min(limit - 1, Math.max(0, Math.floor(Math.min(...values))));
    return [from, Math.min(limit, Math.max(from + 1, Math.ceil(Math.max(...values)) + 1))];
  };
  const [[left, right], [top, bottom]] = [span(0, photo.width), span(1, photo.height)];
  const [w, h] = [
    Math.max(1, Math.round((right - left) * scale)),
    Math.max(1, Math.round((bottom - top) * scale)),
  ];
  return {
    picture: average(photo, w, h, [left, top, right, bottom]),
    step: [(right - left) / w, (bottom - top) / h],
    shift: [left, top],
  };
}

/** warp() of a picture whose pixels are `step` apart in the photograph, from `shift` on. */
function warpBy(picture, toBox, step, shift, width, height) {
  const back = invert(toBox);
  const place = (value, axis) => (value - shift[axis] + 0.5) / step[axis] - 0.5;
  return warp(picture, width, height, (u, v) => {
    const [x, y] = apply(back, [u, v]);
    return [place(x, 0), place(y, 1)];
  });
}

/**
 * The picture's largest centred part of the frame's shape as the frame, where no face is known: {matrix,
 * face, points: where the template lies in it}.
 */
export function faceByFrame(photo, geometry) {
  const { width, height } = photo;
  const [across, down] = geometry.frame;
  const scale = Math.max(across / width, down / height);
  const [x, y] = [(width - across / scale) / 2, (height - down / scale) / 2];
  const [left, top, right, bottom] = geometry.box.map((edge, i) => edge / scale + (i % 2 ? y : x));
  const box = [Math.max(left, 0), Math.max(top, 0), Math.min(right, width), Math.min(bottom, height)];
  const toFrame = [scale, 0, scale * (0.5 - x) - 0.5, scale * (0.5 - y) - 0.5];
  const back = invert(toFrame);
  return {
    matrix: compose(cutOf(geometry), toFrame),
    face: resize(photo, geometry.size, geometry.size, geometry.filter, box),
    points: geometry.template.map((point) => apply(back, point)),
  };
}

/**
 * Whether eyes and mouth lie within half an eye distance of the template: near enough for a picture of the
 * frame's size to be a frame already.
 */
export const fitsFrame = (points, { template }) => {
  const near = Math.hypot(template[1][0] - template[0][0], template[1][1] - template[0][1]) / 2;
  return points.every(([x, y], i) => Math.hypot(x - template[i][0], y - template[i][1]) < near);
};

const SIDES = [320, INPUT]; // longer side, in pixels, at which faces are looked for, one after the other
const ENOUGH = 24; // pixels between the eyes at which a detection is precise enough not to look closer
const TILE = 320; // side, in pixels, of the upright face that is looked at again
const UPRIGHT = [
  [105, 121.5],
  [215, 121.5],
  [160, 237],
]; // where its eyes and the middle of its mouth are put
const MIRRORED = [1, 0, 2, 4, 3]; // the five points of a mirrored face
// Rounds in which it is looked at again, each from where the last saw it, twice over. The views of a round
// lie in the quarters of one square: size (times that of UPRIGHT), turn (degrees), whether mirrored
const VIEWS = [
  [
    [1.2, 4, false],
    [1.0, -4, true],
    [0.8, -4, false],
    [0.7, 4, true],
  ],
  [
    [1.12, -3, true],
    [0.94, 3, false],
    [0.75, 5, true],
    [0.65, -5, false],
  ],
  [
    [1.06, 5, false],
    [0.88, -5, true],
    [0.72, 2, false],
    [1.25, -2, true],
  ],
];
const SURE = 0.88; // score of a face from which on no other quarter turn of the picture is tried
const SURER = 0.05; // by how much the score must be higher in another quarter turn
// Least score, largest overlap of two faces, most faces reported
const [SCORE, OVERLAP, MOST] = [0.6, 0.3, 32];

/**
 * The detector's input: the picture at `scale` in the top left of a black INPUT square, float BGR planes, and
 * its width and height there.
 */
export function detectorInput(photo, scale) {
  const [width, height] = [
    Math.max(1, Math.round(photo.width * scale)),
    Math.max(1, Math.round(photo.height * scale)),
  ];
  const small =
    scale < 1 ? average(photo, width, height) : scale > 1 ? resize(photo, width, height, "bilinear") : photo;
  return { planes: planesOf(small), width, height };
}

/** A picture no larger than INPUT a side as the detector's input: float BGR planes, black beyond it. */
function planesOf({ data, width, height, channels }) {
  const planes = new Float32Array(3 * INPUT * INPUT);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++)
        planes[(c * INPUT + y) * INPUT + x] = data[(y * width + x) * channels + 2 - c];
    }
  }
  return planes;
}

const eyes = ({ points: [a, b] }) => Math.hypot(b[0] - a[0], b[1] - a[1]);

/**
 * A face's five points seen again: the mean over upright views of several sizes and small turns (web/API.md,
 * Detection). The last three rounds count. run: as for detectFaces.
 */
export async function lookAgain(photo, seenFirst, run) {
  let points = seenFirst;
  let rounds = [];
  for (const views of [...VIEWS, ...VIEWS]) {
    const seen = await pointsIn(photo, points, views, run);
    if (!seen.length) break;
    rounds = [...rounds, seen].slice(-VIEWS.length);
    const fives = rounds.flat();
    points = points.map((_, i) => middle(fives.map((five) => five[i])));
  }
  return points;
}

/**
 * The same by four views alone, as is enough from one picture of a film to the next; null where none sees it.
 */
export async function glance(photo, seenBefore, run) {
  const seen = await pointsIn(photo, seenBefore, VIEWS[0], run);
  return seen.length ? seenBefore.map((_, i) => middle(seen.map((five) => five[i]))) : null;
}

/**
 * The five points of a face by each of four views that shows it. The network says points for every place that
 * sees a face; their mean is steadier than the surest one.
 */
async function pointsIn(photo, points, views, run) {
  const maps = views.map((view) => uprightView(points, view));
  const tiles = maps.map((matrix, i) => {
    const tile = extract(photo, matrix, TILE, TILE);
    return views[i][2] ? mirrored(tile) : tile;
  });
  const candidates = decode(await run(planesOf(quarters(tiles))), SCORE);
  return views.flatMap(([, , flipped], place) => {
    const corner = [TILE * (place % 2), TILE * Math.floor(place / 2)];
    const near = candidates
      .map(({ points: five }) => five.map(([x, y]) => [x - corner[0], y - corner[1]]))
      .filter((five) => middle(five).every((value) => Math.abs(value - TILE / 2) < TILE / 4));
    if (!near.length) return [];
    const back = invert(maps[place]);
    const mean = [0, 1, 2, 3, 4].map((i) => middle(near.map((five) => five[i])));
    const plain = flipped ? MIRRORED.map((i) => [TILE - 1 - mean[i][0], mean[i][1]]) : mean;
    return [plain.map((point) => apply(back, point))];
  });
}

/** The similarity that puts a face upright into a square of TILE pixels, before it is mirrored. */
function uprightView(points, [size, degrees]) {
  const angle = (degrees / 180) * Math.PI;
  const [cos, sin] = [size * Math.cos(angle), size * Math.sin(angle)];
  const half = TILE / 2;
  const goal = UPRIGHT.map(([x, y]) => [
    cos * (x - half) - sin * (y - half) + half - 0.5,
    sin * (x - half) + cos * (y - half) + half - 0.5,
  ]);
  return similarity(threePoints(points), goal);
}

/** An RGB picture's mirror image. */
function mirrored({ data, width, height }) {
  const out = new Uint8ClampedArray(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (y * width + x) * 3;
      out.set(data.subarray(from, from + 3), (y * width + width - 1 - x) * 3);
    }
  }
  return { data: out, width, height, channels: 3 };
}

/** Four RGB squares of TILE pixels as one, row by row. */
function quarters(tiles) {
  const side = 2 * TILE;
  const out = new Uint8ClampedArray(side * side * 3);
  tiles.forEach(({ data }, place) => {
    const left = TILE * (place % 2);
    const top = TILE * Math.floor(place / 2);
    for (let y = 0; y < TILE; y++) {
      out.set(data.subarray(y * TILE * 3, (y + 1) * TILE * 3), ((top + y) * side + left) * 3);
    }
  });
  return { data: out, width: side, height: side, channels: 3 };
}

/**
 * Faces in a photograph, the largest first, in its pixels: {box, points (5), score}. run: (Float32Array 3 x
 * INPUT x INPUT) -> Promise of the network's outputs. A photograph may lie on its side or head: a much surer
 * face in another quarter turn is preferred.
 */
export async function detectFaces(photo, run) {
  const upright = await detectUpright(photo, run);
  const least = upright.length ? upright[0].score + SURER : 0;
  for (let quarter = 1; quarter < 4 && least < SURE + SURER; quarter++) {
    const seen = await detectUpright(quarterTurned(photo, quarter), run);
    if (seen.length && seen[0].score >= Math.max(SURE, least))
      return seen.map((face) => turnedBack(face, quarter, photo));
  }
  return upright;
}

/** Faces that are about upright. Looks closer until the largest is seen well enough. */
async function detectUpright(photo, run) {
  let found = [];
  for (const side of SIDES) {
    const scale = side / Math.max(photo.width, photo.height);
    const { planes, width, height } = detectorInput(photo, side === SIDES[0] ? scale : Math.min(scale, 1));
    const [x, y] = [photo.width / width, photo.height / height];
    const seen = suppress(decode(await run(planes), SCORE), OVERLAP)
      .map(({ box, points, score }) => ({
        box: [box[0] * x, box[1] * y, box[2] * x, box[3] * y],
        points: points.map(([u, v]) => [(u + 0.5) * x - 0.5, (v + 0.5) * y - 0.5]),
        score,
      }))
      .filter((face) => eyes(face) > 1)
      .sort((a, b) => b.box[2] * b.box[3] - a.box[2] * a.box[3]);
    if (seen.length) found = seen;
    if (scale >= 1 || (seen.length && eyes(seen[0]) * scale >= ENOUGH)) break;
  }
  return found.slice(0, MOST);
}

/** Where a pixel of a picture turned by quarters against the clock lies in the picture itself. */
const fromTurned = ([x, y], quarter, { width, height }) =>
  [
    [x, y],
    [width - 1 - y, x],
    [width - 1 - x, height - 1 - y],
    [y, height - 1 - x],
  ][quarter];

/** A picture turned by quarters against the clock. */
export function quarterTurned(photo, quarter) {
  const { channels } = photo;
  const [width, height] = quarter % 2 ? [photo.height, photo.width] : [photo.width, photo.height];
  const data = new Uint8ClampedArray(width * height * channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [u, v] = fromTurned([x, y], quarter, photo);
      for (let c = 0; c < channels; c++)
        data[(y * width + x) * channels + c] = photo.data[(v * photo.width + u) * channels + c];
    }
  }
  return { data, width, height, channels };
}

/** A face found in a turned picture, in pixels of the picture itself. */
function turnedBack({ box: [left, top, width, height], points, score }, quarter, photo) {
  const back = (point) => fromTurned(point, quarter, photo);
  const corners = [back([left, top]), back([left + width, top + height])];
  const low = [0, 1].map((axis) => Math.min(corners[0][axis], corners[1][axis]));
  const high = [0, 1].map((axis) => Math.max(corners[0][axis], corners[1][axis]));
  return { box: [...low, high[0] - low[0], high[1] - low[1]], points: points.map(back), score };
}

const SMALL = 20; // pixels between the eyes in the photograph below which it is too coarse
// Distance of the nose from the middle of the eyes, in eye distances along their line, above which a face
// looks aside
const TURNED = 0.28;

/**
 * What a person should know of the faces found and the one chosen (an index, or null): any of "none",
 * "several", "turned", "small".
 */
export function notices(faces, chosen) {
  const notes = faces.length ? (faces.length > 1 ? ["several"] : []) : ["none"];
  if (chosen === null) return notes;
  const [a, b, nose] = faces[chosen].points;
  const line = [b[0] - a[0], b[1] - a[1]];
  const along =
    ((nose[0] - (a[0] + b[0]) / 2) * line[0] + (nose[1] - (a[1] + b[1]) / 2) * line[1]) /
    (line[0] ** 2 + line[1] ** 2);
  if (Math.abs(along) > TURNED) notes.push("turned");
  if (eyes(faces[chosen]) < SMALL) notes.push("small");
  return notes;
}
