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
    codes = []
    apart = 0.0
    with site(chosen.export) as (browser, url):
        page = browser.new_page()
        page.goto(url)

        def asked(some: list[dict]) -> dict:
            return page.evaluate(EDITED, {"faces": [face.tolist() for face in faces], "states": some})

        for begin in range(0, len(states), AT_ONCE):
            some = states[begin : begin + AT_ONCE]
            found = asked(some)
            for state, code, picture in zip(some, found["codes"], found["pictures"], strict=True):
                ours = export.edit(faces[state["face"]], state["strengths"], state["locked"], [])
                codes.append((ours, np.array(code)))
                drawn = export.decode(ours[None])[0].ravel()
                apart = max(apart, np.abs(drawn - np.array(picture)).max() / 255)
        same = all(
            np.array_equal(np.float32(code), faces[state["face"]])
            for begin in range(0, len(still), AT_ONCE)
            for state, code in zip(
                still[begin : begin + AT_ONCE], asked(still[begin : begin + AT_ONCE])["codes"], strict=True
            )
        )
    ours, theirs = (np.array(some) for some in zip(*codes, strict=True))
    worst = np.abs(ours - theirs).max() / np.sqrt(np.square(ours).mean())
    print(f"{len(states)} states of {len(export.names)} sliders on {len(faces)} faces")
    print(f"codes: {worst:.1e} of their root mean square at most")
    print(f"pictures: {apart:.1e} of the range at most")
    print(f"sliders at zero: {'every code to the last bit' if same else 'CODES CHANGE'}")


if __name__ == "__main__":
    main()
