/**
 * A range input that a pointer moves by its track: sideways it drags, and a touch that goes up or down
 * scrolls the page and moves nothing. The input itself takes no pointer (style.css), only keys and what
 * assistive programs do.
 */

const THUMB = 18; // pixels across, as in style.css
const SIDEWAYS = 6; // pixels that a touch goes sideways before it drags
const NOTCH = 0.02; // share of the half range within which a dragged thumb falls to zero
const COARSE = 10; // steps of an arrow key with Shift

/** The value of `input` nearest to `value` that it can have. */
export function onStep(input, value) {
  const [low, high, step] = [Number(input.min), Number(input.max), Number(input.step)];
  const inside = Math.min(high, Math.max(low, value));
  return Number((Math.round(inside / step) * step).toFixed(2));
}

function put(input, value, kind) {
  input.value = String(value);
  input.dispatchEvent(new Event(kind, { bubbles: true }));
}

/** Let `track` move `input`, which sends `input` and `change` events as if it had been moved itself. */
export function draggable(track, input) {
  // {x, value, offset: of the pointer from the thumb's middle, moving} while a pointer is down
  let held = null;
  const share = () => (Number(input.value) - Number(input.min)) / (Number(input.max) - Number(input.min));
  const middle = () => {
    const box = track.getBoundingClientRect();
    return box.left + THUMB / 2 + share() * (box.width - THUMB);
  };
  const valueAt = (x) => {
    const box = track.getBoundingClientRect();
    const [low, high] = [Number(input.min), Number(input.max)];
    const value = low + ((x - box.left - THUMB / 2) / (box.width - THUMB)) * (high - low);
    return low < 0 && Math.abs(value) < (NOTCH * (high - low)) / 2 ? 0 : onStep(input, value);
  };
  const follow = (event) => put(input, valueAt(event.clientX - held.offset), "input");
  const grab = (event) => {
    held.moving = true;
    track.setPointerCapture(event.pointerId);
  };
  track.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays on the input
  track.addEventListener("pointerdown", (event) => {
    if (input.disabled || event.button !== 0 || held) return;
    const offset = event.clientX - middle();
    const onThumb = Math.abs(offset) <= THUMB / 2 + 2;
    held = { x: event.clientX, value: input.value, offset: onThumb ? offset : 0, moving: false };
    if (event.pointerType === "touch") return;
    input.focus({ preventScroll: true });
    grab(event);
    if (!onThumb) follow(event);
  });
  track.addEventListener("pointermove", (event) => {
    if (!held) return;
    if (!held.moving && Math.abs(event.clientX - held.x) >= SIDEWAYS) grab(event);
    if (held.moving) follow(event);
  });
  track.addEventListener("pointerup", (event) => {
    if (!held) return;
    if (!held.moving) follow(event); // a tap
    held = null;
    put(input, input.value, "change");
  });
  track.addEventListener("pointercancel", () => {
    if (!held) return;
    const { moving, value } = held;
    held = null;
    if (!moving) return; // the page scrolls
    put(input, value, "input");
    put(input, value, "change");
  });
  input.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!way || !event.shiftKey) return;
    event.preventDefault();
    put(input, onStep(input, Number(input.value) + way * COARSE * Number(input.step)), "input");
    put(input, input.value, "change");
  });
}
