"""The life of a served model, for real: python -m benchmarks.retraining PLACE. Prints what happened, every
request that failed, and a table of phases and times.

In a clone of this project under PLACE, with faces drawn into a growing folder: a first champion serves; new
faces come and a second takes over while the website is asked for edits all the time; a challenger with labels
of other faces, one with NaN weights and one trained for less time are turned down; one of another system
sits the same exam; a rollback, after which edits are those of before, to the byte; two jobs at once; SIGKILL
at instants spread over a run. A run at the default scale trains five models; see --set for smaller ones.
"""

import argparse
import csv
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from faces import sources
from faces.core import parquet
from faces.core.params import read
from faces.data.annotations import LABELS
from ops.params_file import set_params

ROOT = Path(__file__).parents[1]
EDITED = ("Smiling", "Eyeglasses", "Black_Hair")  # edits that are compared before and after a rollback
OTHER = "vanilla_vae"  # a system that is not served, with a code of another length
SPOIL = """
import os, subprocess, sys
import numpy as np
from safetensors.numpy import load_file, save_file
code = subprocess.run(["dvc", "repro", "classifier", "export"]).returncode
weights = {
    name: np.full_like(array, np.nan) if array.dtype.kind == "f" else array
    for name, array in load_file("data/model/model.safetensors").items()
}
os.unlink("data/model/model.safetensors")
save_file(weights, "data/model/model.safetensors")
sys.exit(code)
"""


