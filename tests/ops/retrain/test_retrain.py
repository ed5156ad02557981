"""The retraining job on a miniature of the project: its story from the first champion to a rollback, and
whatever can go wrong on the way.
"""

import contextlib
import http.server
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import yaml
from starlette.testclient import TestClient

from facemorph.export import Export
from faces.core.files import write_json
from ops.retrain import __main__ as retrain
from ops.retrain import promotion, repository, status
from ops.retrain.gates import Verdict
from ops.retrain.ledger import Ledger
from ops.retrain.lock import Busy, exclusive
from ops.retrain.process import CommandFailed, Runner
from ops.retrain.repository import Repository
from ops.retrain.settings import load
from tests.conftest import ROOT
from tests.helpers import standin
from tests.helpers.projects import BUILD, Inbox, Project, wait
from web import server
from web.shelf import Shelf

pytestmark = pytest.mark.slow
JUDGED = (0, 10, 11)  # where the verdict does not matter


def champion(project: Project) -> str:
    """The version that serves, after a proof that the website can load what the pointer names."""
    pointer = json.loads(project.ledger.pointer.read_text(encoding="utf-8"))
    assert Export(project.ledger.home / pointer["export"]).id == pointer["id"]
    return pointer["version"]


def report(project: Project) -> dict:
    """The newest report."""
    newest = max(project.ledger.runs.glob("*/report.json"), key=lambda path: path.stat().st_mtime_ns)
    return json.loads(newest.read_text(encoding="utf-8"))


class Visitors:
    """Someone who uses the website all the time: every answer must be good."""

    def __init__(self, place: Path, pointer: Path) -> None:
        place.mkdir()
        (place / "index.html").write_text("<!doctype html>", encoding="utf-8")
        self.app = server.create(Shelf(pointer), place)
        self.answers = []
        self.models = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.visit)

    def visit(self) -> None:
        with TestClient(self.app, base_url="http://127.0.0.1:8000") as client:
            while not self.over.is_set():
                face = client.post("/api/sample", json={"seed": 7})
                edited = client.post(
                    "/api/edit",
                    json={
                        "code": face.json()["code"],
                        "strengths": {"Smiling": 1.0},
                        "model": face.json()["model"],
                    },
                )
                self.answers += [face.status_code, edited.status_code]
                self.models.append(face.json()["model"])
                self.status = client.get("/api/status").json()
                time.sleep(0.05)

    def __enter__(self) -> "Visitors":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


