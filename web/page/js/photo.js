/** A person's picture: read by the browser, upright, flattened on white, at most so large. */

const MAX_PIXELS = 24e6; // a larger photograph is reduced to this, to stay within what phones can hold
const MIN_SIDE = 16;

const SENT = 2048; // longest side of what is sent to a server, where the face is found and cut out

/** A picture file, with its pixels while they are needed. whole: whether it is held at its full size. */
export class Photo {
  constructor(file, picture, whole) {
    Object.assign(this, { file, picture, whole, width: picture.width, height: picture.height });
  }

  /** Throws, with a sentence for a person, where the browser cannot read the file as a picture. */
  static async read(file) {
    const { picture, whole } = await pixelsOfFile(file);
    return new Photo(file, picture, whole);
  }

  /** Promise of the picture (RGBA), read again where its pixels were let go. */
  async load() {
    this.picture ??= (await pixelsOfFile(this.file)).picture;
    return this.picture;
  }

  /** Let the pixels go. */
  release() {
    this.picture = null;
  }

  /** Promise of {file: a JPEG to send, scale: its pixels per pixel of the photograph}. */
  async toSend() {
    const picture = await this.load();
    const scale = Math.min(1, SENT / Math.max(picture.width, picture.height));
    const canvas = new OffscreenCanvas(Math.round(picture.width * scale), Math.round(picture.height * scale));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(canvasOf(picture), 0, 0, canvas.width, canvas.height);
    const file = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
    return { file, scale: canvas.width / picture.width };
  }
}

async function pixelsOfFile(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    const name = file.name || "This";
    throw new Error(`${name} is not a picture that this browser can read. Try a JPEG, PNG or WebP file.`);
  }
  const { width, height } = bitmap;
  if (Math.min(width, height) < MIN_SIDE) {
    throw new Error(`The picture is ${width} x ${height} pixels: too small to hold a face.`);
  }
  const shrink = Math.min(1, Math.sqrt(MAX_PIXELS / (width * height)));
  const picture = flatten(bitmap, Math.round(width * shrink), Math.round(height * shrink));
  bitmap.close();
  return { picture, whole: shrink === 1 };
}

function flatten(bitmap, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return { data: context.getImageData(0, 0, width, height).data, width, height, channels: 4 };
}

/** The pixels of a data: URL of a picture. */
export async function pixelsOf(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return flatten(image, image.naturalWidth, image.naturalHeight);
}

const ROUGH = 6; // dB

/**
 * Whether the model draws a face back much worse than it does test faces, whose mean is `known` dB: crop
 * (picture), drawn (S * S * 3 numbers). By 6 dB, four times the squared error; false where `known` was not
 * measured.
 */
export function unlike({ data, channels }, drawn, known) {
  let sum = 0;
  for (let i = 0; i < drawn.length; i++)
    sum += (data[Math.floor(i / 3) * channels + (i % 3)] - drawn[i]) ** 2;
  return 10 * Math.log10((255 ** 2 * drawn.length) / sum) < known - ROUGH;
}

/** RGBA bytes of an RGB or RGBA picture. */
export function rgba({ data, width, height, channels }) {
  if (channels === 4)
    return new ImageData(new Uint8ClampedArray(data.buffer, data.byteOffset, data.length), width, height);
  const out = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) out.set([data[3 * i], data[3 * i + 1], data[3 * i + 2]], 4 * i);
  return new ImageData(out, width, height);
}

export function canvasOf(picture) {
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  canvas.getContext("2d").putImageData(rgba(picture), 0, 0);
  return canvas;
}