class Site:
    """`python -m web` over the job's pointer, and a visitor who edits a face all the time."""

    def __init__(self, place: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        pointer = str(place / ".retrain/champion.json")
        command = [sys.executable, "-m", "web", "--export", pointer, "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.answers: Counter[str] = Counter()
        self.models: list[str] = []
        self.over = threading.Event()
        for _ in range(600):
            try:
                self.ask("/api/health")
                break
            except OSError:
                time.sleep(0.2)
        self.thread = threading.Thread(target=self.visit)
        self.thread.start()

    def ask(self, path: str, body: Any = None) -> bytes:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", content, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def edit(self, attribute: str) -> tuple[str, bytes]:
        """One edit of a new face, always from the same seed: the model that made it, and its pixels."""
        face = json.loads(self.ask("/api/sample", {"seed": 7}))
        wanted = {"code": face["code"], "strengths": {attribute: 1.0}, "model": face["model"]}
        return face["model"], self.ask("/api/edit", wanted)

    def edits(self) -> list[tuple[str, bytes]]:
        return [self.edit(attribute) for attribute in EDITED]

    def visit(self) -> None:
        while not self.over.is_set():
            try:
                self.models.append(self.edit(EDITED[0])[0])
                self.answers["good"] += 2
            except (urllib.error.URLError, OSError, ValueError) as error:
                self.answers[f"failed: {error}"] += 1
            time.sleep(0.1)

    def follows(self, model: str) -> bool:
        """Whether the site serves `model` within half a minute."""
        seen = len(self.models)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if model in self.models[seen:]:
                return True
            time.sleep(0.1)
        return False

    def close(self) -> None:
        self.over.set()
        self.thread.join()
        self.process.terminate()
        self.process.wait()


class World:
    """A checkout of the project at `place`/project, beside it a folder that grows to `faces` faces, and the
    job's settings: retrain.yaml with `settings`, by keys such as gates.spread.
    """

    def __init__(self, place: Path, faces: int, settings: dict[str, Any]) -> None:
        self.place = place / "project"
        self.inbox = place / "inbox"
        self.config = place / "retrain.yaml"
        self.table = []
        self.phases: list[tuple[str, str, float]] = []  # what was done, its exit code, seconds
        self.inbox.mkdir()
        self.values = yaml.safe_load((ROOT / "ops/retrain/retrain.yaml").read_text(encoding="utf-8"))
        self.set({"source.folder": str(self.inbox), "source.settle": 0.0} | settings)
        self.pictures = draw(place / "drawn", faces)

    def set(self, settings: dict[str, Any]) -> None:
        """Change some of retrain.yaml."""
        for key, value in settings.items():
            group, name = key.split(".", 1)
            self.values[group][name] = value
        text = yaml.safe_dump(self.values, sort_keys=False)  # of the tolerances the first match counts
        self.config.write_text(text, encoding="utf-8")

    def params(self, changes: dict[str, Any], message: str) -> None:
        """Commit a change of params.yaml."""
        set_params(self.place / "params.yaml", changes)
        self.commit(message)

    def commit(self, message: str) -> None:
        person = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost"]
        subprocess.run(
            ["git", *person, "commit", "--quiet", "--allow-empty", "-am", message], cwd=self.place, check=True
        )

    def grow(self, count: int) -> None:
        """Let the next `count` faces come."""
        for name, content, row in self.pictures[len(self.table) : len(self.table) + count]:
            (self.inbox / name).write_bytes(content)
            self.table.append(row)
        self.write_labels(self.table)

    def write_labels(self, rows: list[dict[str, Any]]) -> None:
        out = io.StringIO()
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        (self.inbox / "labels.csv").write_text(out.getvalue(), encoding="utf-8")

    def start(self, *arguments: str, program: str = "ops.retrain") -> subprocess.Popen:
        command = [
            sys.executable,
            "-m",
            program,
            *arguments,
            "--project",
            str(self.place),
            "--config",
            str(self.config),
        ]
        return subprocess.Popen(
            command,
            cwd=self.place,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, title: str, *arguments: str, program: str = "ops.retrain") -> int:
        """Run to the end, and tell."""
        start = time.monotonic()
        process = self.start(*arguments, program=program)
        said = process.communicate()[0]
        self.note(title, str(process.returncode), time.monotonic() - start)
        print(said, end="", flush=True)
        return process.returncode

    def note(self, title: str, codes: str, seconds: float) -> None:
        """Tell of a phase that is over, and keep it for the table."""
        self.phases.append((title, codes, seconds))
        print(f"\n== {title}: exit code {codes} after {seconds:.0f} s", flush=True)

    def drop_scores(self) -> None:
        """Remove the figures that are kept with the exams: the next run judges anew."""
        for kept in (self.place / ".retrain/exams").glob("*/scored"):
            shutil.rmtree(kept)

    def champion(self) -> dict[str, Any]:
        return json.loads((self.place / ".retrain/champion.json").read_text(encoding="utf-8"))

    def report(self) -> dict[str, Any]:
        """The newest run's."""
        newest = max(
            (self.place / ".retrain/runs").glob("*/report.json"), key=lambda file: file.stat().st_mtime
        )
        return json.loads(newest.read_text(encoding="utf-8"))


def draw(place: Path, faces: int) -> list[tuple[str, bytes, dict[str, Any]]]:
    """Drawn faces: name, JPEG, row of labels.csv without a split, which then follows from the name."""
    values = read(ROOT / "params.yaml")
    config = sources.config("avatars", values["sources"]).model_copy(
        update={"count": faces, "counterfactuals": 0, "calibration": 0}
    )
    place.mkdir()
    sources.find("avatars").Source(config).fetch(values["seed"], place, lambda *_: None)
    table = parquet.read(place / LABELS).drop(columns=["split", "identity"]).dropna(axis=1, how="all")
    with zipfile.ZipFile(place / "images.zip") as archive:
        return [(row["name"], archive.read(row["name"]), row) for row in table.to_dict("records")]


def kill_at(world: World, instants: int, length: float) -> None:
    """SIGKILL to the job alone, while it judges the champion's twin."""
    chance = random.Random(0)
    begun = time.monotonic()
    before = world.champion()
    for number in range(instants):
        world.drop_scores()
        job = world.start("--force")
        time.sleep(length * (number + chance.random()) / instants)
        os.kill(job.pid, signal.SIGKILL)
        job.communicate()
        if world.champion() != before:
            raise SystemExit(
                f"after {number + 1} kills champion.json says {world.champion()}, before {before}"
            )
    world.note(f"{instants} kills over {length:.0f} s", "-9", time.monotonic() - begun)
    print(f"{before['version']} serves on")


def story(world: World, faces: int, kills: int) -> bool:
    """The whole scenario; whether all of it went as it must."""
    good = []
    world.grow(faces * 3 // 4)
    good.append(world.run("first champion") == 0)
    first = world.champion()
    site = Site(world.place)
    of_first = site.edits()
    world.grow(faces)
    good += [world.run("new faces") == 0, site.follows(world.champion()["id"])]
    second = world.champion()
    of_second = site.edits()

    world.write_labels(shuffled(world.table))
    good.append(world.run("labels of other faces") in (10, 11))
    world.write_labels(world.table)

    command = world.values["challenger"]["command"]
    world.set({"challenger.command": [sys.executable, "-c", SPOIL]})
    good.append(world.run("NaN weights", "--force") == 11)
    world.set({"challenger.command": command})

    values = read(world.place / "params.yaml")
    budget = values["train"]["images"]
    world.params({"train.images": budget // 2}, "half the training")
    good.append(world.run("half the training") in (10, 11))
    world.params({"train.images": budget}, "all the training")

    world.params({"model": OTHER}, "another system")
    good += [world.run("another system") in (10, 11), world.report()["exam"] == first["exam"]]
    world.params({"model": values["model"]}, "the system again")
    good.append(world.champion() == second)

    for title, champion, edits in (("rollback", first, of_first), ("and back", second, of_second)):
        good += [
            world.run(title, champion["version"], program="ops.retrain.rollback") == 0,
            site.follows(champion["id"]),
            site.edits() == edits,
        ]
    good.append(world.run("nothing new") == 0)

    world.drop_scores()
    start = time.monotonic()
    jobs = [world.start("--force"), world.start("--force")]
    for job in jobs:
        job.communicate()
    length = time.monotonic() - start
    world.note("two jobs at once", " and ".join(str(job.returncode) for job in jobs), length)
    good.append(sorted(job.returncode for job in jobs)[-1] == 75)
    kill_at(world, kills, length)
    world.drop_scores()
    good.append(world.run("after the kills", "--force") in (0, 10))
    world.run("status", program="ops.retrain.status")
    site.close()
    print(f"\n== the site meanwhile: {dict(site.answers)}, {len(set(site.models))} models")
    return all(good) and set(site.answers) == {"good"}


def phase_table(phases: list[tuple[str, str, float]]) -> str:
    """The phases of a scenario as a Markdown table, with their sum."""
    total = sum(seconds for _, _, seconds in phases)
    rows = [*phases, ("all", "", total)]
    lines = ["| phase | exit code | seconds |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {title} | {codes} | {seconds:.1f} |" for title, codes, seconds in rows)])


def shuffled(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with labels that belong to other pictures; names and landmarks stay."""
    labels = [name for name in table[0] if name != "name" and not name.endswith(("_x", "_y"))]
    return [
        row | {name: other[name] for name in labels}
        for row, other in zip(table, table[11:] + table[:11], strict=True)
    ]


def pairs(texts: list[str]) -> dict[str, Any]:
    return {key: yaml.safe_load(value) for key, value in (text.split("=", 1) for text in texts)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("place", type=Path, help="folder to work in; removed first")
    parser.add_argument("--faces", type=int, default=8000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a key of params.yaml, such as train.images=8000",
    )
    parser.add_argument(
        "--gate",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a key of retrain.yaml, such as gates.spread=1.0",
    )
    chosen = parser.parse_args()
    place = chosen.place.resolve()
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(place / "project")], check=True)
    world = World(place, chosen.faces, pairs(chosen.gate))
    world.params(pairs(chosen.set), "params of the benchmark")
    good = story(world, chosen.faces, chosen.kills)
    print(f"\n{phase_table(world.phases)}")
    print("\nall as it must be" if good else "\nsomething is not as it must be")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
