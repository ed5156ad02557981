/**
 * The photograph that is being edited, kept by this browser and nowhere else, so that it outlives a reload.
 * Where the browser keeps nothing, it does not.
 */

const NAME = "facemorph";
const STORE = "photograph";
const KEY = "last";

/** Promise of what `act` asks of the store; mode: of a transaction. */
function within(mode, act) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(NAME, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const transaction = opening.result.transaction(STORE, mode);
      const request = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
      opening.result.onversionchange = () => opening.result.close();
    };
  });
}

/** Keep a photograph in place of the last: {file, choice: which face, as backends take it}. */
export const keep = (photograph) =>
  within("readwrite", (store) => store.put(photograph, KEY)).catch(() => null);

/** Promise of the photograph that was kept; undefined or null without one. */
export const kept = () => within("readonly", (store) => store.get(KEY)).catch(() => null);

export const forget = () => within("readwrite", (store) => store.clear()).catch(() => null);
