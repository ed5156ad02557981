"""Train and measure every system of faces/models at its own settings: `make systems`, which then draws the
page that compares them (ops/experiments/systems_page.py).

    python -m ops.experiments.systems SOURCE [NAME ...] [KEY=VALUE ...]

runs all systems or those named; KEY=VALUE changes a key of params.yaml for all of them.

ops/experiments/systems.yaml says what each system changes in params.yaml. Every system runs as `dvc exp run`
in a clone of its own, .systems/SOURCE/NAME, at the last commit: the working copy is not touched (`dvc exp run
--temp` would do that too, but loses the checkpoints of a training that is cut off). The clones use this
project's DVC cache, so faces, crops and classifiers are made once for all, and a second call repeats nothing.
What was interrupted continues from its checkpoint. Finished experiments are fetched into this project, where
`dvc exp show` compares them.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import torch
import yaml
from pydantic import Field

from faces.core.console import say, stop
from faces.core.files import write_json
from faces.core.params import Group, one_of, parse
from faces.core.threads import usable_cores
from faces.nn.device import pick_device
from ops.params_file import Changes, written

ROOT = Path(__file__).parents[2]
CLONES = ROOT / ".systems"
PLAN = Path(__file__).with_name("systems.yaml")


class System(Group):
    paper: str
    params: Changes  # what it takes on a CPU
    lacks: str  # what one sees that this budget did not reach
    gpu: Changes  # what a run at published size changes


class Plan(Group):
    common: Changes
    systems: Annotated[dict[str, System], Field(min_length=1)]

    @classmethod
    def read(cls) -> "Plan":
        """ops/experiments/systems.yaml. Raises ParamsError."""
        return parse(cls, yaml.safe_load(PLAN.read_text(encoding="utf-8")), file=PLAN.name)


class CommandFailed(ValueError):
    """A command that this program ran ended badly. The message says which, where, and where its output is."""


def output(command: list[str], where: Path) -> str:
    """What `command` prints. Raises CommandFailed with its last line."""
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(
            f"{' '.join(command)} in {where}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}"
        )
    return done.stdout.strip()


def dvc(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


def clone_of(source: str, name: str) -> Path:
    return CLONES / source / name


def refresh(clone: Path) -> None:
    """Make or renew the clone at this project's last commit; what DVC and training left in it stays."""
    if not clone.exists():
        clone.parent.mkdir(parents=True, exist_ok=True)
        output(["git", "clone", "--quiet", str(ROOT), str(clone)], ROOT)
    output(["git", "fetch", "--quiet", str(ROOT), "HEAD"], clone)
    output(["git", "reset", "--quiet", "--hard", "FETCH_HEAD"], clone)
    output(dvc("cache", "dir", "--local", output(dvc("cache", "dir"), ROOT)), clone)


def experiment(clone: Path, name: str, changes: Changes, target: str) -> None:
    """Bring the pipeline up to `target` as the experiment `name`; what is printed goes to NAME.log beside the
    clone. Raises CommandFailed.
    """
    output(["git", "reset", "--quiet", "--hard"], clone)  # the changes of the experiment before
    if name in output(dvc("exp", "list", "--name-only"), clone).split():
        output(dvc("exp", "remove", name), clone)
    settings = [part for key, value in changes.items() for part in ("-S", f"{key}={written(value)}")]
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    }
    log = clone.with_name(f"{name}.log")
    with log.open("a", encoding="utf-8") as lines:
        command = dvc("exp", "run", "--name", name, *settings, target)
        done = subprocess.run(command, cwd=clone, env=environment, stdout=lines, stderr=lines, check=False)
    if done.returncode:
        raise CommandFailed(f"{name}: `dvc exp run {target}` failed: see {log}")


def children_seconds() -> float:
    """Processor time of the programs run so far, all cores together."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ledger_of(clone: Path) -> Path:
    """NAME.json beside the clone: the checksum of the trained model, the processor time that it took, and the
    device that it last ran on.
    """
    return clone.with_name(f"{clone.name}.json")


def locked(clone: Path, stage: str, side: str, path: str) -> str:
    """The checksum of a stage's dep or out, from dvc.lock."""
    lock = yaml.safe_load((clone / "dvc.lock").read_text(encoding="utf-8"))
    return next(entry["md5"] for entry in lock["stages"][stage][side] if entry["path"] == path)


def device_name() -> str:
    """The GPU's name, or how many CPU cores there are."""
    device = pick_device()
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{usable_cores()} CPU cores"


def train(clone: Path, name: str, changes: Changes) -> None:
    """The training, its processor time added up over interruptions in its ledger: DVC's outputs hold no
    timings, and a stage found done has none.
    """
    ledger = ledger_of(clone)
    known = (
        json.loads(ledger.read_text(encoding="utf-8")) if ledger.is_file() else {"model": "", "seconds": 0.0}
    )
    begun = children_seconds()
    model = ""
    try:
        experiment(clone, name, changes, "train")
        model = locked(clone, "train", "outs", "data/model")
    finally:
        if model == "" or model != known["model"]:
            before = known["seconds"] if known["model"] == "" else 0.0
            write_json(
                ledger,
                {"model": model, "seconds": before + children_seconds() - begun, "device": device_name()},
            )


def run(source: str, names: list[str], extra: Changes) -> None:
    """Train and measure each of `names` in turn."""
    plan = Plan.read()
    for name in names or plan.systems:
        one_of("ops.experiments.systems", name, plan.systems)
        clone = clone_of(source, name)
        changes = {"data.source": source, "model": name, **plan.common, **plan.systems[name].params, **extra}
        say(f"systems: {name}, log in {clone.with_name(f'{name}.log').relative_to(ROOT)}")
        refresh(clone)
        experiment(clone, name, changes, "crop")
        train(clone, name, changes)
        experiment(clone, name, changes, "evaluate")
        output(["git", "fetch", "--quiet", "--force", str(clone), "refs/exps/*:refs/exps/*"], ROOT)


def main(source: str, *arguments: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the ledger is kept
    extra = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    names = [argument for argument in arguments if "=" not in argument]
    try:
        run(source, names, extra)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    main(*sys.argv[1:])
