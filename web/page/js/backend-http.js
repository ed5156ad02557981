/**
 * The backend that asks the server. A backend answers
 *   sample(seed, labels {name: 1 or -1} that it is to have) -> code (D)
 *   encode(photo, {face, points}) -> {code, faces, face, aligned, points, matrix [a, b, x0, y0],
 *     crop (RGB picture), notices}
 *   render(edit, fine) -> {pixels: S * S * 3 numbers in [0, 255]: whole ones, or with `fine` fractions too,
 *     labels: Map of what the model sees in it}
 *   prepare() -> whether the page can do without the server from now on
 * and throws an Error whose message is a sentence for a person.
 */

import { compose } from "./align.js";
import { Bundle } from "./bundle.js";
import { fromBase64, toBase64 } from "./direction.js";
import { pixelsOf } from "./photo.js";

const TRIES = 4; // of a request that the server is too busy for
const UPLOADS = ["image/jpeg", "image/png", "image/webp"];
const LIGHT = 1024 * 1024; // bytes: a larger file is made smaller before it is sent

export class Replaced extends Error {}

async function post(path, body, type) {
  for (let attempt = 1; ; attempt++) {
    let answer;
    try {
      answer = await fetch(path, { method: "POST", body, headers: { "Content-Type": type } });
    } catch {
      throw new Error("The server cannot be reached.");
    }
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    if (answer.status === 429 && attempt < TRIES) {
      const seconds = Number(answer.headers.get("Retry-After")) || 1;
      await new Promise((resolve) => setTimeout(resolve, 1000 * Math.min(seconds, 5)));
      continue;
    }
    if (answer.status === 409) throw new Replaced("The server has moved on to a new model: reload the page.");
    throw new Error(problem.detail ?? `The server answered ${answer.status}.`);
  }
}

const ask = (path, request) => post(path, JSON.stringify(request), "application/json");

export class HttpBackend {
  name = "http";

  static async open() {
    const bundle = await Bundle.open("api/model", "export/arrays.safetensors");
    return new HttpBackend(bundle);
  }

  constructor(bundle) {
    this.bundle = bundle;
  }

  async prepare() {
    return false;
  }

  async sample(seed, labels = {}) {
    const answer = await (await ask("api/sample", { seed, labels, model: this.bundle.id })).json();
    return fromBase64(answer.code, this.bundle.length);
  }

  async encode(photo, { face = null, points = null } = {}) {
    const asItIs = UPLOADS.includes(photo.file.type) && photo.file.size <= LIGHT && photo.whole;
    const { file, scale } = asItIs ? { file: photo.file, scale: 1 } : await photo.toSend();
    const scaled = (by) => (point) => point.map((value) => (value + 0.5) * by - 0.5);
    const sent = scaled(scale);
    const back = scaled(1 / scale);
    const query = new URLSearchParams({ model: this.bundle.id });
    if (points) {
      const numbers = points.flatMap(sent).map((value) => value.toFixed(2));
      query.set("points", numbers.join(","));
    } else if (face !== null) query.set("face", String(face));
    const answer = await (await post(`api/encode?${query}`, file, file.type)).json();
    const [[a, , x0], [b, , y0]] = answer.matrix;
    const shrink = [scale, 0, 0.5 * scale - 0.5, 0.5 * scale - 0.5];
    return {
      ...answer,
      code: fromBase64(answer.code, this.bundle.length),
      faces: answer.faces.map(({ box: [x, y, width, height], points: five, score }) => ({
        box: [...back([x, y]), width / scale, height / scale],
        points: five.map(back),
        score,
      })),
      points: answer.points.map(back),
      matrix: compose([a, b, x0, y0], shrink),
      crop: await pixelsOf(answer.crop),
    };
  }

  async render({ code, strengths, locked, custom }, fine) {
    const request = {
      code: toBase64(code),
      strengths,
      locked,
      custom: custom.map((slider) => ({ ...slider, direction: toBase64(slider.direction) })),
      model: this.bundle.id,
    };
    const answer = await ask(`api/edit?as=${fine ? "fine" : "raw"}`, request);
    const bytes = await answer.arrayBuffer();
    const pixels = fine
      ? Float32Array.from(new Uint16Array(bytes), (value) => value / 256)
      : new Uint8ClampedArray(bytes);
    const seen = answer.headers.get("X-Labels").split(",").map(Number);
    return { pixels, labels: new Map(this.bundle.attributes.map(({ name }, i) => [name, seen[i]])) };
  }

  close() {}
}
