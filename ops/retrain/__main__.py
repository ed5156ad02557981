"""python -m ops.retrain: retraining job: take in new data, train a challenger, promote it only if it is no
worse. Safe to start at any time, even twice.

Configured by ops/retrain/retrain.yaml. Its state is in the folder `home` (ops/retrain/ledger.py). Exit codes,
for schedulers and monitoring:

    0    promoted, or nothing new to judge
    10   HOLD: a person should look at the report; the champion serves on
    11   REJECT: the challenger is worse or broken; the champion serves on
    1    the run failed; the champion serves on, the next run starts over where this one stopped
    2    retrain.yaml or the command line is wrong
    75   another run is at work (sysexits.h: try again later)
"""

import argparse
import hashlib
import json
import shutil
import sys
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from faces.core.params import ParamsError, read
from faces.data.annotations import TABLE
from faces.ingest import forgotten
from ops.retrain import challenger, gates, promotion, run_report, snapshots
from ops.retrain.gates import Verdict
from ops.retrain.ledger import Ledger, later, now, read_json
from ops.retrain.lock import Busy
from ops.retrain.notify import notify
from ops.retrain.process import CommandFailed, Runner
from ops.retrain.repository import GitError, Repository, next_version
from ops.retrain.settings import FILE, Settings, SettingsError, load
from ops.retrain.snapshots import Snapshot
from ops.retrain.start import alone

CODES = {"PROMOTE": 0, "HOLD": 10, "REJECT": 11, "FAILED": 1}
WRONG = 2
BUSY = 75


class Failure(RuntimeError):
    """The run cannot go on. The message is one line for people."""


