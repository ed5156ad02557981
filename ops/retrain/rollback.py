"""python -m ops.retrain.rollback VERSION: serve an earlier version again. Exit codes as of ops.retrain.

The verdicts since then stay: the next run does not promote the same challenger again, only one with newer
code, params or data.
"""

import argparse
import sys
from pathlib import Path

from ops.retrain import promotion
from ops.retrain.ledger import Ledger, now
from ops.retrain.lock import Busy
from ops.retrain.notify import notify
from ops.retrain.process import CommandFailed, Runner
from ops.retrain.repository import GitError, Repository, assign
from ops.retrain.settings import FILE, Settings, SettingsError, load
from ops.retrain.start import alone


class NoSuchVersion(ValueError):
    """There is no release of that name. The message lists those that are here."""


def roll_back(version: str, settings: Settings, ledger: Ledger, project: Repository) -> str:
    """Tag, then point. Returns the line that people are told. Raises NoSuchVersion, CommandFailed, GitError,
    Abandoned.
    """
    if version not in ledger.versions():
        raise NoSuchVersion(
            f"{ledger.releases}: no {version}; here are: {', '.join(ledger.versions()) or 'none'}"
        )
    runner = Runner(ledger.new_run() / "log.txt", project.lock)
    promotion.carry_out(
        ledger, project, ledger.work, settings, runner
    )  # what a killed run had decided counts as the later word before ours
    promotion.smoke(ledger, version, runner)
    before = ledger.champion()
    if before is not None and before["version"] == version:
        return f"{version} serves already"
    tag = assign(project, settings.model, settings.stage, version)
    if settings.git.remote:
        project.git("push", "--quiet", settings.git.remote, f"refs/tags/{tag}")
    ledger.point(version, now())
    return f"{version} serves again, was {before['version'] if before else 'nobody'}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ops.retrain.rollback", description="Let an earlier version serve again."
    )
    parser.add_argument("version", metavar="VERSION", help="such as v0.0.1; ops.retrain.status lists them")
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="root of the repository")
    parser.add_argument("--config", type=Path, default=FILE)
    chosen = parser.parse_args(arguments)
    try:
        settings = load(chosen.config)
        with alone(chosen.project, settings) as (ledger, project):
            told = roll_back(chosen.version, settings, ledger, project)
    except (SettingsError, NoSuchVersion) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Busy as error:
        print(f"busy: {error}", file=sys.stderr)
        return 75
    except (CommandFailed, GitError, promotion.Abandoned, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(told)
    for trouble in notify(
        settings.notify,
        {"model": settings.model, "verdict": "ROLLBACK", "reasons": [told], "version": chosen.version},
    ):
        print(f"not done: {trouble}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
