"""What is drawn where params.yaml names none of the data's attributes."""

import pandas as pd

from faces.core.params import parse
from faces.viz import defaults
from faces.viz.config import Render


def test_the_best_predicted_come_first_and_those_without_a_figure_last():
    table = pd.DataFrame(
        {
            "estimator": ["a", "a", "a", "b"],
            "attribute": ["Hat", "human", "Smile", "Hat"],
            "auroc": [0.7, None, 0.9, 0.99],
        }
    )
    assert defaults.by_auroc(table, "a") == ("Smile", "Hat", "human")


def test_lists_that_name_nothing_known_are_replaced_and_others_are_not(params):
    show = parse(Render, params["render"], "render")
    kept, said = defaults.fitted(show, ["Smiling", "Male", "Eyeglasses"], ["Smiling"])
    assert said == () and kept == show
    own, said = defaults.fitted(show, ["smile", "Straße"], ["smile", "Straße"])
    assert said == (
        "render.attributes",
        "render.edits",
        "render.journeys",
        "render.interpolations",
        "render.asked",
    )
    assert own.attributes == ("smile?", "Straße?")
    assert [edit.name for edit in own.edits] == [
        "smile_added",
        "smile_removed",
        "Stra_e_added",
        "Stra_e_removed",
    ]
    assert own.edits[1].where == ("smile",) and own.edits[1].path == (0.0, -3.0)
    empty = show.model_copy(update={"attributes": ()})
    assert defaults.fitted(empty, ["smile"], ["smile"])[0].attributes == ()
