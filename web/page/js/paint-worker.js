/** Pictures, off the page's thread: paint.js for painter.js. The photograph of the last change is held. */

import { enlarged, holds, withChange } from "./paint.js";

const NONE = { part: null, other: null };
let held = NONE;

const tasks = {
  enlarged: ({ pixels, size, times, drawing }) => enlarged(pixels, size, times, drawing),

  /** part, other: absent where they are those of the time before. */
  changed({ part = held.part, other = held.other, changed, size }) {
    held = holds(part) ? { part, other } : NONE;
    return withChange(part, changed, other, size);
  },
};

self.onmessage = ({ data: { id, task, request } }) => {
  try {
    const picture = tasks[task](request);
    postMessage({ id, picture }, [picture.data.buffer]);
  } catch (error) {
    postMessage({ id, error: error.message });
  }
};
