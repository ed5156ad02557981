/**
 * What follows the YuNet network: anchor-free boxes at three strides, then non-maximum suppression.
 *
 * The network (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023; the 2023mar ONNX file) takes
 * one 640 x 640 picture, BGR, 0..255. The arithmetic is that of OpenCV 4's FaceDetectorYN
 * (modules/objdetect/src/face_detect.cpp), on which the server's detector stands.
 */

export const INPUT = 640;
const STRIDES = [8, 16, 32];
const clamp01 = (value) => Math.min(1, Math.max(0, value));

/**
 * outputs: {cls_8, obj_8, bbox_8, kps_8, ..., kps_32}, flat Float32Arrays. Returns faces above `threshold`,
 * unsuppressed, in pixels of the input: {box: [left, top, width, height], points: [[x, y] x 5] (image-left
 * eye, image-right eye, nose, mouth's left and right corner), score}.
 */
export function decode(outputs, threshold, side = INPUT) {
  const faces = [];
  for (const stride of STRIDES) {
    const columns = side / stride;
    const [cls, obj, bbox, kps] = ["cls", "obj", "bbox", "kps"].map((name) => outputs[`${name}_${stride}`]);
    for (let cell = 0; cell < columns * columns; cell++) {
      const score = Math.sqrt(clamp01(cls[cell]) * clamp01(obj[cell]));
      if (score < threshold) continue;
      const column = cell % columns;
      const row = (cell - column) / columns;
      const x = (column + bbox[4 * cell]) * stride;
      const y = (row + bbox[4 * cell + 1]) * stride;
      const width = Math.exp(bbox[4 * cell + 2]) * stride;
      const height = Math.exp(bbox[4 * cell + 3]) * stride;
      const points = [0, 1, 2, 3, 4].map((i) => [
        (kps[10 * cell + 2 * i] + column) * stride,
        (kps[10 * cell + 2 * i + 1] + row) * stride,
      ]);
      faces.push({ box: [x - width / 2, y - height / 2, width, height], points, score });
    }
  }
  return faces;
}

/** Intersection over union of two boxes rounded down to whole pixels, as OpenCV's Rect2i. */
function overlap(a, b) {
  const [ax, ay, aw, ah] = a.map(Math.trunc);
  const [bx, by, bw, bh] = b.map(Math.trunc);
  const width = Math.min(ax + aw, bx + bw) - Math.max(ax, bx);
  const height = Math.min(ay + ah, by + bh) - Math.max(ay, by);
  if (width <= 0 || height <= 0) return 0;
  return (width * height) / (aw * ah + bw * bh - width * height);
}

/** Faces by falling score, each kept only where it overlaps no better one by more than `limit`. */
export function suppress(faces, limit) {
  const kept = [];
  for (const face of [...faces].sort((a, b) => b.score - a.score)) {
    if (kept.every((better) => overlap(better.box, face.box) <= limit)) kept.push(face);
  }
  return kept;
}
