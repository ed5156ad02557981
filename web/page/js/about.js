/** The panel that says what model this is. */

import { GUESSED } from "./align-dialog.js";
import { qualityOf } from "./bundle.js";
import { element } from "./dom.js";

const number = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const counted = (value) => value.toLocaleString(document.documentElement.lang);
const QUALITY = {
  psnr: ["PSNR", "dB", 1],
  ssim: ["SSIM", "", 3],
  ms_ssim: ["MS-SSIM", "", 3],
  lpips: ["LPIPS", "", 3],
  mse: ["Squared error", "", 4],
};

function facts(pairs) {
  const list = element("dl", { className: "facts" });
  for (const [name, value] of pairs)
    if (value) list.append(element("dt", { textContent: name }), element("dd", { textContent: value }));
  return list;
}

function section(title, ...children) {
  return element("section", {}, element("h3", { textContent: title }), ...children);
}

/** What the model is and is not, in five sentences. */
function inShort({ model, data, attributes }, backend) {
  const count = (word) => attributes.filter((one) => qualityOf(one.auroc_low) === word).length;
  const { size } = model;
  return [
    `This model learnt to draw faces of ${size} × ${size} pixels from ` +
      `${counted(data.faces.train)} of them.`,
    "A slider asks for the same face with one thing changed, " +
      "and what changes besides is said below the picture.",
    `Of its ${attributes.length} sliders the model knows ${count("clear")} well (clear), ` +
      `${count("fair")} fairly well (fair) and ${count("faint")} hardly (faint).`,
    "A label is what a person or a program called a picture, never what somebody is, " +
      "and a face unlike those it learnt from comes out rough.",
    backend === "local"
      ? "Photographs stay on this computer, since the model runs here."
      : "A photograph is sent to this server, which turns it into numbers and stores neither.",
  ].join(" ");
}

/** backend: "http" or "local". */
export function about(body, bundle, backend) {
  const { source } = bundle.prior;
  const fitted = {
    best: "the best of the fitted priors",
    flow: "the flow of codes, under labels that go together",
    train: "a Gaussian fitted to the training faces",
    model: "a Gaussian fitted to the model’s own prior",
  }[source];
  const { model, data, notes, quality, attributes, prior, geometry } = bundle;
  const faces = Object.entries(data.faces)
    .filter(([, count]) => count)
    .map(([split, count]) => `${counted(count)} ${split}`);
  const measured = Object.entries(quality)
    .filter(([, value]) => typeof value === "number")
    .map(([name, value]) => {
      const [label, unit, digits] = QUALITY[name] ?? [name, "", 3];
      return `${label} ${value.toFixed(digits)}${unit && ` ${unit}`}`;
    });
  const table = element(
    "table",
    {},
    element("caption", { className: "visually-hidden", textContent: "Measured quality of each attribute" }),
  );
  const head = element("tr");
  for (const title of ["Attribute", "AUROC", "95% interval", "Faces with / without", "Error removed"])
    head.append(element("th", { scope: "col", textContent: title }));
  table.append(element("thead", {}, head));
  const rows = attributes.map((a) => {
    const interval = a.auroc_low === null ? "–" : `${number(a.auroc_low)} to ${number(a.auroc_high)}`;
    const removed = a.error_reduction === null ? "–" : `${Math.round(100 * a.error_reduction)}%`;
    const cells = [number(a.auroc), interval, `${counted(a.positives)} / ${counted(a.negatives)}`, removed];
    const row = element("tr", {}, element("th", { scope: "row", textContent: a.label }));
    row.append(...cells.map((textContent) => element("td", { textContent })));
    return row;
  });
  table.append(element("tbody", {}, ...rows));
  const scroll = element("div", { className: "scroll", tabIndex: 0 }, table);
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", "Measured quality of each attribute");

  const figures = element("details", { className: "figures" });
  figures.append(
    element("summary", { textContent: "Figures, data and limits" }),
    section(
      "The model",
      element("p", { textContent: notes.model }),
      facts([
        ["System", model.name],
        ["Face", `${model.size} × ${model.size} pixels, a code of ${model.code_length} numbers`],
        ["Reconstruction", measured.length ? `${measured.join(", ")}, on test faces` : ""],
        [
          "Edits",
          bundle.editor.kind === "flow"
            ? "by a flow of codes: the same face with another label"
            : "along straight lines of the code space",
        ],
        ["Random faces", `drawn from ${fitted}, temperature ${prior.temperature}`],
        [
          "Runs",
          backend === "local"
            ? "in this browser; nothing is sent anywhere"
            : "on the server that this page came from",
        ],
        ["Decoder", `SHA-256 ${bundle.decoder.slice(0, 16)}`],
      ]),
    ),
    section(
      "What it was trained on",
      element("p", { textContent: notes.data }),
      facts([
        ["Source", data.source],
        ["Faces", faces.join(", ")],
        ["Licence", data.licence],
      ]),
    ),
    section(
      "Limits",
      element(
        "ul",
        {},
        ...[...notes.limits, ...(geometry.guessed ? [GUESSED] : [])].map((textContent) =>
          element("li", { textContent }),
        ),
      ),
      element("p", {
        textContent:
          "A slider follows what the data have in common, not what a person would be: " +
          "other things may change with it, and other sliders show by a ring how far.",
      }),
    ),
    section(
      "Measured quality",
      element("p", {
        className: "note",
        textContent:
          "AUROC: how well a direction of the codes tells held-out faces with the attribute from those " +
          "without; 0.5 is chance, 1 is always. Error removed: the share of the difference to the true " +
          "edited picture that the edits of these sliders take away, where the data know it.",
      }),
      scroll,
    ),
    section(
      "Photographs",
      element("p", {
        textContent:
          backend === "local"
            ? "Photographs stay on this computer: the model runs here."
            : "A photograph is sent to this server, turned into a code, and forgotten; " +
              "neither is stored or logged.",
      }),
      element("p", {
        textContent:
          "Use pictures of yourself, or of people who agreed. " +
          "Saved files say in their metadata that a model made or edited them.",
      }),
    ),
  );
  body.replaceChildren(element("p", { textContent: inShort(bundle, backend) }), figures);
}
