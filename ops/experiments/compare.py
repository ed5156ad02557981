"""python -m ops.experiments.compare [REVISION ...]: compare runs on one self-contained page.

in    params.yaml, reports/metrics.json, reports/grids, gifs and plots of each revision, from Git and from
      DVC's cache
out   compare.html; with --md instead figures and params as Markdown on standard output, for a pull request or
      a job's summary

A revision is whatever Git knows, an experiment's name, or `workspace`; without any, HEAD and workspace.
Figures are compared with the first revision; equal ones are left out. Pictures are recompressed as WebP, to
keep the page small.
"""

import argparse
import base64
import io
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from faces.core.console import Progress
from faces.core.files import new_file
from faces.report.view import ABSENT, CAPTIONS, known, words
from ops.experiments import metric_table
from ops.experiments.revisions import PICTURES, WORKSPACE, BadRevision, Revision, pictures, read

HERE = Path(__file__).parent
REPORT = HERE.parents[1] / "faces" / "report" / "report.html"  # whose look this page shares
QUALITY = 80  # of WebP, 1 to 100
WIDE = 1.6  # width over height from which pictures stand above one another instead of side by side
LONGEST = 60_000  # characters of the Markdown; GitHub refuses a comment of more than 65,536
BOUNDS = ("_low", "_high")  # the ends of the interval of a figure, as endings of its key
HEADINGS = {"reports/grids": "Sheets", "reports/gifs": "Animations", "reports/plots": "Charts"}


@dataclass(frozen=True)
class Cell:
    """A figure of one revision. `verdict` is better, worse or empty; `sure` is false where the intervals of
    both figures are known and overlap.
    """

    value: str
    change: str = ""
    verdict: str = ""
    sure: bool = True


@dataclass(frozen=True)
class Row:
    """A figure of every revision, and what is known about it."""

    key: str
    about: metric_table.Metric | None
    cells: list[Cell]


Groups = dict[str, list[Row]]  # by the top level of the keys


def number(value: Any, sign: str = "-") -> str:
    """A figure as metrics.json gives it, to four decimals; `sign` is that of Python's format: + shows it
    always.
    """
    return (
        f"{value:{sign},.4f}".rstrip("0").rstrip(".").replace("-", "\N{MINUS SIGN}")
        if known(value)
        else ABSENT
    )


def interval(figures: dict[str, Any], key: str) -> tuple[float, float] | None:
    """The ends of a figure's interval, where both are known."""
    low, high = (figures.get(key + bound) for bound in BOUNDS)
    return (low, high) if known(low) and known(high) else None


