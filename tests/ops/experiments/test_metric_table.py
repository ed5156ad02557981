"""Every figure of the project's own metrics has a direction, or is known to have none."""

import json

import pytest

from ops.experiments import metric_table
from tests.conftest import ROOT


def test_every_figure_is_known():
    figures = dict(
        metric_table.flatten(json.loads((ROOT / "reports/metrics.json").read_text(encoding="utf-8")))
    )
    assert len(figures) > 200
    assert [key for key in figures if metric_table.of(key) is None] == []


@pytest.mark.parametrize(
    ("key", "before", "after", "gain"),
    [
        ("reconstruction.psnr", 29.0, 29.5, 0.5),
        ("auroc.Smiling", 0.9, 0.8, -0.1),
        ("edits.partial.plain.leakage", 0.2, 0.15, 0.05),
        ("edits_classifier_2.partial.plain.leakage", 0.2, 0.25, -0.05),
        ("edits.random.plain.leakage", 0.2, 0.1, None),
        ("edits.partial.plain.strength", 3.0, 2.0, None),
        ("edits.oracle.plain.leakage", 0.2, 0.1, None),
        ("edits.floor.plain.confounded", 0.2, 0.1, None),
        ("edits.partial.plain.leakage_low", 0.2, 0.1, None),
        ("edits.partial.plain.dependency_max", 0.2, 0.1, 0.1),
        ("counterfactual_joint.flow.Smiling_and_Eyeglasses.error_reduction", 0.2, 0.3, 0.1),
        ("counterfactual_joint.oracle.mean.error_reduction", 0.2, 0.3, None),
        ("generation.diffusion.recall_lite1", 0.2, 0.3, pytest.approx(0.1)),
        ("generation.diffusion.variance", 0.6, 1.0, None),
        ("generation.mixture.kernel_lite0_high", 20.0, 10.0, None),
        ("generation.mixture.frechet_lite0", 20.0, 10.0, 10.0),
        ("nobody.knows", 1.0, 2.0, None),
    ],
)
def test_gain(key, before, after, gain):
    found = metric_table.gain(key, before, after)
    assert found is None if gain is None else found == pytest.approx(gain)


def test_means_are_not_critical_where_their_parts_are():
    """An average may hide one attribute that got lost."""
    assert metric_table.of("auroc.Smiling").critical and not metric_table.of("auroc.mean").critical


def test_no_pattern_is_shadowed():
    """The first pattern that matches speaks, so none may stand behind a wider one."""
    for place, metric in enumerate(metric_table.METRICS):
        assert metric_table.of(metric.pattern.replace("*", "x")) is metric, (
            f"{metric.pattern} ({place}) never speaks"
        )
