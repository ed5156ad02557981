"""python -m ops.retrain.noise: standard deviation of each figure over training seeds, for the tolerances of
the gates. Retrains the champion with other seeds.

noise.json in the job's home: per metric the standard deviation over seeds, of the exam that champions and
challengers sit. Since seeds are few, the deviations of all keys of one pattern
(ops/experiments/metric_table.py) are pooled, and a key gets the larger of its own and the pooled one.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from faces.core.files import write_json
from ops.experiments import metric_table
from ops.params_file import set_params
from ops.retrain import challenger
from ops.retrain.ledger import Ledger
from ops.retrain.lock import Busy
from ops.retrain.process import CommandFailed, Runner
from ops.retrain.repository import GitError, Repository
from ops.retrain.settings import FILE, Settings, SettingsError, load
from ops.retrain.start import alone


class NoExam(RuntimeError):
    """There is no exam yet."""


def spread(runs: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """Per key that every run has, the larger of its standard deviation (n - 1) and the root mean square of
    those of its pattern.
    """
    keys = [key for key in runs[0] if all(run.get(key) is not None for run in runs)]
    own = {
        key: float(np.std([run[key] for run in runs], ddof=1))
        for key in keys
        if (metric := metric_table.of(key)) and metric.better
    }
    kin = defaultdict(list)
    for key, deviation in own.items():
        kin[metric_table.of(key).pattern].append(deviation)
    return {
        key: max(deviation, float(np.sqrt(np.mean(np.square(kin[metric_table.of(key).pattern])))))
        for key, deviation in own.items()
    }


def measure(settings: Settings, ledger: Ledger, project: Repository) -> dict[str, float]:
    """Train and score once per seed; writes noise.json. Raises NoExam, CommandFailed, GitError."""
    champion = ledger.champion()
    if champion is None or not (ledger.exams / champion["exam"]).is_dir():
        raise NoExam(
            f"{ledger.home}: nobody serves yet, so there is no exam; run python -m ops.retrain first"
        )
    run = ledger.new_run()
    exam = ledger.exams / champion["exam"]
    runner = Runner(run / "log.txt", project.lock)
    figures = []
    clone = challenger.prepare(project, ledger.work, champion["revision"]).folder
    challenger.share_cache(project.folder, clone)
    checkout = ["dvc", "checkout", "--quiet", "--force", "--allow-missing"]  # snapshot, faces, crops
    runner.run(checkout, clone, settings.exam.timeout)
    params = (clone / "params.yaml").read_text(encoding="utf-8")
    for seed in settings.noise.seeds:
        set_params(clone / "params.yaml", {"seed": seed})
        runner.run(settings.noise.command, clone, settings.challenger.timeout)
        (clone / "params.yaml").write_text(params, encoding="utf-8")  # the exam itself is the same for all
        out = run / f"seed_{seed}.json"
        sits = challenger.sits(champion, exam, clone / "data", out)
        runner.run([sys.executable, "-m", "ops.retrain.exam", "score", *sits], clone, settings.exam.timeout)
        figures.append(dict(metric_table.flatten(json.loads(out.read_text(encoding="utf-8")))))
        print(f"seed {seed}: {out}", flush=True)
    found = {key: round(value, 6) for key, value in spread(figures).items()}
    write_json(
        ledger.noise,
        {
            "exam": exam.name,
            "revision": champion["revision"],
            "seeds": list(settings.noise.seeds),
            "spread": found,
        },
    )
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ops.retrain.noise", description="Measure what chance alone does to each figure."
    )
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="root of the repository")
    parser.add_argument("--config", type=Path, default=FILE)
    chosen = parser.parse_args(arguments)
    try:
        settings = load(chosen.config)
        with alone(chosen.project, settings) as (ledger, project):
            found = measure(settings, ledger, project)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Busy as error:
        print(f"busy: {error}", file=sys.stderr)
        return 75
    except (NoExam, CommandFailed, GitError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for key, value in found.items():
        if metric_table.of(key).critical:
            print(f"{value:10.4f}  {key}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