def test_the_whole_story(tmp_path):
    """A first champion; new faces and a second one while the site is in use; three sabotaged challengers; a
    rollback.
    """
    inbox = Inbox(tmp_path / "inbox")
    inbox.add(80, 1, "a")
    project = Project(tmp_path / "project", dvc=True, **{"source.folder": str(inbox.place)})
    assert project.run() == (0, "PROMOTE v0.0.1\n  nobody serves yet, and every floor is reached\n")
    first = json.loads(project.ledger.pointer.read_text())

    with Visitors(tmp_path / "page", project.ledger.pointer) as visitors:
        code, said = project.run()
        assert code == 0 and said.startswith("NOTHING NEW")

        inbox.add(40, 2, "b")
        inbox.spoil()
        code, said = project.run()
        assert (code, champion(project)) == (0, "v0.0.2"), said
        told = report(project)
        assert told["data"]["new"] == 40 and set(told["data"]["refused"]) == {"half.png", "twice.png"}
        assert told["drift"]["faces"] == 40 and told["champion"] == "v0.0.1"
        second = json.loads(project.ledger.pointer.read_text())
        assert wait(lambda: second["id"] in visitors.models, 15), "the site did not follow"
        assert visitors.status["version"] == "v0.0.2" and visitors.status["late"] is False

        inbox.write(inbox.shuffled())
        code, said = project.run()
        assert code == 11 and "auroc.Wearing_Hat: much worse" in said, said
        inbox.write(inbox.rows)

        project.set({"challenger.command": [*BUILD, "nan"]})
        code, said = project.run("--force")
        assert code == 11 and "weights are not finite" in said, said
        project.set({"challenger.command": BUILD})

        project.params(length=6)
        code, said = project.run()
        assert code == 10 and "reconstruction.psnr: worse" in said, said
        assert champion(project) == "v0.0.2"

        assert project.run("v0.0.1", program="ops.retrain.rollback")[0] == 0
        assert champion(project) == "v0.0.1"
        seen = len(visitors.models)
        assert wait(lambda: first["id"] in visitors.models[seen:], 15), "the site did not follow the rollback"
        code, said = project.run()
        assert code == 0 and said.startswith("NOTHING NEW"), (
            "what was rolled back does not come again by itself"
        )
    assert set(visitors.answers) == {200} and len(visitors.answers) > 100

    assert project.git("tag").split() == [
        "face-model#prod#1",
        "face-model#prod#2",
        "face-model#prod#3",
        "face-model@v0.0.1",
        "face-model@v0.0.2",
    ]
    gto = [Path(sys.executable).with_name("gto"), "show", "--json"]
    shown = json.loads(
        subprocess.run(gto, cwd=project.place, capture_output=True, text=True, check=True).stdout
    )
    assert shown["face-model"]["version"] == "v0.0.2" and shown["face-model"]["stage"] == {"prod": "v0.0.1"}
    assert project.git("rev-parse", "retrained") == project.git("rev-parse", "face-model@v0.0.2^{commit}")
    assert (
        project.git("status", "--porcelain") == ""
        and project.git("rev-parse", "--abbrev-ref", "HEAD") == "main"
    ), "the working copy is untouched"
    snapshot = second["snapshot"]
    assert f"snapshots/{snapshot}.zip" in project.git("show", "face-model@v0.0.2:params.yaml")
    assert "push: false" in project.git("show", f"face-model@v0.0.2:snapshots/{snapshot}.zip.dvc")
    code, said = project.run(program="ops.retrain.status")
    assert code == 0 and "serving       v0.0.1" in said and "before it v0.0.2" in said


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A project in which one champion serves. Tests go on from whatever the one before left, as a real
    project does.
    """
    project = Project(tmp_path_factory.mktemp("grown") / "project")
    assert project.run()[0] == 0
    return project


def test_two_jobs_at_once(grown):
    grown.params(length=9, seed=4)
    jobs = [grown.start(), grown.start()]
    said = [job.communicate(timeout=600)[0] for job in jobs]
    assert sorted(job.returncode for job in jobs)[-1] == 75, said
    assert sum("busy: " in text for text in said) == 1


def test_a_job_waits_where_it_is_told_to(grown):
    grown.set({"lock.wait": 100.0})
    jobs = [grown.start("--force"), grown.start()]
    codes = [job.wait(timeout=600) for job in jobs]
    grown.set({"lock.wait": 0.0})
    assert 75 not in codes


def test_killed_at_twenty_instants(grown):
    """SIGKILL to the job alone, at instants spread over a whole run: at each, a proven model serves;
    afterwards one run sets all right.
    """
    grown.params(seed=5)
    start = time.monotonic()
    assert grown.run("--force")[0] in JUDGED
    length = time.monotonic() - start
    draw = random.Random(0)
    served = set()
    for number in range(20):
        grown.params(drawn=60 + number)  # each run has something to judge
        job = grown.start()
        time.sleep(length * (number + draw.random()) / 20)
        job.kill()
        job.wait()
        served.add(champion(grown))
    code, said = grown.run()
    if code == 75:  # the guard is still ending what the last job had started
        assert wait(lambda: grown.run()[0] != 75, 20)
        code, said = grown.run("--force")
    assert code in JUDGED, said
    assert not grown.ledger.journal.exists() and not list(grown.ledger.releases.glob(".*"))
    tags = set(grown.git("tag", "--list", "face-model@*").split())
    assert champion(grown) in {tag.split("@")[1] for tag in tags}
    assert served <= {tag.split("@")[1] for tag in tags}, "whatever served was registered"
    assert grown.git("fsck", "--connectivity-only") == "" and grown.git("status", "--porcelain") == ""


def test_nothing_outlives_a_killed_job(grown, tmp_path):
    """The training's own children die with the job, so that the next run does not meet them."""
    mark = tmp_path / "alive"
    sleeper = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {sleeper!r}])"
    grown.set({"challenger.command": [sys.executable, "-c", script]})
    job = grown.start("--force", start_new_session=True)
    assert wait(lambda: mark.exists() and mark.read_text(), 30)
    with pytest.raises(Busy), exclusive(grown.ledger.lock, 0.0):
        pass
    os.killpg(job.pid, signal.SIGKILL)  # the whole group, as a terminal or a scheduler would
    job.wait()
    assert wait(lambda: not Path(f"/proc/{mark.read_text()}").exists(), 10)
    with exclusive(grown.ledger.lock, 5.0):
        pass
    grown.set({"challenger.command": BUILD})