@dataclass
class Job:
    """One run under the lock. `outcome` gathers what the report will say."""

    settings: Settings
    ledger: Ledger
    project: Repository
    run: Path
    new_exam: bool
    outcome: dict[str, Any]
    verdict: Verdict | None = None

    @property
    def runner(self) -> Runner:
        return Runner(self.run / "log.txt", self.project.lock)

    @property
    def source(self) -> Path:
        return self.project.folder / Path(self.settings.source.folder).expanduser()

    def look(self, force: bool) -> tuple[str, Snapshot | None, str] | None:
        """What there is to judge: base commit, snapshot, key. None where it was judged before; the reason is
        in `outcome`. Raises Failure.
        """
        settings = self.settings
        if any(self.ledger.forgetting.glob("[!.]*/plan.json")):
            raise Failure("faces are half forgotten; run `python -m ops.forget` first")
        free = shutil.disk_usage(self.ledger.home).free / 2**30
        if free < settings.challenger.free:
            raise Failure(
                f"{self.ledger.home}: {free:.1f} GiB of disk are free, "
                f"challenger.free asks for {settings.challenger.free:g}"
            )
        if settings.source.refresh:
            self.runner.run(settings.source.refresh, self.project.folder, settings.challenger.timeout)
        snapshot = None
        if settings.source.folder:
            snapshot = snapshots.take(
                self.source,
                settings.source.settle,
                now()[:10],
                self.ledger.snapshots,
                forgotten.read(self.project.folder / forgotten.FILE),
            )
            if snapshot is None:
                self.outcome["reasons"] = [
                    f"{self.source}/labels.csv is still being written; the next run takes it up"
                ]
                return None
        if settings.git.remote:
            self.project.git("fetch", "--quiet", "--tags", settings.git.remote)
        elif self.project.checked_out(settings.git.branch):
            raise Failure(
                f"branch {settings.git.branch} is checked out in a working copy; "
                "set git.branch in retrain.yaml to another"
            )
        base = self.project.resolve(settings.challenger.base)
        judged_by = json.dumps(settings.gates.model_dump(mode="json"), sort_keys=True)
        key = challenger.key(self.project, base, snapshot, judged_by)
        last = read_json(self.ledger.status) or {}
        if key in last.get("judged", {}) and not force:
            self.outcome["reasons"] = [
                "nothing new: this code, these params and these data were judged before "
                f"({last['judged'][key]})"
            ]
            return None
        return base, snapshot, key

    def train(self, base: str, snapshot: Snapshot | None) -> Repository:
        """The clone, with a finished challenger in it. Raises CommandFailed, SnapshotError, GitError."""
        clone = challenger.prepare(self.project, self.ledger.work, base)
        challenger.share_cache(self.project.folder, clone.folder)
        if snapshot is not None:
            snapshots.remember(snapshot, self.ledger.snapshots)
            challenger.bring_in(snapshot, self.source, clone.folder, self.runner, self.settings.source.push)
        self.runner.run(self.settings.challenger.command, clone.folder, self.settings.challenger.timeout)
        return clone

    def part(self, clone: Path, *command: str) -> None:
        """Run one part of the exam, with the challenger's code."""
        self.runner.run([sys.executable, "-m", *command], clone, self.settings.exam.timeout)

    def find_exam(self, clone: Path, champion: dict[str, Any] | None) -> str:
        """The name of the exam: the champion's, or a new one made of the challenger's test split."""
        if (
            champion is not None
            and not self.new_exam
            and (self.ledger.exams / champion["exam"] / "crops" / TABLE).is_file()
        ):
            return champion["exam"]
        table = hashlib.sha256((clone / "data/crops" / TABLE).read_bytes()).hexdigest()[:12]
        name = f"{now()[:10]}-{table}"
        if not (self.ledger.exams / name).is_dir():
            faces = str(self.settings.exam.train_faces)
            self.part(
                clone,
                "ops.retrain.exam",
                "build",
                "data/crops",
                "data/classifier",
                faces,
                str(self.ledger.exams / name),
            )
        return name

    def examine(self, clone: Path, snapshot: Snapshot | None) -> Verdict:
        """Score champion and challenger on the exam, and decide. Raises CommandFailed where a part that must
        work does not.
        """
        champion = self.ledger.champion()
        figures = {}
        exam = self.ledger.exams / self.find_exam(clone, champion)
        params = read(clone / "params.yaml")
        about = {"primary": params["vectors"]["primary"], "editor": params["edits"]["primary"]}
        self.outcome |= {"exam": exam.name, **about}
        sitting = {"challenger": (clone / "data", about)}
        if champion is not None:
            sitting["champion"] = (self.ledger.release(champion["version"]), champion)
        try:
            self.part(
                clone,
                "ops.retrain.sanity",
                *map(str, (exam, "data/crops", "data/model", "data/export", self.run)),
            )
            sanity = json.loads((self.run / "sanity.json").read_text(encoding="utf-8"))
        except CommandFailed as error:
            return Verdict("REJECT", (f"it cannot be inspected: {error}",))
        broken = gates.unsound(sanity, self.settings.gates)
        for name, (folder, made) in sitting.items():
            out = self.run / f"{name}.json"
            try:
                self.part(clone, "ops.retrain.exam", "score", *challenger.sits(made, exam, folder, out))
            except CommandFailed as error:
                if name == "challenger":
                    return Verdict("REJECT", (*broken, f"it cannot be scored: {error}"), sanity=sanity)
                return Verdict(
                    "HOLD",
                    (f"the champion cannot be scored by the challenger's code: {error}",),
                    sanity=sanity,
                )
            figures[name] = json.loads(out.read_text(encoding="utf-8"))
        changed = snapshot is not None and champion is not None and champion["snapshot"] != snapshot.name
        new_data = changed or bool(self.ledger.haunted())
        if changed:
            self.outcome["drift"] = self.measure_drift(clone, champion, snapshot)
        noise = (read_json(self.ledger.noise) or {}).get("spread", {})
        return gates.judge(
            figures.get("champion"), figures["challenger"], sanity, self.settings.gates, noise, new_data
        )

    def measure_drift(
        self, clone: Path, champion: dict[str, Any], snapshot: Snapshot
    ) -> dict[str, Any] | None:
        """How the new pictures differ from those that the champion knew; None where none is new."""
        names = snapshot.added(snapshots.pictures_of(champion["snapshot"], self.ledger.snapshots))
        if not names:
            return None
        new = self.run / "new.json"
        out = self.run / "drift.json"
        new.write_text(json.dumps(names), encoding="utf-8")
        self.part(
            clone,
            "ops.retrain.drift",
            "data/crops",
            str(self.ledger.release(champion["version"]) / "model"),
            str(new),
            str(out),
        )
        return json.loads(out.read_text(encoding="utf-8"))

    def promote(self, clone: Repository, base: str, snapshot: Snapshot | None, key: str) -> None:
        """Make what the exam did not need, commit in the clone, write down that the challenger is to serve,
        and carry it out.
        """
        settings = self.settings
        project = self.project
        if settings.challenger.rest:
            try:
                self.runner.run(settings.challenger.rest, clone.folder, settings.challenger.timeout)
            except CommandFailed as error:
                if not error.unfit:
                    raise
                self.reject(str(error))
                return
        version = next_version(project.git("tag", "--list", f"{settings.model}@v*").split(), settings.model)
        where = f"refs/remotes/{settings.git.remote}/" if settings.git.remote else "refs/heads/"
        tip = project.find(f"{where}{settings.git.branch}")
        parents = [base] if tip is None or tip == base else [tip, base]
        message = f"Promote {settings.model} {version}\n\n" + "\n".join(self.verdict.reasons)
        revision = challenger.commit(clone, parents, message)
        about = {
            "revision": revision,
            "exam": self.outcome["exam"],
            "snapshot": snapshot.name if snapshot else None,
            "primary": self.outcome["primary"],
            "editor": self.outcome["editor"],
            "run": self.run.name,
        }
        entry = {"version": version, "revision": revision, "tip": tip, "key": key, "run": self.run.name}
        try:
            promotion.decide(self.ledger, clone.folder, self.runner, entry, about)
        except CommandFailed as error:
            self.reject(f"its export does not work: {error}")
            return
        promotion.carry_out(self.ledger, project, clone.folder, settings, self.runner, proven=True)
        self.outcome |= {"version": version, "revision": revision}

    def reject(self, reason: str) -> None:
        """Take back the verdict of the gates."""
        self.verdict = replace(self.verdict, word="REJECT", reasons=(reason,))
        self.outcome |= {"verdict": "REJECT", "reasons": [reason]}

    def attempt(self, force: bool) -> None:
        """The whole run; the verdict, or why there is none, is in `outcome`. Raises what stopped it."""
        if (
            finished := promotion.carry_out(
                self.ledger, self.project, self.ledger.work, self.settings, self.runner
            )
        ) is not None:
            self.outcome["finished"] = (
                f"the promotion of {finished['version']}, which an earlier run had decided"
            )
        self.ledger.tidy(self.settings.keep)
        found = self.look(force)
        if found is None:
            return
        base, snapshot, key = found
        champion = self.ledger.champion()
        self.outcome |= {
            "base": base,
            "snapshot": snapshot.name if snapshot else None,
            "champion": champion["version"] if champion else None,
        }
        if snapshot is not None:
            known = snapshots.pictures_of(champion["snapshot"] if champion else None, self.ledger.snapshots)
            self.outcome["data"] = {
                "pictures": len(snapshot.pictures),
                "new": len(snapshot.added(known)),
                "refused": snapshot.refused,
            }
        try:
            clone = self.train(base, snapshot)
            self.verdict = self.examine(clone.folder, snapshot)
        except CommandFailed as error:
            if not error.unfit:
                raise
            self.verdict = Verdict("REJECT", (str(error),))
        self.outcome |= {"verdict": self.verdict.word, "reasons": list(self.verdict.reasons)}
        if self.verdict.word == "PROMOTE":
            self.promote(clone, base, snapshot, key)
        self.ledger.judged(key, self.verdict.word)


