"""Charts of tables in which little or nothing is scored: drawn without a warning."""

import pandas as pd
import pytest
from PIL import Image

from faces.viz import charts

pytestmark = pytest.mark.filterwarnings("error")
STEPS = {"flips": [0.2, 0.9], "leakage": [0.1, 0.4]}


@pytest.mark.parametrize("kinds", [(), ("detail",), ("plain",), ("plain", "detail")])
def test_the_cost_of_edits_of_which_some_or_all_are_not_scored(tmp_path, kinds, monkeypatch):
    """The names of the editors stand once, on the first panel that has lines; nowhere where none has."""
    legends = []
    monkeypatch.setattr(
        charts, "save", lambda figure, path: legends.extend(bool(axes.get_legend()) for axes in figure.axes)
    )
    tables = [pd.DataFrame({"estimator": "means", "kind": kind, **STEPS}) for kind in kinds]
    columns = ["estimator", "kind", "flips", "leakage"]
    table = pd.concat(tables) if tables else pd.DataFrame(columns=columns)
    charts.trade(table, "leakage", "leakage", tmp_path / "trade.png")
    assert (
        legends
        == {
            (): [False, False],
            ("detail",): [False, True],
            ("plain",): [True, False],
            ("plain", "detail"): [True, False],
        }[kinds]
    )


def test_charts_without_any_row(tmp_path):
    columns = ["attribute", "estimator", "kind", "psnr_inside", "value", "low", "high", "tested", "held"]
    empty = pd.DataFrame(columns=columns)
    charts.counterfactuals(empty, "means", tmp_path / "counterfactuals.png")
    charts.guarantee(empty, 0.9, tmp_path / "guarantee.png")
    charts.distances(pd.DataFrame(columns=["set", "fd", "fd_low", "fd_high"]), "fd", tmp_path / "fd.png")
    for name in ("counterfactuals", "guarantee", "fd"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width > 100
