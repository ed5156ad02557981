"""python -m ops.retrain.status: status of the retraining job: served version, last run and success, next due
date. Exit codes are those of monitoring plugins:

0    a proven model serves, and checks are in time
1    the last run failed, or the served model was trained on faces that are forgotten since
2    nobody serves, the served export is not what the pointer says, or the last success is longer ago than
     retrain.yaml allows

`--follow` shows the newest run's log first, as it is written, until that run is over.
"""

import argparse
import codecs
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops.retrain.ledger import Ledger, read_json
from ops.retrain.promotion import identity
from ops.retrain.settings import FILE, SettingsError, load
from ops.retrain.start import ledger_of

PAUSE = 0.5  # seconds between two looks at a log


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


def over(run: Path) -> bool:
    """Whether a run has ended: it has its report, had nothing to do, or its process is gone."""
    if not run.is_dir() or (run / "report.json").is_file():
        return True
    try:
        os.kill(int(run.name.rpartition("-")[2]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's, and alive
        return False
    return False


def follow(ledger: Ledger, say: Callable[[str], object], pause: float) -> None:
    """Say what the newest run's log holds and what comes to it, looking every `pause` seconds, until the run
    is over.
    """
    runs = sorted(ledger.runs.glob("*-*"))
    if not runs:
        return
    log = runs[-1] / "log.txt"
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    place = 0
    while True:
        last = over(runs[-1])  # before the reading, so that nothing written in between is lost
        try:
            with log.open("rb") as file:
                file.seek(place)
                new = file.read()
        except FileNotFoundError:
            new = b""
        place += len(new)
        say(decoder.decode(new, final=last))
        if last:
            return
        time.sleep(pause)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ops.retrain.status", description="Who serves, and is retraining alive?"
    )
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="root of the repository")
    parser.add_argument("--config", type=Path, default=FILE)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="for programs")
    shown.add_argument("--follow", action="store_true", help="first the newest run's log, as it is written")
    chosen = parser.parse_args(arguments)
    try:
        settings = load(chosen.config)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    ledger = ledger_of(chosen.project, settings)
    if chosen.follow:
        try:
            follow(ledger, lambda text: print(text, end="", flush=True), PAUSE)
        except KeyboardInterrupt:  # the run goes on
            print()
    found = state(ledger, datetime.now(UTC))
    print(json.dumps(found, indent=2) if chosen.json else "\n".join(lines(found)))
    return found["code"]


if __name__ == "__main__":
    sys.exit(main())