def work(settings: Settings, ledger: Ledger, project: Repository, force: bool, new_exam: bool) -> int:
    """One run from start to end, under the lock. In any case notifications are sent and the champion serves
    on. Returns the exit code.
    """
    start = time.monotonic()
    try:
        run = ledger.new_run()
    except OSError as error:  # a full disk: there is no place for a report
        print(f"FAILED\n  {error}", flush=True)
        notify(settings.notify, {"model": settings.model, "verdict": "FAILED", "reasons": [str(error)]})
        return CODES["FAILED"]
    job = Job(settings, ledger, project, run, new_exam, {"verdict": "NOTHING NEW", "reasons": []})
    try:
        job.attempt(force)
    except (
        Failure,
        CommandFailed,
        GitError,
        ParamsError,
        snapshots.SnapshotError,
        promotion.Abandoned,
        OSError,
    ) as error:
        job.outcome |= {"verdict": "FAILED", "reasons": [str(error)]}
    except Exception as error:  # a fault of ours: it is told like any other failure
        job.outcome |= {
            "verdict": "FAILED",
            "reasons": [f"{type(error).__name__}: {error}"],
            "traceback": traceback.format_exc(),
        }
    job.outcome |= {"run": job.run.name, "seconds": round(time.monotonic() - start, 1)}
    return close(job)


def close(job: Job) -> int:
    """Write report and status, and notify; each is tried even if the others fail, as on a full disk. Returns
    the exit code.
    """
    word = job.outcome["verdict"]
    ledger = job.ledger
    settings = job.settings
    moment = now()
    status = {"checked": moment, "last": word, "reasons": job.outcome["reasons"], "run": job.run.name}
    if word != "FAILED":
        status |= {"succeeded": moment, "due": later(moment, settings.period)}
    troubles = []
    for task in (lambda: run_report.write(job.run, job.outcome, job.verdict), lambda: ledger.note(**status)):
        try:
            task()
        except OSError as error:
            troubles.append(str(error))
    if word == "NOTHING NEW":
        shutil.rmtree(job.run, ignore_errors=True)
    else:
        event = {
            name: job.outcome.get(name)
            for name in ("verdict", "reasons", "version", "champion", "run", "seconds")
        }
        troubles += notify(
            settings.notify, event | {"model": settings.model, "report": str(job.run / "report.md")}
        )
    print(word, job.outcome.get("version") or "", flush=True)
    for line in (
        *filter(None, [job.outcome.get("finished")]),
        *job.outcome["reasons"],
        *(f"not done: {trouble}" for trouble in troubles),
    ):
        print(f"  {line}", flush=True)
    return CODES.get(word, 0)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ops.retrain", description="Train a challenger, judge it, let the better model serve."
    )
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="root of the repository")
    parser.add_argument("--config", type=Path, default=FILE)
    parser.add_argument("--force", action="store_true", help="judge again what was judged before")
    parser.add_argument(
        "--new-exam",
        action="store_true",
        help="compare on the challenger's test split, which becomes the exam if it is promoted",
    )
    chosen = parser.parse_args(arguments)
    try:
        settings = load(chosen.config)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG
    try:
        with alone(chosen.project, settings) as (ledger, project):
            return work(settings, ledger, project, chosen.force, chosen.new_exam)
    except Busy as error:
        print(f"busy: {error}", file=sys.stderr)
        return BUSY


if __name__ == "__main__":
    sys.exit(main())
