/** The start: which backend runs the page, and what is said until it does. */

import { App } from "./app.js";
import { HttpBackend } from "./backend-http.js";
import { LocalBackend } from "./backend-local.js";
import { $, fail, say, stored } from "./dom.js";

/** The server's health; null where there is none, as behind a plain file server. */
async function serverHealth() {
  if (document.documentElement.dataset.backend === "local") return null;
  try {
    const health = await (await fetch("api/health")).json();
    return health.status === "ok" ? health : null;
  } catch {
    return null;
  }
}

/** How fresh the served model is, for the footer: nothing where nobody keeps it fresh. */
async function freshness() {
  try {
    const status = await (await fetch("api/status")).json();
    if (!status.version) return "";
    const day = (time) => new Date(time).toLocaleDateString(undefined, { dateStyle: "medium" });
    const checked = status.checked ? `, last checked ${day(status.checked)}` : "";
    const end = status.late ? ": the next check is overdue." : ".";
    return ` Version ${status.version}, since ${day(status.since)}${checked}${end}`;
  } catch {
    return "";
  }
}

const openBackend = (name) =>
  name === "http"
    ? HttpBackend.open()
    : LocalBackend.open((share) => {
        $("veil-progress").value = share;
      });

function showPlace(name, both) {
  $("place").hidden = !both;
  $("place").toggleAttribute("data-alone", name === "http" && !both); // no model runs in this browser
  $("frame").dataset.place = name;
  $("place-local").checked = name === "local";
  $("privacy").textContent =
    name === "local"
      ? "Your photograph never leaves this computer."
      : "Photographs are sent to this server, and not stored.";
}

/** Move the model between the server and this computer. */
async function moveTo(name, app) {
  $("place-local").disabled = true;
  say(name === "local" ? "Loading the model into this browser." : "Connecting to the server.");
  try {
    app.use(await openBackend(name));
    stored.set("place", name);
    showPlace(name, true);
    say(name === "local" ? "The model runs on this computer now." : "The model runs on the server now.");
  } catch (error) {
    showPlace(app.session.backend.name, true);
    fail(error);
  }
  $("place-local").disabled = false;
}

function switchTheme() {
  const { dataset } = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  dataset.theme = (dataset.theme ?? system) === "dark" ? "light" : "dark";
  stored.set("theme", dataset.theme);
}

/** The page cannot start: say why, and offer to try again, or at the other place where there is one. */
function stuck(error, name, both) {
  const other = name === "local" ? "http" : "local";
  $("frame").dataset.failed = "true";
  $("veil-text").textContent = error.message;
  $("veil-progress").hidden = true;
  $("veil-retry").hidden = false;
  $("veil-retry").onclick = () => location.reload();
  $("veil-other").hidden = !both;
  $("veil-other").textContent = other === "local" ? "Run it in this browser" : "Run it on the server";
  $("veil-other").onclick = () => {
    stored.set("place", other);
    location.reload();
  };
  say(error.message);
}

async function boot() {
  const health = await serverHealth();
  const both = health?.local === true;
  const name = !health || (both && stored.get("place") === "local") ? "local" : "http";
  showPlace(name, both);
  $("veil-text").textContent = name === "local" ? "Loading the model into this browser" : "Loading the model";
  try {
    const app = new App(await openBackend(name));
    app.start();
    const { model } = app.session.bundle.notes;
    $("foot").textContent = `${model} Faces it draws are not photographs of anyone.`;
    $("place-local").addEventListener("change", () =>
      moveTo($("place-local").checked ? "local" : "http", app),
    );
    if (health) $("foot").append(await freshness());
  } catch (error) {
    stuck(error, name, both);
  }
}

$("theme").addEventListener("click", switchTheme);
boot();
