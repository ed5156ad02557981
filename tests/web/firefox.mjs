// Firefox by WebDriver BiDi, which it speaks itself: a newcomer's way through the page, its results as JSON.
//
//     node firefox.mjs ws://127.0.0.1:PORT URL PHOTOGRAPH

const [address, url, photograph] = process.argv.slice(2);
const socket = new WebSocket(`${address}/session`);
const waiting = new Map();
const complaints = [];
let next = 0;

function ask(method, params) {
  const id = ++next;
  socket.send(JSON.stringify({ id, method, params }));
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

socket.onmessage = ({ data }) => {
  const { id, type, result, message, method, params } = JSON.parse(data);
  if (id) {
    const { resolve, reject } = waiting.get(id);
    if (type === "error") reject(new Error(message));
    else resolve(result);
  } else if (method === "log.entryAdded" && params.level === "error") complaints.push(params.text);
  else if (method === "network.beforeRequestSent") {
    const asked = params.request.url;
    if (!asked.startsWith(url) && !/^(data|blob):/.test(asked)) complaints.push(`request to ${asked}`);
  }
};
await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }));

await ask("session.new", { capabilities: {} });
const { contexts } = await ask("browsingContext.getTree", {});
const { context } = contexts[0];
await ask("session.subscribe", { events: ["log.entryAdded", "network.beforeRequestSent"], contexts: [context] });

async function evaluate(expression) {
  const found = await ask("script.evaluate", {
    expression: `(async () => JSON.stringify(await (${expression})))()`,
    target: { context },
    awaitPromise: true,
  });
  if (found.type === "exception") throw new Error(found.exceptionDetails.text);
  return found.result.value === undefined ? undefined : JSON.parse(found.result.value);
}

async function until(expression) {
  const giveUp = Date.now() + 60000;
  while (!(await evaluate(expression))) {
    if (Date.now() > giveUp) throw new Error(`never true: ${expression}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const shown = "JSON.parse(document.getElementById('frame').dataset.shown ?? 'null')";
const pixels = "[...document.getElementById('after').getContext('2d').getImageData(96, 96, 64, 64).data]";
const toTheEnd = (name) => `(() => {
  const input = document.getElementById("slider-${name}");
  input.value = input.max;
  for (const kind of ["input", "change"]) input.dispatchEvent(new Event(kind, { bubbles: true }));
})()`;

await ask("browsingContext.navigate", { context, url: `${url}#seed=7`, wait: "complete" });
await until(`${shown} !== null`);
const face = await evaluate(pixels);
await evaluate(toTheEnd("Wearing_Hat"));
await until(`${shown}[2].Wearing_Hat > 0`);
const strength = await evaluate(`${shown}[2].Wearing_Hat`);
const edited = await evaluate(pixels);

const { nodes } = await ask("browsingContext.locateNodes", {
  context,
  locator: { type: "css", value: "#file" },
});
await ask("input.setFiles", { context, element: { sharedId: nodes[0].sharedId }, files: [photograph] });
await until(`${shown}[0].kind === "photo"`);
await evaluate(toTheEnd("Wearing_Hat"));
await until(`${shown}[2].Wearing_Hat > 0`);

// What would be downloaded is kept here instead
await evaluate(`(() => {
  globalThis.files = [];
  let blob = null;
  const make = URL.createObjectURL;
  URL.createObjectURL = (made) => {
    blob = made;
    return make.call(URL, made);
  };
  HTMLAnchorElement.prototype.click = function () {
    files.push([this.download, blob.size]);
  };
})()`);
const saved = {};
for (const kind of ["png", "jpeg", "gif", "video"]) {
  await evaluate("document.getElementById('save').click()");
  await evaluate(`document.getElementById("save-${kind}").click()`);
  await until(`files.length === ${Object.keys(saved).length + 1}`);
  saved[kind] = await evaluate("files.at(-1)");
  await until("!document.getElementById('saver').open");
}
process.stdout.write(JSON.stringify({ face, strength, edited, saved, complaints }));
socket.close();