def overlap(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    return one is not None and other is not None and one[0] <= other[1] and other[0] <= one[1]


def cell(key: str, ours: dict[str, Any], first: dict[str, Any]) -> Cell:
    """The figure `key` of one revision, compared with the first's."""
    value = ours.get(key)
    before = first.get(key)
    spread = interval(ours, key)
    shown = number(value) + (f" ({number(spread[0])} to {number(spread[1])})" if spread else "")
    if ours is first or not (known(value) and known(before)) or value == before:
        return Cell(shown)
    gain = metric_table.gain(key, before, value)
    verdict = "" if gain is None else "better" if gain > 0 else "worse"
    return Cell(shown, number(value - before, "+"), verdict, not overlap(spread, interval(first, key)))


def keys(revisions: list[Revision]) -> list[str]:
    """Every figure of any revision, in order; ends of intervals stand beside their figure and are none."""
    found = {key for revision in revisions for key in revision.metrics}
    return sorted(
        key
        for key in found
        if not any(key.endswith(bound) and key.removesuffix(bound) in found for bound in BOUNDS)
    )


def figures(revisions: list[Revision]) -> Groups:
    """The figures that are not the same in all revisions."""
    first = revisions[0].metrics
    groups = {}
    for key in keys(revisions):
        if len({revision.metrics.get(key) for revision in revisions}) > 1:
            cells = [cell(key, revision.metrics, first) for revision in revisions]
            groups.setdefault(key.split(".")[0], []).append(Row(key, metric_table.of(key), cells))
    return groups


def tally(groups: Groups, column: int, critical: bool) -> dict[str, int]:
    """How many figures of the revision in `column`, or of the critical ones, are better and worse than the
    first's, where the intervals allow to tell.
    """
    rows = [
        row
        for rows in groups.values()
        for row in rows
        if not critical or (row.about is not None and row.about.critical)
    ]
    return {
        verdict: sum(row.cells[column].verdict == verdict and row.cells[column].sure for row in rows)
        for verdict in ("better", "worse")
    }


def blocks(rows: list[Row]) -> list[tuple[str, list[Row]]]:
    """The rows of a group by what they mean, in the order of ops.experiments.metric_table; what is not known
    there comes last, without words.
    """

    def place(row: Row) -> int:
        return metric_table.METRICS.index(row.about) if row.about else len(metric_table.METRICS)

    found = []
    for _, of_one in groupby(sorted(rows, key=place), key=place):
        rows = list(of_one)
        about = rows[0].about
        meaning = f"{about.meaning}{'; must not get worse' if about.critical else ''}" if about else ""
        found.append((meaning, rows))
    return found


def settings(revisions: list[Revision]) -> list[tuple[str, list[str]]]:
    """Rows of (key, a value for each revision), of the params that are not the same in all."""
    found = sorted({key for revision in revisions for key in revision.params})
    rows = [
        (key, [str(revision.params[key]) if key in revision.params else ABSENT for revision in revisions])
        for key in found
    ]
    return [row for row in rows if len(set(row[1])) > 1]


def packed(content: bytes) -> tuple[str, int, int]:
    """A picture or an animation as a data URI of WebP, with its width and height."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        picture.save(buffer, "WEBP", quality=QUALITY, method=2, save_all=getattr(picture, "n_frames", 1) > 1)
        return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii"), *picture.size


def pack(contents: set[bytes]) -> dict[bytes, tuple[str, int, int]]:
    """All of them, two at a time."""
    ready = {}
    bar = Progress("compare", len(contents), "pictures")
    with ThreadPoolExecutor(2) as pool:
        for content, picture in zip(contents, pool.map(packed, contents), strict=True):
            ready[content] = picture
            bar.update(len(ready))
    bar.close()
    return ready


def galleries(albums: list[dict[str, bytes]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Folder by folder the pictures that differ, packed, None where a revision lacks one; and the captions of
    those that do not differ.

    `albums` holds the pictures of each revision by path.
    """
    paths = sorted({path for album in albums for path in album})
    differ = [path for path in paths if len({album.get(path) for album in albums}) > 1]
    ready = pack({album[path] for album in albums for path in differ if path in album})
    found = []
    for folder, heading in HEADINGS.items():
        entries = []
        for path in (path for path in differ if path.startswith(f"{folder}/")):
            shown = [ready.get(album.get(path)) for album in albums]
            width, height = next(picture[1:] for picture in shown if picture)
            entries.append({"caption": caption(path), "wide": width > WIDE * height, "shown": shown})
        if entries:
            found.append({"heading": heading, "entries": entries, "moving": PICTURES[folder] == ".gif"})
    return found, [caption(path) for path in paths if path not in differ]


def caption(path: str) -> str:
    inside = path.removeprefix("reports/")
    return CAPTIONS.get(inside) or words(Path(path).stem)


def style() -> str:
    """The report's style sheet, for the same look. Raises ValueError where there is none."""
    _, opened, rest = REPORT.read_text(encoding="utf-8").partition("<style>")
    sheet, closed, _ = rest.partition("</style>")
    if not (opened and closed):
        raise ValueError(f"{REPORT}: no <style>, which the page of ops.experiments.compare takes over")
    return sheet


def heads(revisions: list[Revision], albums: list[dict[str, bytes]], groups: Groups) -> list[dict[str, Any]]:
    """What the page says of each revision as a whole."""
    return [
        {
            "name": revision.name,
            "commit": revision.commit[:10] if revision.commit else "as it stands",
            "absent": [
                folder for folder in PICTURES if not any(path.startswith(f"{folder}/") for path in album)
            ],
            "all": tally(groups, column, critical=False),
            "critical": tally(groups, column, critical=True),
        }
        for column, (revision, album) in enumerate(zip(revisions, albums, strict=True))
    ]


def page(revisions: list[Revision], albums: list[dict[str, bytes]]) -> str:
    """The whole page. `albums` holds the pictures of each revision by path."""
    groups = figures(revisions)
    shown, same = galleries(albums)
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("compare.html").render(
        style=style(),
        revisions=heads(revisions, albums, groups),
        settings=settings(revisions),
        groups=[{"name": name, "count": len(rows), "blocks": blocks(rows)} for name, rows in groups.items()],
        equal=len(keys(revisions)) - sum(map(len, groups.values())),
        galleries=shown,
        same=same,
    )


def line(cells: list[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"


def table(head: str, revisions: list[Revision], rows: list[tuple[str, list[str]]]) -> str:
    """A Markdown table with a column for each revision."""
    names = [f"`{revision.name}`" for revision in revisions]
    return "\n".join(
        [
            line([head, *names]),
            "|---" * (len(names) + 1) + "|",
            *(line([f"`{key}`", *cells]) for key, cells in rows),
        ]
    )


def spoken(cell: Cell) -> str:
    """A cell of a figure in one line of Markdown."""
    if not cell.change:
        return cell.value
    verdict = f", {cell.verdict}" if cell.verdict else ""
    return f"{cell.value} ({cell.change}{verdict}{'' if cell.sure else ', intervals overlap'})"


def folded(summary: str, text: str) -> str:
    """A part that GitHub shows on a click."""
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def markdown(revisions: list[Revision]) -> str:
    """Verdict, critical figures, all other figures and params that differ. The longest parts are folded, or
    left out beyond LONGEST.
    """
    groups = figures(revisions)
    first = revisions[0].name
    parts = [f"## Figures, held against `{first}`"]
    for column, revision in enumerate(revisions[1:], 1):
        critical = tally(groups, column, critical=True)
        everything = tally(groups, column, critical=False)
        parts.append(
            f"`{revision.name}`: of the critical figures "
            f"{critical['better']} better and {critical['worse']} worse, "
            f"of all figures {everything['better']} and {everything['worse']}. "
            "Where 95% intervals overlap, neither is counted."
        )
    rows = [row for group in groups.values() for row in group]
    critical = [row for row in rows if row.about is not None and row.about.critical]
    others = [row for row in rows if row not in critical]
    if not rows:
        parts.append("No figure differs.")
    if critical:
        parts.append(
            table(
                "critical figure",
                revisions,
                [(row.key, [spoken(cell) for cell in row.cells]) for row in critical],
            )
        )
    if differ := settings(revisions):
        parts.append(folded(f"{len(differ)} params differ", table("param", revisions, differ)))
    if others:
        shown = table(
            "figure", revisions, [(row.key, [spoken(cell) for cell in row.cells]) for row in others]
        )
        if sum(map(len, parts)) + len(shown) > LONGEST:
            names = " ".join(revision.name for revision in revisions)
            shown = f"Too many to show here: `python -m ops.experiments.compare {names}`"
        parts.append(folded(f"{len(others)} other figures differ", shown))
    return "\n\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ops.experiments.compare", description="Runs side by side on one page."
    )
    parser.add_argument(
        "revisions",
        nargs="*",
        metavar="REVISION",
        help="a revision of Git, an experiment's name, or workspace",
    )
    parser.add_argument("--out", type=Path, default=Path("compare.html"), help="the page to write")
    parser.add_argument("--md", action="store_true", help="print figures and params as Markdown instead")
    chosen = parser.parse_args(arguments)
    try:
        revisions = [read(Path.cwd(), name) for name in chosen.revisions or ("HEAD", WORKSPACE)]
        if chosen.md:
            print(markdown(revisions))
            return 0
        text = page(revisions, [pictures(revision) for revision in revisions])
    except BadRevision as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    with new_file(chosen.out) as draft:
        draft.write_text(text, encoding="utf-8")
    print(f"{chosen.out}: {', '.join(revision.name for revision in revisions)}; {len(text) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
