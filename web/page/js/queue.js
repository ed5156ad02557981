/**
 * Latest wins: one request under way, the newest waiting, everything between them dropped; and their
 * pace.
 */

const LONGEST = 50; // milliseconds from a moved slider to its picture, that a drag may take
const LATE = 3; // pictures of a drag that took longer, from which on it hurries

/**
 * work: (item) -> Promise of a result; show: (result, item); fail: (error, item). Every finished result is
 * shown, even where a newer request waits, so that a drag shows each frame there was time for; `cancel` drops
 * both.
 */
export function latestWins(work, show, fail) {
  let busy = false;
  let generation = 0;
  let waiting = null;
  async function run(item) {
    busy = true;
    const mine = generation;
    try {
      const result = await work(item);
      if (mine === generation) show(result, item);
    } catch (error) {
      if (mine === generation) fail(error, item);
    }
    busy = false;
    if (waiting) {
      const { next } = waiting;
      waiting = null;
      run(next);
    }
  }
  return {
    request(item) {
      if (busy) waiting = { next: item };
      else run(item);
    },
    cancel() {
      generation += 1;
      waiting = null;
    },
  };
}

/** Whether the pictures of a drag come so late that they had better be plainer, until it ends. */
export class Pace {
  #late = 0;

  /** A picture of a drag took so many milliseconds. */
  took(milliseconds) {
    if (milliseconds > LONGEST) this.#late += 1;
  }

  get hurries() {
    return this.#late >= LATE;
  }

  end() {
    this.#late = 0;
  }
}
