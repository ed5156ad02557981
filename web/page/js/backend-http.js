/**
 * The backend that asks the server. A backend answers
 *   sample(seed) -> code (D)
 *   encode(photo, {face, points}) -> {code, faces, face, aligned, points, matrix [a, b, x0, y0],
 *     crop (RGB picture), notices}
 *   render(edit, fine) -> S * S * 3 numbers in [0, 255]: whole ones, or with `fine` fractions too
 *   prepare() -> whether the page can do without the server from now on
 * and throws an Error whose message is a sentence for a person.
 */

import { Bundle } from "./bundle.js";
import { fromBase64, toBase64 } from "./direction.js";
import { pixelsOf } from "./photo.js";

const TRIES = 4; // of a request that the server is too busy for
const UPLOADS = ["image/jpeg", "image/png", "image/webp"];
const MAX_UPLOAD = 12 * 1024 * 1024; // bytes

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
    const bundle = await Bundle.open("api/model", "export/arrays.bin");
    return new HttpBackend(bundle);
  }

  constructor(bundle) {
    this.bundle = bundle;
  }

  async prepare() {
    return false;
  }

  async sample(seed) {
    const answer = await (await ask("api/sample", { seed, model: this.bundle.id })).json();
    return fromBase64(answer.code, this.bundle.length);
  }

  async encode(photo, { face = null, points = null } = {}) {
    const query = new URLSearchParams({ model: this.bundle.id });
    if (points)
      query.set(
        "points",
        points
          .flat()
          .map((value) => value.toFixed(2))
          .join(","),
      );
    else if (face !== null) query.set("face", String(face));
    const asItIs = UPLOADS.includes(photo.file.type) && photo.file.size <= MAX_UPLOAD && photo.whole;
    const file = asItIs ? photo.file : await photo.jpeg();
    const answer = await (await post(`api/encode?${query}`, file, file.type)).json();
    const [[a, , x0], [b, , y0]] = answer.matrix;
    return {
      ...answer,
      code: fromBase64(answer.code, this.bundle.length),
      matrix: [a, b, x0, y0],
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
    return fine
      ? Float32Array.from(new Uint16Array(bytes), (value) => value / 256)
      : new Uint8ClampedArray(bytes);
  }

  close() {}
}
