/**
 * The page without a network: what keeper.js asked to keep answers where the network does not. A cache holds
 * one export and the page that goes with it, whole; a newer one takes its place.
 */

const PREFIX = "facemorph ";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

/** Keep the files of one version, all or none, and let go of other versions. */
async function keep({ version, files }) {
  const answers = await Promise.all(files.map((file) => fetch(file, { cache: "no-cache" })));
  const missing = answers.find((answer) => !answer.ok);
  if (missing) throw new Error(`${missing.url}: ${missing.status}`);
  const cache = await caches.open(PREFIX + version);
  await Promise.all(answers.map((answer, i) => cache.put(files[i], answer)));
  const others = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== PREFIX + version);
  await Promise.all(others.map((name) => caches.delete(name)));
}

self.addEventListener("message", (event) => {
  const done = keep(event.data).then(
    () => event.ports[0].postMessage(true),
    () => event.ports[0].postMessage(false),
  );
  event.waitUntil(done);
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).pathname.includes("/api/")) return;
  event.respondWith(
    fetch(request).catch(async (error) => {
      const kept = await caches.match(request, { ignoreSearch: true, ignoreVary: true });
      if (!kept) throw error;
      return kept;
    }),
  );
});
