"""python -m ops.experiments.plots: let the pages of `dvc plots show` and `dvc plots diff` work without a
network.

DVC's own page loads its chart library, vega, from a public server. This writes
ops/experiments/vega/plots.html, a template of that page which holds the library itself, fetched once by npm
in the versions and with the checksums of ops/experiments/vega/package-lock.json, and names it in
.dvc/config.local, so that every later `dvc plots` of this checkout uses it.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from faces.core.files import new_file
from web import npm

ROOT = Path(__file__).parents[2]
VEGA = Path(__file__).parent / "vega"
PACKAGES = ("vega", "vega-lite", "vega-embed")  # each needs the ones before it
FILLED_BY_DVC = (
    "{plot_divs}",
    "{refresh_tag}",
    "{scripts}",
)  # dvc_render/html.py; without {scripts} nothing is loaded from elsewhere


def mark(folder: Path) -> str:
    """Mark in a template that identifies the versions of the files in `folder`."""
    sources = b"".join((folder / name).read_bytes() for name in ("template.html", npm.LOCK))
    return f"<!-- {hashlib.sha256(sources).hexdigest()} -->"


def fill(template: str, libraries: list[str]) -> str:
    """`template` with the scripts in place of {library}. Raises ValueError where a script holds what DVC
    would replace, or would end early.
    """
    for library in libraries:
        if found := next((text for text in (*FILLED_BY_DVC, "</script", "<!--") if text in library), None):
            raise ValueError(
                f"a chart library holds {found!r} and cannot stand inside the page; "
                "choose another version in ops/experiments/vega/package.json"
            )
    return template.replace("{library}", "\n".join(f"<script>{library}</script>" for library in libraries))


def write(folder: Path = VEGA) -> Path:
    """The template for `dvc plots`, rewritten where it is missing or outdated. Raises NoPackages."""
    out = folder / "plots.html"
    if out.is_file() and out.read_text(encoding="utf-8").endswith(mark(folder)):
        return out
    with npm.installed(folder) as packages:
        libraries = [
            (packages / name / "build" / f"{name}.min.js").read_text(encoding="utf-8") for name in PACKAGES
        ]
    with new_file(out) as draft:
        draft.write_text(
            fill((folder / "template.html").read_text(encoding="utf-8"), libraries) + mark(folder),
            encoding="utf-8",
        )
    return out


def main() -> None:
    try:
        template = write()
    except npm.NoPackages as error:
        raise SystemExit(
            f"error: {error}; `make compare` needs no npm, and the curves are also in reports/index.html"
        ) from None
    place = Path("..") / template.relative_to(ROOT)  # DVC reads it from .dvc/
    subprocess.run(
        [sys.executable, "-m", "dvc", "config", "--local", "plots.html_template", str(place)],
        cwd=ROOT,
        check=True,
    )
    print(f"{template.relative_to(ROOT)}: dvc plots show and dvc plots diff now work without a network")


if __name__ == "__main__":
    main()