@pytest.mark.parametrize(
    ("said_by_dvc", "code"),
    [
        ("'score': failed to run: python -m stages.score data/crops, exited with 3", 11),
        ("'score': failed to run: x, exited with 1", 1),
    ],
)
def test_what_a_stage_finds_of_no_use_is_rejected_for_good(grown, said_by_dvc, code):
    """And is not tried again, as what failed is."""
    champions = champion(grown)
    script = (
        "import sys; print('error: no attribute can be judged'); "
        f"print({'ERROR: failed to reproduce ' + said_by_dvc!r}); sys.exit(255)"
    )
    grown.params(seed=100 + code)
    grown.set({"challenger.command": [sys.executable, "-c", script]})
    ended, said = grown.run()
    assert (
        ended == code
        and said.startswith("REJECT" if code == 11 else "FAILED")
        and "error: no attribute can be judged" in said
    ), said
    assert grown.run()[0] == (0 if code == 11 else 1)
    assert champion(grown) == champions
    grown.set({"challenger.command": BUILD})


@pytest.mark.parametrize(
    ("rest", "code", "word"),
    [
        ("", 0, "PROMOTE"),
        ("print('error: a disk is full'); sys.exit(1)", 1, "FAILED"),
        (
            "print('error: nothing to judge'); "
            "print(\"ERROR: failed to reproduce 'score': failed to run: x, exited with 3\"); sys.exit(255)",
            11,
            "REJECT",
        ),
    ],
)
def test_scores_and_sheets_are_made_for_what_is_promoted(tmp_path, rest, code, word):
    """Before it is committed, with which they go. Where that fails nothing serves; where a stage finds the
    challenger useless it is rejected for good.
    """
    project = Project(tmp_path / "project")
    made = (
        "import os, sys; os.makedirs('reports', exist_ok=True); open('reports/metrics.json', 'w').write('7')"
    )
    project.set({"challenger.rest": [sys.executable, "-c", f"{made}\n{rest}"]})
    ended, said = project.run()
    assert (ended, said.split()[0]) == (code, word), said
    assert project.ledger.pointer.exists() == (code == 0)
    if code == 0:
        assert project.git("show", "retrained:reports/metrics.json") == "7"
        project.set({"challenger.command": [*BUILD, "nan"], "challenger.rest": ["false"]})
        assert project.run("--force")[0] == 11
        return
    project.set({"challenger.rest": []})
    again, said = project.run()
    assert (again, said.split()[0]) == ((0, "PROMOTE") if code == 1 else (0, "NOTHING")), said


