"""How soon a moved slider is seen: headless Chromium drags one, over HTTP on loopback and with the model in
the browser.

    python -m benchmarks.drag data/export --moves 200

A move is timed from the slider's input event to the picture on the canvas as a person sees it: drawn faces
with sharp edges, unless moves take so long that the page leaves those until the slider rests. Moves follow
each other as soon as the one before is shown. The first 20 warm up. What the sharp edges take is said as a
ratio to the same moves without them, half of which come before and half after. Before all that, moves of the
code alone, natively on one thread and in the browser.
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
# The page then asks for pictures enlarged by Lanczos alone
WITHOUT_EDGES = """
    const post = Worker.prototype.postMessage;
    Worker.prototype.postMessage = function (message, ...rest) {
        if (message?.request?.drawing) message.request.drawing = false;
        return post.call(this, message, ...rest);
    };
"""

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


def drag(browser: Browser, url: str, moves: int, local: bool, plain: bool = False) -> np.ndarray:
    """Milliseconds of each move; plain: without sharp edges."""
    page = browser.new_page()
    if plain:
        page.add_init_script(WITHOUT_EDGES)
    page.goto(url)
    if local:
        page.evaluate("localStorage.setItem('place', 'local')")
        page.reload()
    page.locator("#frame[data-shown]").wait_for(timeout=60000)
    page.wait_for_timeout(1000)
    times = np.array(page.evaluate(DRAG, moves + WARM))[WARM:]
    page.close()
    return times


def said(name: str, times: np.ndarray, goal: float) -> None:
    low, middle, high = np.percentile(times, [5, 50, 95])
    print(
        f"{name:15} p5 {low:5.1f}  p50 {middle:5.1f}  p95 {high:5.1f} ms, {1e3 / times.mean():.0f} a second, "
        f"over {len(times)} moves (goal: p95 <= {goal} ms)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="How soon a moved slider is seen.")
    parser.add_argument("export", type=Path)
    parser.add_argument("--moves", type=int, default=200)
    chosen = parser.parse_args()
    with site(chosen.export) as (browser, url):
        said("code, native", native(chosen.export, chosen.moves), 10)
        said("code, browser", in_browser(browser, url, chosen.moves), 25)
        for name, local, goal in (("http", False, 60), ("in the browser", True, 120)):
            early = drag(browser, url, chosen.moves // 2, local, plain=True)
            times = drag(browser, url, chosen.moves, local)
            late = drag(browser, url, chosen.moves - chosen.moves // 2, local, plain=True)
            said(name, times, goal)
            sharp, plain = (np.percentile(some, [50, 95]) for some in (times, np.concatenate([early, late])))
            ratios = sharp / plain
            print(
                f"{name:15} to the same without sharp edges: p50 x {ratios[0]:.2f}, p95 x {ratios[1]:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
