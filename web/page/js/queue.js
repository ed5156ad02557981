/** Latest wins: one request under way, the newest waiting, everything between them dropped. */

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
