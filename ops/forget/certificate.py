"""Certificate of a forgetting, as JSON and as a page: what was removed where, and what could not be."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from faces.core.files import new_file, write_json
from ops.forget.journal import Journal
from ops.retrain.ledger import Ledger


def write(journal: Journal, ledger: Ledger, left: list[dict[str, str]]) -> dict[str, Any]:
    """Write ID.json and ID.html into the job's folder `certificates`; `left` is what could not be removed.
    Returns the values.
    """
    plan = journal.plan
    champion = (ledger.champion() or {}).get("version")
    values = {
        "id": plan["id"],
        "at": plan["at"],
        "faces": plan["faces"],
        "models": {
            "seen": [*(f"release {version}" for version in plan["versions"]), *plan["models"]],
            "champion": champion if champion in plan["versions"] else None,
        },
        "directions": plan["directions"],
        "membership": plan["membership"],
        "removed": journal.removed(),
        "left": left,
    }
    write_json(ledger.certificates / f"{plan['id']}.json", values)
    render(values, ledger.certificates / f"{plan['id']}.html")
    return values


def render(values: dict[str, Any], out: Path) -> None:
    """The page of a certificate."""
    loader = FileSystemLoader(Path(__file__).parent)
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    with new_file(out) as draft:
        draft.write_text(pages.get_template("certificate.html").render(values), encoding="utf-8")


def summary(values: dict[str, Any], ledger: Ledger) -> str:
    """Some lines for the terminal."""
    lines = [
        f"forgotten: {len(values['faces'])} pictures; {len(values['removed'])} files removed or rewritten",
        f"certificate: {ledger.certificates / values['id']}.html",
        *(f"not removed: {one['where']}: {one['why']}" for one in values["left"]),
    ]
    if values["models"]["champion"]:
        lines.append(f"{values['models']['champion']} saw them and still serves: run python -m ops.retrain")
    return "\n".join(lines)
