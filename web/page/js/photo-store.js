/**
 * The photograph that is being edited, kept by this browser and nowhere else, so that it outlives a
 * reload: one for each tab. What a tab that was closed has left goes at the first visit a day later.
 * Where the browser keeps nothing, no photograph is kept.
 */

const NAME = "facemorph";
const STORE = "photograph";
const TAB = "tab"; // in the tab's own storage: under which key its photograph is kept
const DAY = 24 * 3600 * 1000; // milliseconds that a photograph is kept at most

/** The key of this tab; a reload keeps it. */
function tab() {
  const own = sessionStorage.getItem(TAB) ?? Array.from(crypto.getRandomValues(new Uint32Array(4))).join("-");
  sessionStorage.setItem(TAB, own);
  return own;
}

/** Promise of what `act` (store, key of this tab) asks of the store; mode: of a transaction. */
function within(mode, act) {
  return new Promise((resolve, reject) => {
    const key = tab();
    const opening = indexedDB.open(NAME, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const transaction = opening.result.transaction(STORE, mode);
      const request = act(transaction.objectStore(STORE), key);
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
      opening.result.onversionchange = () => opening.result.close();
    };
  });
}

/** Keep a photograph in place of this tab's last: {file, choice: which face, as backends take it}. */
export const keep = (photograph) =>
  within("readwrite", (store, key) => store.put({ ...photograph, at: Date.now() }, key)).catch(() => null);

/** Promise of the photograph that was kept for this tab; undefined or null without one. */
export const kept = () => within("readonly", (store, key) => store.get(key)).catch(() => null);

/** Forget this tab's photograph, and those of other tabs that are too old. */
export const forget = () =>
  within("readwrite", (store, key) => {
    const walk = store.openCursor();
    walk.onsuccess = () => {
      const { result } = walk;
      if (!result) return;
      if (result.key === key || !(Date.now() - result.value.at < DAY)) result.delete();
      result.continue();
    };
    return walk;
  }).catch(() => null);
