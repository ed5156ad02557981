"""Runs handed to MLflow: what is sent, in which portions, and that nothing is sent twice. A real store is
used where MLflow is installed.
"""

import sys
from types import ModuleType, SimpleNamespace

import pandas as pd
import pytest

from ops.experiments import mlflow
from ops.experiments.revisions import Revision

HISTORY = pd.DataFrame({"images": [100, 200], "train_loss": [2.5, 1.5], "valid_psnr": [20.0, float("nan")]})
REVISION = Revision(
    name="HEAD",
    commit="abc123",
    params={"model": "vae", "models.vae.betas": [0.9, 0.99], "note": "x" * 7000},
    metrics={"auroc.mean": 0.9, "code.length": 16, "edits.partial.plain.strength": None},
    files=None,
)


class Client:
    """What of MLflow's client is used, keeping what it is given."""

    def __init__(self, tracking_uri: str) -> None:
        self.runs = []
        self.batches = []
        self.ended = []
        self.uri = tracking_uri

    def get_experiment_by_name(self, name):
        return SimpleNamespace(experiment_id="7") if name == "facemorph" else None

    def search_runs(self, experiments, filter_string, max_results):
        return [run for run in self.ended if f"'{run}'" in filter_string]

    def create_run(self, experiment, run_name, tags):
        self.runs.append((experiment, run_name, tags))
        return SimpleNamespace(info=SimpleNamespace(run_id="run-1"))

    def log_batch(self, run, params=(), metrics=()):
        self.batches.append((list(params), list(metrics)))

    def set_terminated(self, run):
        self.ended.append(self.runs[-1][2][mlflow.COMMIT])


@pytest.fixture
def client(monkeypatch) -> Client:
    only = Client("http://tracker")
    entities = ModuleType("mlflow.entities")
    tracking = ModuleType("mlflow.tracking")
    entities.Metric = lambda key, value, timestamp, step: (key, value, step)
    entities.Param = lambda key, value: (key, value)
    tracking.MlflowClient = lambda tracking_uri: only
    for name, module in (
        ("mlflow", ModuleType("mlflow")),
        ("mlflow.entities", entities),
        ("mlflow.tracking", tracking),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    return only


def test_curves_are_counted_in_images_and_what_is_no_number_is_left_out():
    run = mlflow.gather(REVISION, HISTORY)
    assert run.figures == [
        ("history.train_loss", 2.5, 100),
        ("history.valid_psnr", 20.0, 100),
        ("history.train_loss", 1.5, 200),
        ("auroc.mean", 0.9, 200),
        ("code.length", 16.0, 200),
    ]
    assert run.params["models.vae.betas"] == "[0.9, 0.99]"
    assert len(run.params["note"]) == mlflow.LONGEST


def test_a_commit_is_sent_once_in_portions(client):
    run = mlflow.Run(
        "HEAD", "abc123", {f"p{i}": "1" for i in range(250)}, [("loss", 1.0, i) for i in range(1001)]
    )
    assert mlflow.send(run, "http://tracker", "facemorph") == "run-1"
    assert client.runs == [("7", "HEAD", {mlflow.COMMIT: "abc123"})]
    assert [(len(params), len(metrics)) for params, metrics in client.batches] == [
        (100, 0),
        (100, 0),
        (50, 0),
        (0, 1000),
        (0, 1),
    ]
    assert mlflow.send(run, "http://tracker", "facemorph") is None
    assert len(client.runs) == 1


def test_without_the_client_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow.entities", None)
    with pytest.raises(mlflow.NoClient, match="pip install mlflow-skinny"):
        mlflow.send(mlflow.gather(REVISION, HISTORY), "http://tracker", "facemorph")


@pytest.mark.parametrize(
    ("arguments", "word"), [([], "where to"), (["--to", "http://tracker", "workspace"], "git commit")]
)
def test_what_cannot_be_tracked_is_refused(monkeypatch, capsys, arguments, word):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(SystemExit):
        mlflow.main(arguments)
    assert word in capsys.readouterr().err


def test_a_real_store_gives_back_what_was_sent(tmp_path):
    pytest.importorskip("mlflow", reason="MLflow is an extra: pip install mlflow")
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    uri = f"sqlite:///{tmp_path}/runs.db"
    there = mlflow.send(mlflow.gather(REVISION, HISTORY), uri, "facemorph")
    assert mlflow.send(mlflow.gather(REVISION, HISTORY), uri, "facemorph") is None
    found = MlflowClient(tracking_uri=uri)
    run = found.get_run(there)
    assert (run.data.metrics["auroc.mean"], run.data.params["model"], run.info.status) == (
        0.9,
        "vae",
        "FINISHED",
    )
    assert [(point.step, point.value) for point in found.get_metric_history(there, "history.train_loss")] == [
        (100, 2.5),
        (200, 1.5),
    ]
