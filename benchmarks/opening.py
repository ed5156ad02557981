"""How soon the website can be used, and whether its memory stays: headless Chromium on a slow line and a slow
processor, over HTTP and with the model in the browser.

    python -m benchmarks.opening data/export --edits 2000

A line is 9 Mbit/s with 60 ms there and back (4G), a slow processor a quarter as fast; both are Chromium's own
emulation. Times count from the click that opens the page: its first paint, the first picture of a face, and
the first slider that moves. Memory is the page's heap after garbage collection.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser

from benchmarks.drag import DRAG
from benchmarks.website import site

MEGABIT = 1e6 / 8
LINES = {"no limit": (-1, 0, 1), "4G": (9 * MEGABIT, 60, 1), "4G, slow processor": (9 * MEGABIT, 60, 4)}
OPENED = """() => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    const all = [...performance.getEntriesByType("resource"), ...performance.getEntriesByType("navigation")];
    const first = all.find(({ name }) => name.endsWith("first.png"));
    return [paint.startTime, first.responseEnd, all.reduce((sum, { transferSize }) => sum + transferSize, 0)];
}"""


@dataclass(frozen=True)
class Opening:
    """Milliseconds to first paint, first picture and first slider; bytes that came for the page itself."""

    paint: float
    picture: float
    slider: float
    bytes: int


def opened(browser: Browser, url: str, line: str, local: bool) -> Opening:
    speed, delay, slower = LINES[line]
    context = browser.new_context(reduced_motion="reduce", service_workers="block")
    page = context.new_page()
    tools = context.new_cdp_session(page)
    if local:
        page.add_init_script("localStorage.setItem('place', 'local')")
    tools.send("Network.enable")
    conditions = {"offline": False, "latency": delay, "downloadThroughput": speed, "uploadThroughput": speed}
    tools.send("Network.emulateNetworkConditions", conditions)
    tools.send("Emulation.setCPUThrottlingRate", {"rate": slower})
    page.goto(url, wait_until="commit")
    page.locator("#frame[data-shown]").wait_for(timeout=300000)
    slider = page.evaluate("performance.now()")
    paint, picture, size = page.evaluate(OPENED)
    context.close()
    return Opening(paint, picture, slider, int(size))


def heaps(browser: Browser, url: str, edits: int, local: bool) -> list[float]:
    """MiB of heap after a quarter of the edits, and after all."""
    context = browser.new_context(reduced_motion="reduce", service_workers="block")
    page = context.new_page()
    tools = context.new_cdp_session(page)
    if local:
        page.add_init_script("localStorage.setItem('place', 'local')")
    page.goto(url)
    page.locator("#frame[data-shown]").wait_for(timeout=60000)
    sizes = []
    for count in (edits // 4, edits - edits // 4):
        page.evaluate(DRAG, count)
        tools.send("HeapProfiler.collectGarbage")
        sizes.append(tools.send("Runtime.getHeapUsage")["usedSize"] / 2**20)
    context.close()
    return sizes


def main() -> None:
    parser = argparse.ArgumentParser(description="How soon the website can be used.")
    parser.add_argument("export", type=Path)
    parser.add_argument("--edits", type=int, default=2000)
    chosen = parser.parse_args()
    with site(chosen.export) as (browser, url):
        for name, local in (("http", False), ("in the browser", True)):
            for line in LINES:
                found = opened(browser, url, line, local)
                print(
                    f"{name:15} {line:19} paint {found.paint:6.0f}  picture {found.picture:6.0f}  "
                    f"slider {found.slider:6.0f} ms  {found.bytes / 1e3:6.0f} kB of the page",
                    flush=True,
                )
            if chosen.edits:
                early, late = heaps(browser, url, chosen.edits, local)
                print(
                    f"{name:15} heap {early:.1f} MiB after {chosen.edits // 4} edits, "
                    f"{late:.1f} after {chosen.edits}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
