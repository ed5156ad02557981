"""The written report of a run: report.json with every figure, report.md for people and for the summary of a
CI job.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faces.core.files import new_file, write_json
from ops.retrain.gates import Verdict, number

SHOWN = 20  # refused pictures that report.md lists; report.json has all
NOTABLE = 3.0  # standard errors from which a label's rate is told


def write(run: Path, outcome: dict[str, Any], verdict: Verdict | None) -> None:
    """Both files. `outcome` holds what is known of the run; a failed one has no verdict but an error."""
    write_json(run / "report.json", outcome | ({"judgement": verdict.as_json()} if verdict else {}))
    with new_file(run / "report.md") as draft:
        draft.write_text("\n".join(lines(outcome, verdict)) + "\n", encoding="utf-8")


def lines(outcome: dict[str, Any], verdict: Verdict | None) -> Iterator[str]:
    """report.md, line by line."""
    version = f" {outcome['version']}" if outcome.get("version") else ""
    yield f"# {outcome['verdict']}{version}"
    yield ""
    for reason in outcome["reasons"]:
        yield f"- {reason}"
    yield ""
    facts = {
        "run": "run",
        "base": "code and params",
        "snapshot": "data",
        "exam": "exam",
        "champion": "champion",
        "seconds": "seconds",
    }
    for key, label in facts.items():
        if outcome.get(key) is not None:
            yield f"- {label}: {outcome[key]}"
    if data := outcome.get("data"):
        yield from data_lines(data)
    if drift := outcome.get("drift"):
        yield from drift_lines(drift)
    if verdict:
        yield from verdict_lines(verdict)


def data_lines(data: dict[str, Any]) -> Iterator[str]:
    yield from (
        "",
        "## New data",
        "",
        f"{data['pictures']} pictures, {data['new']} of them new; {len(data['refused'])} refused.",
        "",
    )
    for name, reason in list(data["refused"].items())[:SHOWN]:
        yield f"- {name}: {reason}"
    if len(data["refused"]) > SHOWN:
        yield f"- and {len(data['refused']) - SHOWN} more"


def drift_lines(drift: dict[str, Any]) -> Iterator[str]:
    yield from ("", "## Drift of the new pictures", "")
    if codes := drift["codes"]:
        yield (
            f"Codes of {codes['faces']} new faces in the champion's eyes: "
            f"squared Frechet distance {number(codes['frechet'])}, "
            f"usual {number(codes['frechet_usual'])}, ratio {number(codes['ratio'])}; "
            f"the mean shifted by {number(codes['shift'])} deviations."
        )
    moved = {name: row for name, row in drift["attributes"].items() if abs(row["z"]) >= NOTABLE}
    yield from (
        "",
        f"Labels whose rate differs by {NOTABLE:g} standard errors or more: {', '.join(moved) or 'none'}.",
    )
    if moved:
        yield from ("", "| label | before | new | standard errors |", "|---|---|---|---|")
        yield from (
            f"| {name} | {row['others']:.3f} | {row['new']:.3f} | {row['z']:+.1f} |"
            for name, row in moved.items()
        )


def verdict_lines(verdict: Verdict) -> Iterator[str]:
    yield from ("", "## Sanity", "")
    yield from (
        f"- {name}: {value:.4g}" if isinstance(value, float) else f"- {name}: {value}"
        for name, value in sorted(verdict.sanity.items())
    )
    for title, critical in (("Critical metrics", True), ("Other metrics", False)):
        yield from (
            "",
            f"## {title}",
            "",
            "| metric | champion | challenger | gain | tolerance | floor | |",
            "|---|---|---|---|---|---|---|",
        )
        for row in verdict.figures:
            if row.critical is critical:
                gain = "" if row.gain is None else f"{row.gain:+.4f}"
                known = (
                    number(row.champion),
                    number(row.challenger),
                    gain,
                    number(row.tolerance),
                    number(row.floor),
                    row.finding,
                )
                yield f"| {row.key} | {' | '.join(known)} |"
