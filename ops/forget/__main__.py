"""python -m ops.forget NAME...: faces leave the project: snapshots, data, codes, tables, DVC's cache and
remotes; a certificate says what went and what stayed. Stopped anywhere, the next call ends it.

    0    forgotten; or, without names, nothing was left to finish
    1    stopped by what the message says; run it again
    2    the command line, retrain.yaml or a name is wrong; nothing was changed
    75   the retraining job is at work (sysexits.h: try again later)
"""

import argparse
import sys
from pathlib import Path

from ops.forget import certificate, plan, steps
from ops.forget.plan import ForgetError
from ops.forget.remotes import RemoteError
from ops.retrain import __main__ as retrain
from ops.retrain.lock import Busy
from ops.retrain.repository import GitError
from ops.retrain.settings import FILE, SettingsError, load
from ops.retrain.start import alone


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ops.forget", description="Let faces leave the project, with a certificate."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="pictures, as the table of faces names them")
    parser.add_argument("--identity", type=int, help="every picture of this person")
    parser.add_argument(
        "--originals", action="store_true", help="also delete the pictures in the folder that they come from"
    )
    parser.add_argument(
        "--leave", action="append", default=[], metavar="REMOTE", help="do not touch this remote of DVC's"
    )
    parser.add_argument("--retrain", action="store_true", help="then run python -m ops.retrain")
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="root of the repository")
    parser.add_argument("--config", type=Path, default=FILE)
    chosen = parser.parse_args(arguments)
    try:
        settings = load(chosen.config)
        with alone(chosen.project, settings) as (ledger, project):
            if (left := plan.unfinished(ledger, project.folder)) is not None:
                print(f"finishing {left.plan['id']}")
                left.leave(chosen.leave)
                print(certificate.summary(steps.carry_out(left, project, ledger), ledger))
            names = set(chosen.names)
            if chosen.identity is not None:
                try:
                    names |= plan.of_identity(chosen.identity, project.folder, ledger.home)
                except ForgetError:
                    if left is None:  # otherwise the person may just have been forgotten
                        raise
            if left is not None:
                names -= left.names
            if names:
                journal = plan.make(names, project, ledger, settings, chosen.originals, chosen.leave)
                print(certificate.summary(steps.carry_out(journal, project, ledger), ledger))
            elif left is None:
                print("nothing to finish; name a picture to forget it")
    except Busy as error:
        print(f"busy: {error}", file=sys.stderr)
        return retrain.BUSY
    except (GitError, RemoteError, OSError) as error:
        print(f"error: {error}; run it again to go on", file=sys.stderr)
        return 1
    except (SettingsError, ForgetError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if chosen.retrain:
        return retrain.main(["--project", str(chosen.project), "--config", str(chosen.config)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
