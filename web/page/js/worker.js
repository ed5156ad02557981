/** The networks, off the page's thread: ONNX Runtime's plain WebAssembly build, one thread. */

import * as ort from "../ort/ort.wasm.min.js";
import {
  detectFaces,
  faceByFrame,
  faceByPoints,
  fitsFrame,
  glance,
  lookAgain,
  notices,
  ordered,
  threePoints,
} from "./align.js";
import { Flow } from "./flow.js";
import { INPUT } from "./yunet.js";

const RUNTIME = "ort-wasm-simd-threaded";
const RUNTIME_BYTES = 14239897; // of the pinned release, for the progress bar alone
const at = (path) => new URL(`../${path}`, import.meta.url).href;

let runtime = null; // promise of its bytes
let geometry = null;
let length = 0;
let decoder = null;
let flow = null; // where it edits
const files = new Map(); // path -> promise of its bytes
const networks = new Map(); // path -> promise of a session
let turn = Promise.resolve(); // of the task before: the networks run one at a time

async function read(path, received) {
  const answer = await fetch(at(path));
  if (!answer.ok) throw new Error(`${path} cannot be loaded: ${answer.status} ${answer.statusText}`.trim());
  const parts = [];
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    received(value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function session(bytes) {
  try {
    return await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], logSeverityLevel: 3 });
  } catch (error) {
    if (!/no available backend/.test(error.message)) throw error;
    throw new Error("This browser cannot run the model: it lacks WebAssembly, or its SIMD instructions.");
  }
}

/**
 * What `make` promises, made once for each path; a failure is forgotten, so that the next try makes it again.
 */
function once(made, path, make) {
  if (!made.has(path)) {
    const promise = make();
    promise.catch(() => made.delete(path));
    made.set(path, promise);
  }
  return made.get(path);
}

/** Promise of the runtime, ready to make sessions. */
function started(received = () => {}) {
  runtime ??= read(`ort/${RUNTIME}.wasm`, received).then((binary) => {
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = { mjs: at(`ort/${RUNTIME}.js`), wasm: at(`ort/${RUNTIME}.wasm`) };
    ort.env.wasm.wasmBinary = binary;
  });
  runtime.catch(() => {
    runtime = null;
  });
  return runtime;
}

const bytes = (path) => once(files, path, () => read(path, () => {}));
const network = (path) => once(networks, path, async () => session(await bytes(path)));

const ONNX = ["modulation", "velocity"]; // of the flow, NAME.onnx

/** modulation.onnx and velocity.onnx, sessions, as flow.js calls them. */
function flowNetworks(modulation, velocity) {
  const vector = (values) => new ort.Tensor("float32", values, [values.length]);
  const rows = (values, count) => new ort.Tensor("float32", values, [count, values.length / count]);
  return {
    async modulation(times, labels) {
      const found = await modulation.run({ times: vector(times), labels: rows(labels, times.length) });
      return found.modulation.data;
    },
    async velocity(x, times, values) {
      const [places, told] = [x, values].map((one) => rows(one, times.length));
      const found = await velocity.run({ x: places, times: vector(times), modulation: told });
      return found.velocity.data;
    },
  };
}

/**
 * The index of the face to use: the one asked for, else the largest; null where there is none, or the picture
 * is a frame as in training already.
 */
function choose({ width, height }, faces, face) {
  if (!faces.length) return null;
  if (face !== null) {
    if (face >= faces.length) throw new Error(`There is no face ${face + 1}: ${faces.length} found.`);
    return face;
  }
  const framed = width === geometry.frame[0] && height === geometry.frame[1];
  return framed && fitsFrame(threePoints(faces[0].points), geometry) ? null : 0;
}

/** The outputs of the face detector, as align.js takes them. */
async function detected(planes) {
  const yunet = await network("export/yunet.onnx");
  const found = await yunet.run({ input: new ort.Tensor("float32", planes, [1, 3, INPUT, INPUT]) });
  return Object.fromEntries(Object.entries(found).map(([name, tensor]) => [name, tensor.data]));
}

