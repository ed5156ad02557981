/** Keeps the page and the model in the browser, so that it opens without a network: sw.js does it. */

const OF_THE_EXPORT = ["bundle.json", "quality.json", "first.png", "yunet.onnx"];
const BESIDES = ["./", "icon-192.png", "icon-512.png", "lang/de.json"];
// That the page does not load itself
const OF_WORKERS = ["worker.js", "gif-worker.js", "paint-worker.js", "yunet.js"];
const RUNTIME = ["ort.wasm.min.js", "ort-wasm-simd-threaded.js", "ort-wasm-simd-threaded.wasm"];

/** Promise of whether this page opens without a network from now on. bundle: of a model that runs here. */
export async function keepHere(bundle) {
  const { serviceWorker } = navigator;
  if (!serviceWorker) return false; // as where the page came without TLS
  try {
    await serviceWorker.register("sw.js");
    const { active } = await serviceWorker.ready;
    const linked = [...document.querySelectorAll("link[href], script[src]")];
    const files = [
      ...BESIDES,
      ...linked.map((element) => element.href || element.src),
      ...OF_WORKERS.map((name) => `js/${name}`),
      ...RUNTIME.map((name) => `ort/${name}`),
      ...[...OF_THE_EXPORT, ...Object.keys(bundle.files)].map((name) => `export/${name}`),
    ].map((path) => new URL(path, document.baseURI).href);
    const channel = new MessageChannel();
    const kept = new Promise((resolve) => {
      channel.port1.onmessage = ({ data }) => resolve(data);
    });
    active.postMessage({ version: bundle.mark, files: [...new Set(files)] }, [channel.port2]);
    return await kept;
  } catch {
    return false; // the browser does not allow it here
  }
}
