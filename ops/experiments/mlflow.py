"""python -m ops.experiments.mlflow --to URI [REVISION ...]: send finished runs to an MLflow server.

in    params.yaml, reports/metrics.json, reports/plots/history.csv of each revision, from Git and from DVC's
      cache
out   one MLflow run for each: params, figures, and the training curves over the images seen

The client is an extra (pip install mlflow-skinny) and imported only here. URI is a server's address, or
sqlite:///FILE where the whole of mlflow is installed; MLFLOW_TRACKING_URI does as well. A revision is a
commit or an experiment's name, HEAD where none is given; one that is there already is left alone.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from ops.experiments.revisions import WORKSPACE, BadRevision, Revision, read, text

# how many of them MLflow takes in one request
PARAMS = 100
FIGURES = 1000
LONGEST = 6000  # characters of a param's value
HISTORY = "reports/plots/history.csv"
COMMIT = "facemorph.commit"  # the tag by which a run is found again


class NoClient(RuntimeError):
    """MLflow's client is not installed. The message says how to have it."""


@dataclass(frozen=True)
class Run:
    """What is handed over: params as text, and figures as (key, value, images seen)."""

    name: str
    commit: str | None
    params: dict[str, str]
    figures: list[tuple[str, float, int]]


def gather(revision: Revision, history: pd.DataFrame) -> Run:
    """The run of a revision. `history` has a column `images` and one for each curve; a figure that is not a
    finite number is left out.
    """
    last = int(history["images"].iloc[-1])
    figures = [
        (f"history.{curve}", row[curve], int(row["images"]))
        for row in history.to_dict("records")
        for curve in row
        if curve != "images"
    ]
    figures += [(key, value, last) for key, value in revision.metrics.items()]
    return Run(
        name=revision.name,
        commit=revision.commit,
        params={key: str(value)[:LONGEST] for key, value in revision.params.items()},
        figures=[
            (key, float(value), step)
            for key, value, step in figures
            if isinstance(value, (int, float)) and math.isfinite(value)
        ],
    )


def chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def send(run: Run, uri: str, experiment: str) -> str | None:
    """Write `run` to the MLflow experiment; returns its id there, None where its commit was there already.
    Raises NoClient, and MLflow's own errors.
    """
    try:
        from mlflow.entities import Metric, Param  # noqa: PLC0415 (an extra)
        from mlflow.tracking import MlflowClient  # noqa: PLC0415
    except ImportError:
        raise NoClient(
            "mlflow-skinny is not installed: pip install mlflow-skinny (or mlflow, for a store of your own)"
        ) from None
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    place = found.experiment_id if found else client.create_experiment(experiment)
    if client.search_runs(
        [place],
        filter_string=f"tags.`{COMMIT}` = '{run.commit}' and attributes.status = 'FINISHED'",
        max_results=1,
    ):
        return None
    now = int(time.time() * 1000)
    there = client.create_run(place, run_name=run.name, tags={COMMIT: run.commit}).info.run_id
    for part in chunks(list(run.params.items()), PARAMS):
        client.log_batch(there, params=[Param(key, value) for key, value in part])
    for part in chunks(run.figures, FIGURES):
        client.log_batch(there, metrics=[Metric(key, value, now, step) for key, value, step in part])
    client.set_terminated(there)
    return there


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ops.experiments.mlflow", description="Hand finished runs to an MLflow server."
    )
    parser.add_argument(
        "revisions", nargs="*", default=["HEAD"], metavar="REVISION", help="a commit or an experiment's name"
    )
    parser.add_argument(
        "--to",
        default=os.environ.get("MLFLOW_TRACKING_URI"),
        metavar="URI",
        help="where; MLFLOW_TRACKING_URI does as well",
    )
    parser.add_argument(
        "--experiment", default="facemorph", help="the experiment of MLflow's to which the runs belong"
    )
    chosen = parser.parse_args(arguments)
    if not chosen.to:
        parser.error("where to? --to http://127.0.0.1:5000, or MLFLOW_TRACKING_URI")
    if WORKSPACE in chosen.revisions:
        parser.error(
            "a run is tracked by its commit, and the workspace has none: git commit, or dvc exp save"
        )
    try:
        for name in chosen.revisions:
            revision = read(Path.cwd(), name)
            run = gather(revision, pd.read_csv(StringIO(text(revision.files, name, HISTORY))))
            there = send(run, chosen.to, chosen.experiment)
            print(
                f"{name}: {f'run {there}' if there else 'there already'}, {len(run.params)} params, "
                f"{len(run.figures)} figures"
            )
    except (BadRevision, NoClient) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
