// Where the page's program cannot start, a sentence in place of an endless "Loading". No module: those may
// not run.
(() => {
  const tell = (text) => {
    const part = (id) => document.getElementById(id);
    part("frame").dataset.failed = "true";
    part("veil-text").textContent = text;
    part("veil-progress").hidden = true;
    part("veil-retry").hidden = false;
    part("veil-retry").onclick = () => location.reload();
  };
  const opened =
    "This page was opened from the disk, where browsers run no such program. In its folder, run " +
    "“python -m http.server --bind 127.0.0.1”, then open http://127.0.0.1:8000/";
  addEventListener("DOMContentLoaded", () => {
    if (location.protocol === "file:") tell(opened);
  });
  addEventListener(
    "error",
    ({ target }) => {
      if (!(target instanceof HTMLScriptElement) || location.protocol === "file:") return;
      tell(
        "The page’s program could not be loaded: " +
          "its server refuses the files in js/, or sends them as text.",
      );
    },
    true,
  );
})();
