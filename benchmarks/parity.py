"""Do the page's local mode and Python edit alike? Random states of the sliders on faces of an export, in
headless Chromium and by `facemorph`, each with the networks of the export.

    python -m benchmarks.parity data/export --faces 50 --states 200

A state sets each slider with probability one half, to changes of the label between -1.5 and 1.5, and locks
each attribute with probability one fifth. Said are the largest difference of a number of the codes, in their
root mean square over all edited codes, and of a picture's value, in shares of the range; and whether sliders
at zero leave every code as it is, to the last bit.
"""

import argparse
from pathlib import Path

import numpy as np
from playwright.sync_api import Page

from benchmarks.website import site
from facemorph.export import Export

EDITED = """async ({ faces, states }) => {
    const { LocalBackend } = await import("/js/backend-local.js");
    const backend = await LocalBackend.open(() => {});
    const codes = [];
    const pictures = [];
    for (const { face, strengths, locked } of states) {
        const edit = { code: Float32Array.from(faces[face]), strengths, locked, custom: [] };
        codes.push(Array.from(await backend.edited(edit)));
        pictures.push(Array.from((await backend.render(edit, true)).pixels));
    }
    backend.close();
    return { codes, pictures };
}"""
AT_ONCE = 20  # states


def states_of(export: Export, faces: int, states: int) -> list[dict]:
    rng = np.random.default_rng(0)
    return [
        {
            "face": number % faces,
            "strengths": {name: rng.uniform(-1.5, 1.5) for name in export.names if rng.random() < 0.5},
            "locked": [name for name in export.names if rng.random() < 0.2],
        }
        for number in range(states)
    ]


def in_page(page: Page, faces: list[np.ndarray], states: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    """Codes (N, D) and pictures (N, P) of N states, by the page."""
    codes, pictures = [], []
    for begin in range(0, len(states), AT_ONCE):
        asked = {"faces": [face.tolist() for face in faces], "states": states[begin : begin + AT_ONCE]}
        found = page.evaluate(EDITED, asked)
        codes += found["codes"]
        pictures += found["pictures"]
    return np.array(codes, np.float32), np.array(pictures, np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description="Do the page's local mode and Python edit alike?")
    parser.add_argument("export", type=Path)
    parser.add_argument("--faces", type=int, default=50)
    parser.add_argument("--states", type=int, default=200)
    chosen = parser.parse_args()
    export = Export(chosen.export)
    faces = [export.sample(seed) for seed in range(chosen.faces)]
    states = states_of(export, chosen.faces, chosen.states)
    still = [{"face": face, "strengths": {}, "locked": []} for face in range(chosen.faces)]
    with site(chosen.export) as (browser, url):
        page = browser.new_page()
        page.goto(url)
        theirs, pictures = in_page(page, faces, states)
        at_zero, _ = in_page(page, faces, still)
    ours = np.stack(
        [export.edit(faces[state["face"]], state["strengths"], state["locked"], []) for state in states]
    )
    worst = np.abs(ours - theirs).max() / np.sqrt(np.square(ours).mean())
    apart = max(
        np.abs(export.decode(code[None]).ravel() - picture).max() / 255
        for code, picture in zip(ours, pictures, strict=True)
    )
    same = np.array_equal(at_zero, np.stack(faces))
    print(f"{len(states)} states of {len(export.names)} sliders on {len(faces)} faces")
    print(f"codes: {worst:.1e} of their root mean square at most")
    print(f"pictures: {apart:.1e} of the range at most")
    print(f"sliders at zero: {'every code to the last bit' if same else 'CODES CHANGE'}")


if __name__ == "__main__":
    main()
