"""python -m ops.retrain.status: status of the retraining job: served version, last run and success, next due
date. Exit codes are those of monitoring plugins:

0    a proven model serves, and checks are in time
1    the last run failed, or the served model was trained on faces that are forgotten since
2    nobody serves, the served export is not what the pointer says, or the last success is longer ago than
     retrain.yaml allows
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops.retrain.ledger import Ledger, read_json
from ops.retrain.promotion import identity
from ops.retrain.settings import FILE, SettingsError, load
from ops.retrain.start import ledger_of


def state(ledger: Ledger, moment: datetime) -> dict[str, Any]:
    """The status at `moment`; `code` is the exit code, `troubles` the reasons why it is not 0."""
    champion = ledger.champion()
    status = read_json(ledger.status) or {}
    troubles = []
    code = 0
    if status.get("last") == "FAILED":
        troubles = [f"the last run failed: {'; '.join(status['reasons'])}"]
        code = 1
    if champion is None:
        troubles = [*troubles, "nobody serves yet"]
        code = 2
    else:
        export = ledger.home / champion["export"]
        if not (export / "bundle.json").is_file() or identity(export) != champion["id"]:
            troubles = [*troubles, f"{export} is not the export that champion.json names"]
            code = 2
    if haunted := ledger.haunted():
        troubles = [
            *troubles,
            f"{champion['version']} was trained on faces that are forgotten since; a challenger without them "
            f"waits for `python -m ops.retrain` (certificates {', '.join(haunted)})",
        ]
        code = max(code, 1)
    if "due" in status and moment > datetime.fromisoformat(status["due"]):
        troubles = [*troubles, f"the next check was due at {status['due']}"]
        code = 2
    return {
        "code": code,
        "troubles": troubles,
        "champion": champion,
        "releases": ledger.versions(),
        "unfinished": (read_json(ledger.journal) or {}).get("version"),
        **{name: status.get(name) for name in ("checked", "last", "reasons", "run", "succeeded", "due")},
    }


def lines(found: dict[str, Any]) -> list[str]:
    champion = found["champion"]
    serving = (
        f"{champion['version']} ({champion['id']}) since {champion['since']}, "
        f"before it {champion['previous'] or 'nobody'}"
        if champion
        else "nobody"
    )
    said = [f"serving       {serving}"]
    if found["checked"]:
        said += [f"last run      {found['checked']}: {found['last']}: {'; '.join(found['reasons'])}"]
        said += [f"last success  {found['succeeded'] or 'none'}", f"next due      {found['due'] or 'now'}"]
    said += [f"releases      {', '.join(found['releases']) or 'none'}"]
    if found["unfinished"]:
        said += [f"unfinished    the promotion of {found['unfinished']}; the next run carries it out"]
    return said + [f"trouble       {trouble}" for trouble in found["troubles"]]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ops.retrain.status", description="Who serves, and is retraining alive?"
    )
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="root of the repository")
    parser.add_argument("--config", type=Path, default=FILE)
    parser.add_argument("--json", action="store_true", help="for programs")
    chosen = parser.parse_args(arguments)
    try:
        settings = load(chosen.config)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = state(ledger_of(chosen.project, settings), datetime.now(UTC))
    print(json.dumps(found, indent=2) if chosen.json else "\n".join(lines(found)))
    return found["code"]


if __name__ == "__main__":
    sys.exit(main())
