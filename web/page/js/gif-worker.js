/** GIFs, off the page's thread: {frames, width, height, delays, comment} in, the file's bytes out. */

import { encodeGif } from "./gif.js";

self.onmessage = ({ data: { frames, width, height, delays, comment } }) => {
  const bytes = encodeGif(frames, width, height, delays, comment);
  postMessage(bytes, [bytes.buffer]);
};
