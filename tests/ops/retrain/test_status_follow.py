"""The log of a run, followed while it is written."""

import os
import subprocess
import sys
import threading
import time

import pytest

from ops.retrain import status
from ops.retrain.ledger import Ledger

PARTS = (b"$ dvc repro\n", b"halb: \xc3", b"\xa4\n", b"done\n")


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / ".retrain")


def run_of(ledger, process):
    folder = ledger.runs / f"20260101T000000Z-{process}"
    folder.mkdir(parents=True)
    return folder


def followed(ledger):
    said = []
    status.follow(ledger, said.append, 0.01)
    return "".join(said)


def gone():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_is_written_meanwhile_is_shown_until_the_run_is_over(ledger):
    """A letter that is written in two halves stays a letter."""
    run = run_of(ledger, os.getpid())

    def write():
        for part in PARTS:
            with (run / "log.txt").open("ab") as file:
                file.write(part)
            time.sleep(0.1)
        (run / "report.json").write_text("{}", encoding="utf-8")

    writer = threading.Thread(target=write)
    writer.start()
    said = []
    status.follow(ledger, said.append, 0.01)
    writer.join()
    assert "".join(said) == "$ dvc repro\nhalb: \u00e4\ndone\n"
    assert sum(bool(text) for text in said) >= 3  # as it came, not at the end


def test_a_run_with_its_report_is_over_though_its_process_lives(ledger):
    run = run_of(ledger, os.getpid())
    assert not status.over(run)
    (run / "log.txt").write_text("all of it\n", encoding="utf-8")
    (run / "report.json").write_text("{}", encoding="utf-8")
    assert followed(ledger) == "all of it\n"


def test_a_killed_run_is_over_and_one_without_a_log_says_nothing(ledger):
    assert followed(ledger) == ""
    run = run_of(ledger, gone())
    assert status.over(run) and followed(ledger) == ""
    (run / "log.txt").write_bytes(b"cut off \xc3")
    assert followed(ledger) == "cut off \ufffd"
