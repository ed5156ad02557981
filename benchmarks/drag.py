"""How soon a moved slider is seen: headless Chromium drags one, over HTTP on loopback and with the model in
the browser.

    python -m benchmarks.drag data/export --moves 200

A move is timed from the slider's input event to the picture on the canvas; moves follow each other as soon as
the one before is shown. The first 20 warm up. Before that, moves of the code alone, natively on one thread
and in the browser.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser

from benchmarks.website import site
from facemorph.export import Export

WARM = 20
DRAG = """async (moves) => {
    const frame = document.getElementById("frame");
    const input = document.querySelector("#sliders input[type=range]");
    const times = [];
    for (let i = 0; i < moves; i++) {
        const shown = new Promise((resolve) => {
            const watch = new MutationObserver(() => { watch.disconnect(); resolve(); });
            watch.observe(frame, { attributeFilter: ["data-shown"] });
        });
        const [low, high] = [Number(input.min), Number(input.max)];
        input.value = String((low + high) / 2 + ((high - low) / 2) * Math.sin(i + 1));
        const from = performance.now();
        input.dispatchEvent(new Event("input"));
        await shown;
        times.push(performance.now() - from);
    }
    return times;
}"""


STEPS = """async (moves) => {
    const { LocalBackend } = await import("/js/backend-local.js");
    const backend = await LocalBackend.open(() => {});
    const { bundle } = backend;
    const code = bundle.sample(1);
    const times = [];
    for (let i = 0; i < moves; i++) {
        const strengths = { [bundle.attributes[0].name]: 2 * Math.sin(i + 1) };
        const from = performance.now();
        await backend.edited({ code, strengths, locked: [], custom: [] });
        times.push(performance.now() - from);
    }
    backend.close();
    return times;
}"""


def native(folder: Path, moves: int) -> np.ndarray:
    """Milliseconds of each move of a code."""
    export = Export(folder)
    code = export.sample(1)
    times = []
    for number in range(moves + WARM):
        start = time.perf_counter()
        export.edit(code, {export.names[0]: 2 * np.sin(number + 1)})
        times.append(1e3 * (time.perf_counter() - start))
    return np.array(times[WARM:])


def in_browser(browser: Browser, url: str, moves: int) -> np.ndarray:
    """The same, in the page."""
    page = browser.new_page()
    page.goto(url)
    times = np.array(page.evaluate(STEPS, moves + WARM))[WARM:]
    page.close()
    return times


def drag(browser: Browser, url: str, moves: int, local: bool) -> np.ndarray:
    """Milliseconds of each move."""
    page = browser.new_page()
    page.goto(url)
    if local:
        page.evaluate("localStorage.setItem('place', 'local')")
        page.reload()
    page.locator("#frame[data-shown]").wait_for(timeout=60000)
    page.wait_for_timeout(1000)
    times = np.array(page.evaluate(DRAG, moves + WARM))[WARM:]
    page.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description="How soon a moved slider is seen.")
    parser.add_argument("export", type=Path)
    parser.add_argument("--moves", type=int, default=200)
    chosen = parser.parse_args()
    with site(chosen.export) as (browser, url):
        for name, measure, goal in (
            ("code, native", lambda: native(chosen.export, chosen.moves), 10),
            ("code, browser", lambda: in_browser(browser, url, chosen.moves), 25),
            ("http", lambda: drag(browser, url, chosen.moves, False), 60),
            ("in the browser", lambda: drag(browser, url, chosen.moves, True), 120),
        ):
            times = measure()
            low, middle, high = np.percentile(times, [5, 50, 95])
            print(
                f"{name:15} p5 {low:5.1f}  p50 {middle:5.1f}  p95 {high:5.1f} ms over {len(times)} moves "
                f"(goal: p95 <= {goal} ms)",
                flush=True,
            )


if __name__ == "__main__":
    main()