@pytest.mark.parametrize("room", [0, 400_000])
def test_a_full_disk(tmp_path, room):
    """With `room` bytes left the run fails, the champion serves on, and the next run recovers alone."""
    project = Project(tmp_path / "project")
    project.ledger.home.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", project.ledger.home],
        capture_output=True,
        check=False,
    ).returncode:
        pytest.skip("a small disk cannot be mounted here; it needs root")
    try:
        assert project.run()[0] == 0
        project.params(seed=6, length=10)
        filler = project.ledger.home / "filler"
        with filler.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        os.truncate(filler, filler.stat().st_size - room)
        code, said = project.run()
        assert code == 1 and "No space left on device" in said, said
        assert champion(project) == "v0.0.1"
        filler.unlink()
        code, said = project.run()
        assert code in JUDGED, said
    finally:
        subprocess.run(["umount", "--lazy", project.ledger.home], check=True)


def test_a_lock_of_the_dead_is_no_lock(grown):
    """The file of a job that is gone, with the number of a process that lives: the kernel knows better."""
    grown.ledger.lock.write_text(f"{os.getpid()}\n", encoding="utf-8")
    (grown.ledger.work / ".git/index.lock").touch()
    code, said = grown.run("--force")
    assert code in JUDGED, said


def test_a_broken_metric_promotes_nobody(grown):
    before = champion(grown)
    exam = grown.place / "ops/retrain/exam.py"
    text = exam.read_text(encoding="utf-8")
    exam.write_text(text.replace('"psnr": psnr', '"psnr": float("nan")'), encoding="utf-8")
    grown.commit("the exam is broken")
    grown.params(length=11)
    code, said = grown.run("--force")
    assert code == 11 and "reconstruction.psnr: none, floor 12" in said, said
    exam.write_text(text, encoding="utf-8")
    grown.commit("the exam is mended")
    assert champion(grown) == before


def test_a_champion_that_newer_code_cannot_read_serves_on(grown):
    """A part of the model has another name since: the website needs the export alone, and a person decides
    whether the challenger takes over.
    """
    before = champion(grown)
    weights = grown.ledger.release(before) / "model/model.npz"
    kept = weights.read_bytes()
    with np.load(weights) as file:
        mean = file["mean"]
        axes = file["axes"]
    np.savez(weights, mean=mean, old_axes=axes)
    grown.params(length=10)
    code, said = grown.run("--force")
    assert (
        code == 10 and "the champion cannot be scored by the challenger's code" in said and "axes" in said
    ), said
    assert champion(grown) == before
    weights.write_bytes(kept)


def test_a_clone_that_is_ruined_is_made_anew(grown):
    """And Git, which looks for a repository around a folder that is none, does not lay hands on the project's
    working copy.
    """
    (grown.ledger.work / ".git/HEAD").write_text("nonsense", encoding="utf-8")
    (grown.place / "mine.txt").write_text("not committed yet", encoding="utf-8")
    assert grown.run("--force")[0] in JUDGED
    assert (
        grown.git("rev-parse", "--abbrev-ref", "HEAD") == "main"
        and grown.git("status", "--porcelain") == "?? mine.txt"
    )
    (grown.place / "mine.txt").unlink()


def test_a_branch_in_use_is_not_touched(grown):
    grown.set({"git.branch": "main"})
    code, said = grown.run("--force")
    grown.set({"git.branch": "retrained"})
    assert code == 1 and "branch main is checked out in a working copy; set git.branch" in said


