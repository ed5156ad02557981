"""Kendall's tau of planted metrics, and cells that are measured once."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import metric_truth


def cells(rng: np.random.Generator) -> pd.DataFrame:
    """Six editors at five strengths on eight attributes, with a true error drawn at random."""
    lines = [
        {"editor": f"e{editor}", "attribute": f"a{attribute}", "strength": float(strength)}
        for attribute in range(8)
        for editor in range(6)
        for strength in range(1, 6)
    ]
    table = pd.DataFrame(lines).assign(faces=32, error=rng.random(len(lines)))
    table = table.assign(**{name: rng.random(len(lines)) for name in metric_truth.METRICS})
    return table.assign(flips=table["strength"] / 5)


def test_a_metric_that_is_the_truth_has_tau_one_and_its_reverse_minus_one(rng):
    table = cells(rng)
    table["perceptual"] = table["error"] ** 3  # less is better
    table["reversibility"] = table["error"]  # where more is said to be better
    found = metric_truth.taus(table, rng).set_index(["ranking", "metric"])
    for ranking in ("strengths", "editors"):
        assert found.loc[(ranking, "perceptual"), ["tau", "low", "high"]].tolist() == pytest.approx([1, 1, 1])
        assert found.loc[(ranking, "reversibility"), "tau"] == pytest.approx(-1)
        chance = found.loc[(ranking, "minimality")]
        assert chance["low"] < 0 < chance["high"] and abs(chance["tau"]) < 0.4
    assert found.loc[("strengths", "perceptual"), "attributes"] == 8
    assert ("strengths", "auroc") not in found.index  # the same at all strengths of an editor
    text = metric_truth.markdown(found.reset_index().assign(run="drawn"))
    assert "| `perceptual` | 1.00 (1.00 to 1.00) | 1.00 (1.00 to 1.00) |" in text


def test_many_runs_stand_side_by_side_the_best_metric_first():
    lines = [("editors", "kid", "a", 0.2), ("editors", "fd", "a", 0.4), ("editors", "fd", "b", 0.6)]
    found = pd.DataFrame(lines, columns=["ranking", "metric", "run", "tau"])
    assert metric_truth.by_run(found) == (
        "| editors | a | b | mean |\n|---|---|---|---|\n"
        "| `fd` | 0.40 | 0.60 | 0.50 |\n| `kid` | 0.20 |  | 0.20 |\n"
    )


def test_editors_are_compared_at_the_least_strength_that_flips_enough(rng):
    table = cells(rng)
    table.loc[table["editor"] == "e5", "flips"] = 0.5  # never enough
    found = metric_truth.at_equal_effect(table.sample(frac=1, random_state=1))
    assert set(found["strength"]) == {5.0}
    assert set(found["editor"]) == {"e0", "e1", "e2", "e3", "e4"} and len(found) == 40
    table["flips"] = 1.0
    assert set(metric_truth.at_equal_effect(table)["strength"]) == {1.0}


def test_metrics_that_are_missing_or_constant_have_no_tau(rng):
    table = cells(rng).assign(kid=np.nan, fd=3.0)
    found = metric_truth.taus(table, rng)
    assert not {"kid", "fd"} & set(found["metric"])


def test_cells_are_measured_once(rng, tmp_path, monkeypatch):
    asked = []

    class Run:
        def cells(self, most):
            yield from (("line", "Smiling"), ("flow", "Smiling"))

    def measured(run, name, attribute, faces):
        asked.append((name, attribute, faces))
        return [{"editor": name, "attribute": attribute, "strength": 1.0, "error": 0.1}]

    monkeypatch.setattr(metric_truth, "measured", measured)
    first = metric_truth.finished(Run(), tmp_path, 8, None)
    again = metric_truth.finished(Run(), tmp_path, 8, None)
    pd.testing.assert_frame_equal(first, again)
    assert asked == [("line", "Smiling", 8), ("flow", "Smiling", 8)]
    metric_truth.finished(Run(), tmp_path, 16, None)
    assert len(asked) == 4
    assert not np.isnan(first["error"]).any()
