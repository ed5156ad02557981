"""The twelve systems' plan fits the pipeline, and the page says what the experiments found."""

import json

import numpy as np
import pytest
import yaml

from benchmarks import metric_truth
from faces import models
from ops.experiments import systems, systems_page
from ops.experiments.systems_page import Entry, Unfinished
from stages.check import check
from tests.helpers.dotted import changed

PLAN = systems.Plan.read()


def as_told(params: dict, changes: dict) -> dict:
    """`params` after `-S KEY=VALUE` for each change, each value as DVC reads it from the command line."""
    return changed(params, {key: yaml.safe_load(systems.written(value)) for key, value in changes.items()})


def test_the_plan_names_every_model_once():
    assert sorted(PLAN.systems) == models.names()


def test_every_run_has_the_editors_whose_metrics_are_ranked():
    assert set(metric_truth.ESTIMATORS) <= set(PLAN.common["vectors.estimators"])


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("kind", ["params", "gpu"])
def test_every_change_of_the_plan_is_a_good_one(name, kind, params):
    """What the stage of checks would say of it; a GPU's run has no common changes."""
    changes = getattr(PLAN.systems[name], kind) | ({} if kind == "gpu" else PLAN.common)
    values = as_told(params, {"model": name, **changes})
    assert "Smiling" in check(values)
    config = models.config(name, values["models"])
    small = {key: 4 for key in ("steps", "width", "maps") if key in type(config).model_fields}
    models.find(name).Model(config.model_copy(update=small), values["crop"]["size"])  # the size suits it


def test_values_are_written_as_the_command_line_wants_them():
    assert [systems.written(value) for value in (("a", "b"), 1, 0.001, "x", True)] == [
        "[a,b]",
        "1",
        "0.001",
        "x",
        "True",
    ]
    assert (
        systems_page.command("glow", {"crop.size": 32, "score.levels": (0.5, 0.8)})
        == "dvc exp run -S model=glow -S crop.size=32 -S score.levels=[0.5,0.8]"
    )


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone whose figures are those of its model, m; returns what writes its dvc.lock anew."""
    monkeypatch.setattr(systems, "CLONES", tmp_path)
    place = systems.clone_of("avatars", "vae")
    (place / "reports").mkdir(parents=True)
    distances = {"standard": 9.0, "gaussian": 4.0, "tempered": 5.0, "mixture": 3.0}
    (place / "reports/metrics.json").write_text(
        json.dumps({"generation": {name: {"frechet_inf_lite1": d} for name, d in distances.items()}})
    )
    systems.ledger_of(place).write_text(json.dumps({"model": "m", "seconds": 12.5, "device": "2 CPU cores"}))

    def lock(trained: str, evaluated: str) -> None:
        stages = {
            "train": {"outs": [{"path": "data/model", "md5": trained}]},
            "evaluate": {
                "deps": [{"path": "data/crops", "md5": "c"}, {"path": "data/model", "md5": evaluated}]
            },
        }
        (place / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}))

    return lock


def test_a_finished_system_has_figures_of_its_own_model(clone):
    clone("m", "m")
    entry = Entry.open("avatars", "vae", PLAN.systems["vae"])
    assert entry.best_prior == "mixture" and entry.seconds == 12.5


@pytest.mark.parametrize(("trained", "evaluated"), [("m", "old"), ("new", "new")])
def test_figures_of_another_model_are_refused(clone, trained, evaluated):
    """An evaluation that did not end leaves the figures that the last commit holds."""
    clone(trained, evaluated)
    with pytest.raises(
        Unfinished, match=r"vae is not finished: python -m ops\.experiments\.systems avatars vae"
    ):
        Entry.open("avatars", "vae", PLAN.systems["vae"])


def test_processor_time_adds_up_over_interruptions(tmp_path, monkeypatch):
    """A training killed after 5 s, ended after 7 more, and found done by a third run."""
    clone = tmp_path / "vae"
    clock = iter([0.0, 5.0, 10.0, 17.0, 20.0, 21.0])
    monkeypatch.setattr(systems, "children_seconds", lambda: next(clock))
    monkeypatch.setattr(systems, "locked", lambda *_: "m")
    outcomes = iter([SystemExit(143), None, None])

    def experiment(*_):
        if (outcome := next(outcomes)) is not None:
            raise outcome

    monkeypatch.setattr(systems, "experiment", experiment)
    with pytest.raises(SystemExit):
        systems.train(clone, "vae", {})
    for _ in range(2):
        systems.train(clone, "vae", {})
    assert json.loads(systems.ledger_of(clone).read_text()) == {
        "model": "m",
        "seconds": 12.0,
        "device": systems.device_name(),
    }


def test_the_page_says_what_it_lacks(clone, tmp_path, monkeypatch, capsys):
    """One system of ten is finished; without any there is no page."""
    clone("m", "m")
    monkeypatch.setattr(systems_page, "picture", lambda entry: np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr(systems_page, "figures", lambda entry: [entry.name, "1.5"])
    (systems.clone_of("avatars", "vae") / "data/raw").mkdir(parents=True)
    (systems.clone_of("avatars", "vae") / "data/raw/source.json").write_text(
        '{"description": "Drawn faces."}'
    )
    systems_page.main("avatars", str(tmp_path / "page.md"))
    text = (tmp_path / "page.md").read_text()
    others = ", ".join(name for name in PLAN.systems if name != "vae")
    assert (
        f"Not finished, and so without figures: {others}." in text
        and "| vae | 1.5 |" in text
        and "1 experiments" not in text
    )
    assert "![vae](page/vae.jpg)" in text and (tmp_path / "page/vae.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert "gallery: left out: glow is not finished" in capsys.readouterr().err
    clone("new", "m")
    with pytest.raises(
        SystemExit, match=r"no system is finished: python -m ops\.experiments\.systems avatars"
    ):
        systems_page.main("avatars", str(tmp_path / "other.md"))