def test_who_is_told(grown):
    """A webhook hears of every failure; one that is deaf changes nothing."""
    heard = []

    class Ear(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Ear) as ear:
        threading.Thread(target=ear.serve_forever, daemon=True).start()
        post = grown.place.with_name("post.json")
        grown.set(
            {
                "challenger.command": ["false"],
                "notify.webhook": f"http://127.0.0.1:{ear.server_port}/",
                "notify.command": [
                    sys.executable,
                    "-c",
                    f"import sys; open({str(post)!r}, 'w').write(sys.stdin.read())",
                ],
            }
        )
        code, said = grown.run("--force")
        ear.shutdown()
    assert code == 1 and "false: exit code 1: it said nothing" in said
    assert heard == [json.loads(post.read_text(encoding="utf-8"))] and heard[0]["verdict"] == "FAILED"
    assert grown.run(program="ops.retrain.status")[0] == 1
    code, said = grown.run("--force")
    assert code == 1 and "not done: webhook: " in said, "nobody listens any more"
    grown.set({"challenger.command": BUILD, "notify.webhook": "", "notify.command": []})


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "fatal: unable to access 'https://x/': Could not resolve host: x\n",
            "fatal: unable to access 'https://x/': Could not resolve host: x",
        ),
        (
            "remote: GH006: Protected branch.\nTo x\n ! [remote rejected] a -> b (protected)\n"
            "error: failed to push some refs to 'x'\n",
            "remote: GH006: Protected branch.; ! [remote rejected] a -> b (protected)",
        ),
        (
            "fatal: detected dubious ownership in repository at '/x'\n"
            "To add an exception, call:\n\n\tgit config --add safe.directory /x\n",
            "fatal: detected dubious ownership in repository at '/x'; git config --add safe.directory /x",
        ),
        ("something else\nat last\n", "at last"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_reason_is_gits_own(said, expected):
    assert repository.reason(said) == expected


def test_signing_hooks_and_a_missing_identity_do_not_stop_a_commit(tmp_path, monkeypatch):
    """A person's own settings: every commit signed by a key that is not there, hooks that refuse, no name."""
    place = tmp_path / "project"
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("pre-commit", "commit-msg", "post-commit"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        (hooks / name).chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text(
        "[commit]\ngpgSign = true\n[tag]\ngpgSign = true\nforceSignAnnotated = true\n"
        f"[user]\nsigningKey = nobody\nuseConfigOnly = true\n[core]\nhooksPath = {hooks}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    subprocess.run(["git", "init", "-q", str(place)], check=True)
    (place / "file").write_text("1", encoding="utf-8")
    with (tmp_path / "lock").open("w") as lock:
        repo = repository.Repository(place, lock.fileno(), ("job", "job@example.com"))
        repo.git("add", "file")
        repo.git("commit", "-q", "-m", "by the job")
        repo.git("tag", "-a", "v1", "-m", "of the job")
        assert repo.git("log", "--format=%an <%ae> %G?") == "job <job@example.com> N"
        assert repo.git("tag", "--list") == "v1"


def test_remotes_get_cache_branch_and_tags_and_may_refuse(tmp_path):
    """DVC's remote gets the snapshot, Git's the branch with the tags; a branch that has moved takes the
    promotion back.
    """
    inbox = Inbox(tmp_path / "inbox")
    remote = tmp_path / "remote"
    store = tmp_path / "store"
    inbox.add(70, 1, "a")
    changes = {
        "git.remote": "origin",
        "git.branch": "main",
        "challenger.base": "origin/main",
        "source.folder": str(inbox.place),
        "source.push": True,
    }
    project = Project(tmp_path / "project", dvc=True, **changes)
    config = project.place / ".dvc/config"
    text = config.read_text(encoding="utf-8").replace("[core]\n", "[core]\n    remote = store\n", 1)
    config.write_text(f"{text}['remote \"store\"']\n    url = {store}\n", encoding="utf-8")
    project.commit("a place for the cache")
    project.git("init", "-q", "--bare", str(remote))
    project.git("remote", "add", "origin", str(remote))
    project.git("push", "-q", "origin", "main")
    code, said = project.run()
    assert code == 0, said
    (pointer,) = (
        name
        for name in project.git("ls-tree", "-r", "--name-only", "origin/main", "snapshots/").split()
        if name.endswith(".dvc")
    )
    digest = yaml.safe_load(project.git("show", f"origin/main:{pointer}"))["outs"][0]["md5"]
    assert (store / "files/md5" / digest[:2] / digest[2:]).is_file()
    there = subprocess.run(
        ["git", "log", "--format=%s", "main"], cwd=remote, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    assert there[0] == "Promote face-model v0.0.1"

    hook = remote / "hooks/pre-receive"
    hook.write_text(
        "#!/bin/sh\necho 'GH006: Protected branch update failed.' >&2\nexit 1\n", encoding="utf-8"
    )
    hook.chmod(0o755)
    project.set({"source.folder": "", "challenger.base": "HEAD"})
    project.params(length=12, drawn=80)
    code, said = project.run()
    assert code == 1, said
    assert "origin does not let this job push v0.0.2 to branch main: remote: GH006: Protected branch" in said
    assert "has moved" not in said
    assert champion(project) == "v0.0.1" and project.git("tag", "--list", "*v0.0.2*") == ""
    hook.unlink()
    assert project.run()[0] == 0 and champion(project) == "v0.0.2"


def mortal(function, ticks):
    """`function`, before and after which the process may die."""

    def called(*arguments, **options):
        ticks()
        result = function(*arguments, **options)
        ticks()
        return result

    return called


def promote_and_die(job, clone, at):
    """In a child process: a promotion that ends, as if by SIGKILL, at its effect number `at`. Returns whether
    it came to its end before.
    """
    child = os.fork()
    if child == 0:
        count = 0

        def tick():
            nonlocal count
            count += 1
            if count == at:
                os._exit(9)

        for owner, name in (
            (os, "replace"),
            (subprocess, "run"),
            (os, "mkdir"),
            (os, "unlink"),
            (os, "sync"),
            (Path, "unlink"),
        ):
            setattr(owner, name, mortal(getattr(owner, name), tick))
        job.promote(clone, job.project.resolve("HEAD"), None, f"key {at}")
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_death_at_every_step_of_a_promotion(grown, monkeypatch):
    """Before the decision is written down, nothing has happened; after it, the next run finishes. In between,
    what serves is always whole.
    """
    monkeypatch.setattr(promotion, "smoke", lambda *_: None)
    settings = load(grown.config)
    points = 0
    finished = False
    with exclusive(grown.ledger.lock, 10.0) as lock:
        project = Repository(grown.place, lock, ("test", "test@example.com"))
        clone = Repository(grown.ledger.work, lock, project.author)
        while not finished:
            points += 1
            before = champion(grown)
            run = grown.ledger.runs / f"point-{points}"
            run.mkdir()
            about = {
                "exam": json.loads(grown.ledger.pointer.read_text())["exam"],
                "primary": "mean_difference",
                "editor": "directions",
            }
            job = retrain.Job(
                settings, grown.ledger, project, run, False, about, Verdict("PROMOTE", ("for the test",))
            )
            finished = promote_and_die(job, clone, points)
            decided = (
                json.loads(grown.ledger.journal.read_text()) if grown.ledger.journal.exists() else {}
            ).get("version")
            assert champion(grown) in {before, decided} or finished or decided is None
            promotion.carry_out(grown.ledger, project, clone.folder, settings, Runner(run / "log.txt", lock))
            grown.ledger.tidy(settings.keep)
            now = champion(grown)
            assert now == decided if decided else now >= before
            assert project.find(f"refs/tags/face-model@{now}") == project.find("refs/heads/retrained")
            assert not grown.ledger.journal.exists() and not list(grown.ledger.releases.glob(".*"))
    assert points > 40, f"only {points} points were tried"


def test_an_export_that_does_not_work_is_not_served(grown, monkeypatch):
    """The smoke test stands between the verdict and the pointer."""
    before = champion(grown)

    def fails(*_):
        raise CommandFailed("python -m ops.retrain.smoke: exit code 1: error: an edit changes no pixel", 1)

    monkeypatch.setattr(promotion, "smoke", fails)
    with exclusive(grown.ledger.lock, 10.0) as lock:
        project = Repository(grown.place, lock, ("test", "test@example.com"))
        run = grown.ledger.runs / "smoke"
        run.mkdir()
        job = retrain.Job(
            load(grown.config),
            grown.ledger,
            project,
            run,
            False,
            {"exam": "e", "primary": "p", "editor": "directions"},
            Verdict("PROMOTE", ()),
        )
        job.promote(Repository(grown.ledger.work, lock, project.author), project.resolve("HEAD"), None, "key")
    assert job.verdict.word == "REJECT" and "an edit changes no pixel" in job.outcome["reasons"][0]
    assert champion(grown) == before and not grown.ledger.journal.exists()


def test_status_tells_monitoring(tmp_path, capsys):
    """Nobody serves; then a job that fell asleep; then one that fails."""
    where = ["--project", str(tmp_path), "--config", str(ROOT / "ops/retrain/retrain.yaml")]
    assert status.main(where) == 2 and "trouble       nobody serves yet" in capsys.readouterr().out
    ledger = Ledger(tmp_path / ".retrain")
    standin.write_export(ledger.release("v0.0.1") / "export", *standin.faces(40, 1), standin.ATTRIBUTES, 4, 1)
    identity = promotion.identity(ledger.release("v0.0.1") / "export")
    write_json(ledger.release("v0.0.1") / "release.json", {"version": "v0.0.1", "id": identity})
    ledger.point("v0.0.1", "2026-01-01T00:00:00+00:00")
    ledger.note(
        checked="2026-01-01T00:00:00+00:00",
        last="HOLD",
        reasons=[],
        succeeded="2026-01-01T00:00:00+00:00",
        due="2026-01-08T00:00:00+00:00",
    )
    assert status.state(ledger, datetime(2026, 1, 7, tzinfo=UTC))["code"] == 0
    late = status.state(ledger, datetime(2026, 1, 9, tzinfo=UTC))
    assert late["code"] == 2 and late["troubles"] == ["the next check was due at 2026-01-08T00:00:00+00:00"]
    ledger.note(last="FAILED", reasons=["no disk"])
    assert status.state(ledger, datetime(2026, 1, 7, tzinfo=UTC))["code"] == 1
    (ledger.release("v0.0.1") / "export/bundle.json").write_text("{}", encoding="utf-8")
    assert status.state(ledger, datetime(2026, 1, 7, tzinfo=UTC))["code"] == 2, (
        "what serves is not what the pointer says"
    )


def test_what_is_tidied(tmp_path):
    """The last releases stay, and whoever serves or served before, however old; drafts of the dead go."""
    ledger = Ledger(tmp_path)
    for number in range(1, 7):
        write_json(
            ledger.release(f"v0.0.{number}") / "release.json",
            {"version": f"v0.0.{number}", "exam": f"e{number}", "id": "x"},
        )
        (ledger.exams / f"e{number}").mkdir(parents=True)
    (ledger.releases / ".v0.0.7.draft").mkdir()
    for version in ("v0.0.1", "v0.0.2"):
        ledger.point(version, "2026-01-01T00:00:00+00:00")
    ledger.tidy(2)
    assert ledger.versions() == ["v0.0.1", "v0.0.2", "v0.0.5", "v0.0.6"]
    assert sorted(path.name for path in ledger.exams.iterdir()) == ["e1", "e2", "e5", "e6"]
    assert not list(ledger.releases.glob(".*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"period": -1.0}, "period = -1.0; input should be greater than 0"),
        ({"gates": None}, "gates = None; "),
        ({"hone": ".x"}, "hone is not a known key, did you mean 'home'?"),
    ],
)
def test_settings_that_are_wrong(tmp_path, capsys, change, message):
    file = tmp_path / "retrain.yaml"
    values = yaml.safe_load((ROOT / "ops/retrain/retrain.yaml").read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump(values | change), encoding="utf-8")
    assert retrain.main(["--project", str(tmp_path), "--config", str(file)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {file}: {message}")
    assert list(tmp_path.iterdir()) == [file], "nothing was touched"