/** The code of a crop (picture). */
async function codeOf({ data }) {
  const images = new ort.Tensor("uint8", Uint8Array.from(data), [1, geometry.size, geometry.size, 3]);
  const { codes } = await (await network("export/encoder.onnx")).run({ images });
  return codes.data;
}

const tasks = {
  async open({ files, geometry: cut, length: numbers, editor, flow: arrays }) {
    geometry = cut;
    length = numbers;
    const names = ["decoder", ...(arrays ? ONNX : [])].map((name) => `${name}.onnx`);
    const total = names.reduce((sum, name) => sum + files[name].bytes, RUNTIME_BYTES);
    let sum = 0;
    const received = (bytes) => {
      sum += bytes;
      postMessage({ share: Math.min(1, sum / total) });
    };
    const [found] = await Promise.all([
      Promise.all(names.map((name) => read(`export/${name}`, received))),
      started(received),
    ]);
    const [model, ...walks] = await Promise.all(found.map(session));
    decoder = model;
    if (arrays) flow = new Flow(arrays, editor, flowNetworks(...walks));
  },

  /** Fetch what a photograph will need, so that from here on the page needs no server. */
  async prepare() {
    await Promise.all([bytes("export/yunet.onnx"), bytes("export/encoder.onnx")]);
  },

  async decode({ code }) {
    const { images } = await decoder.run({ codes: new ort.Tensor("float32", code, [1, length]) });
    return images.data;
  },

  /** What a code gains by the flow (flow.js). */
  async gain({ code, labels, asked }) {
    return flow.gain(code, labels, asked);
  },

  /** The code of a new face (flow.js). */
  async draw({ given, noise }) {
    return flow.sample(given, noise);
  },

  /** Five points of the face in the next picture of a film, near where it was `seen`, else of the largest. */
  async seek({ picture, seen }) {
    const again = seen && (await glance(picture, seen, detected));
    if (again) return again;
    const [face] = await detectFaces(picture, detected);
    return face ? lookAgain(picture, face.points, detected) : null;
  },

  /**
   * Distance of the people in two crops (pictures), before and after an edit. path: of the network of
   * identity, which looks at both where the face of the first lies.
   */
  async apart({ path, before, after }) {
    await started();
    const { width, height } = before;
    const images = new Uint8Array([...before.data, ...after.data]);
    const tensor = new ort.Tensor("uint8", images, [2, height, width, 3]);
    const { features } = await (await network(path)).run({ images: tensor });
    const [first, second] = [0, 1].map((row) => features.data.subarray(128 * row, 128 * (row + 1)));
    return Math.hypot(...first.map((value, i) => value - second[i]));
  },

  async codeAt({ picture, five }) {
    const { matrix, face } = faceByPoints(picture, threePoints(five), geometry);
    return { code: await codeOf(face), matrix };
  },

  async encode({ picture, face, points }) {
    const faces = await detectFaces(picture, detected);
    const chosen = points ? null : choose(picture, faces, face);
    const used = points
      ? ordered(points)
      : chosen === null
        ? null
        : threePoints(await lookAgain(picture, faces[chosen].points, detected));
    const {
      matrix,
      face: crop,
      points: spots = used,
    } = used ? faceByPoints(picture, used, geometry) : faceByFrame(picture, geometry);
    return {
      code: await codeOf(crop),
      faces,
      face: chosen,
      aligned: points ? "points" : chosen === null ? "frame" : "face",
      points: spots,
      matrix,
      crop,
      notices: notices(faces, chosen),
    };
  },
};

async function answer({ id, task, request }) {
  try {
    postMessage({ id, result: await tasks[task](request) });
  } catch (error) {
    postMessage({ id, error: error.message || String(error) });
  }
}

self.onmessage = ({ data }) => {
  if (data.task === "prepare") answer(data);
  else turn = turn.then(() => answer(data));
};
