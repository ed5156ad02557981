"""Verdicts from figures."""

import math

import pytest

from ops.retrain import gates, noise, settings

GATES = settings.load().gates.model_copy(
    update={
        "factor": 3.0,
        "reject": 2.0,
        "floors": {"reconstruction.psnr": 20.0, "edits.primary.plain.leakage": 0.5},
        "tolerances": {"reconstruction.psnr": 0.5, "auroc.*": 0.04, "edits*.leakage": 0.05},
    }
)
SOUND = {"weights_finite": True, "leaked": 0, "parity": 1e-4, "latency": 5.0, "spread": 30.0, "trouble": None}


def figures(psnr=25.0, smiling=0.9, glasses=0.95, leakage=0.2):
    return {
        "reconstruction": {"psnr": psnr},
        "auroc": {"Smiling": smiling, "Eyeglasses": glasses, "mean": (smiling + glasses) / 2},
        "edits": {"primary": {"plain": {"leakage": leakage}}},
    }


def judge(challenger, champion=None, sanity=SOUND, measured=None, new_data=False):
    return gates.judge(
        figures() if champion is None else champion, challenger, sanity, GATES, measured or {}, new_data
    )


def test_nobody_to_beat():
    assert gates.judge(None, figures(), SOUND, GATES, {}, False).word == "PROMOTE"


@pytest.mark.parametrize(
    ("challenger", "new_data", "word", "reason"),
    [
        (figures(psnr=25.6), False, "PROMOTE", "reconstruction.psnr: better, 25 -> 25.6"),
        (figures(psnr=25.4), False, "HOLD", "no critical metric is better by more than chance"),
        (figures(psnr=24.6), True, "PROMOTE", "trained on new data"),
        (figures(psnr=24.4), True, "HOLD", "reconstruction.psnr: worse, 25 -> 24.4 (-0.6, tolerance 0.5)"),
        (figures(psnr=23.9), True, "REJECT", "reconstruction.psnr: much worse"),
        (figures(psnr=19.9), True, "REJECT", "reconstruction.psnr: 19.9, floor 20"),
        (figures(leakage=0.26), True, "HOLD", "edits.primary.plain.leakage: worse, 0.2 -> 0.26"),
        (figures(leakage=0.31), True, "REJECT", "edits.primary.plain.leakage: much worse"),
        (figures(leakage=0.51), True, "REJECT", "edits.primary.plain.leakage: 0.51, floor 0.5"),
        (figures(leakage=0.10), False, "PROMOTE", "edits.primary.plain.leakage: better"),
    ],
)
def test_verdict(challenger, new_data, word, reason):
    verdict = judge(challenger, new_data=new_data)
    assert verdict.word == word
    assert any(told.startswith(reason) for told in verdict.reasons), verdict.reasons


def test_one_lost_attribute_is_not_averaged_away():
    """The mean improves by 0.01 while one attribute loses 0.05."""
    verdict = judge(figures(smiling=0.85, glasses=1.02), new_data=True)
    assert verdict.word == "HOLD" and verdict.reasons[0].startswith("auroc.Smiling: worse")


def test_a_figure_that_went_missing_is_held():
    challenger = figures()
    del challenger["auroc"]["Smiling"]
    verdict = judge(challenger, new_data=True)
    assert verdict.word == "HOLD" and verdict.reasons == (
        "auroc.Smiling: the champion has 0.9, the challenger none",
    )


@pytest.mark.parametrize(
    ("same", "word", "reason"),
    [
        (0.85, "PROMOTE", "trained on new data"),
        (0.75, "HOLD", "witness.edits.primary.plain.same_person: worse, 0.9 -> 0.75"),
        (0.65, "REJECT", "witness.edits.primary.plain.same_person: much worse"),
        (None, "HOLD", "witness.edits.primary.plain.same_person: the champion has 0.9, the challenger none"),
    ],
)
def test_fewer_edits_that_stay_the_same_person_to_the_witness_count(same, word, reason):
    """By the tolerance of retrain.yaml, 0.1; where neither has seen the witness there is nothing to hold."""

    def witnessed(share):
        return figures() | {"witness": {"edits": {"primary": {"plain": {"same_person": share}}}}}

    shipped = settings.load().gates
    allowed = {**GATES.tolerances, "witness.edits.*.same_person": 0.1}
    assert shipped.tolerances["witness.edits.*.same_person"] == 0.1
    own = GATES.model_copy(update={"tolerances": allowed})
    verdict = gates.judge(witnessed(0.9), witnessed(same), SOUND, own, {}, True)
    assert verdict.word == word and verdict.reasons[0].startswith(reason), verdict.reasons
    unseen = figures() | {"witness": {}}
    assert gates.judge(unseen, unseen, SOUND, own, {}, True).reasons == (
        "trained on new data, and no critical metric is worse",
    )


def test_what_nobody_could_measure_is_said():
    verdict = gates.judge(
        None, figures(leakage=None), SOUND, GATES.model_copy(update={"floors": {}}), {}, False
    )
    assert verdict.word == "PROMOTE"
    assert verdict.reasons[1:] == ("not measured: edits.primary.plain.leakage",)


def test_nan_is_a_missing_figure():
    """NaN compares with nothing, so it must not pass as no worse."""
    assert judge(figures(smiling=math.nan), new_data=True).word == "HOLD"
    assert judge(figures(psnr=math.nan), new_data=True).word == "REJECT"


def test_a_floor_holds_for_a_figure_that_is_missing():
    challenger = figures()
    del challenger["reconstruction"]
    assert judge(challenger, new_data=True).word == "REJECT"


def test_without_a_tolerance_nobody_is_promoted():
    both = figures() | {"generation": {"gaussian": {"kernel_lite1": 3.0}}}
    verdict = judge(both, both, new_data=True)
    assert verdict.word == "HOLD" and "no tolerance is known" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"weights_finite": False}, "weights are not finite"),
        ({"leaked": 2}, "2 faces of the exam are among its train faces"),
        ({"parity": 3.0}, "parity: 3 levels"),
        ({"parity": None}, "parity: pictures are not finite"),
        ({"latency": 900.0}, "latency: 900 ms per face, at most 200"),
        ({"spread": 0.1}, "spread: samples differ by 0.10 levels"),
        (
            {"trouble": "decoder.onnx is missing", "parity": None, "latency": None, "spread": None},
            "the export cannot be used",
        ),
    ],
)
def test_a_broken_model_is_rejected_however_good_its_figures(broken, reason):
    verdict = judge(figures(psnr=40.0), sanity=SOUND | broken, new_data=True)
    assert verdict.word == "REJECT" and any(told.startswith(reason) for told in verdict.reasons), (
        verdict.reasons
    )


def test_tolerance_from_measured_noise():
    """Two runs of deviation s differ by sqrt(2) s; three of those are allowed."""
    assert gates.tolerance("auroc.Smiling", GATES, {"auroc.Smiling": 0.01}) == pytest.approx(
        3 * math.sqrt(2) * 0.01
    )
    assert gates.tolerance("auroc.Smiling", GATES, {}) == 0.04
    assert gates.tolerance("auroc.Smiling", GATES, {"auroc.Smiling": 0.0}) == gates.ROUNDING
    verdict = judge(figures(smiling=0.85), measured={"auroc.Smiling": 0.02}, new_data=True)
    assert verdict.word == "PROMOTE", "0.05 lies within 0.085"


def test_spread_over_seeds():
    """Own deviation or that of its kind, whichever is larger; descriptions and figures that one run lacks
    have none.
    """
    runs = [
        {
            "reconstruction.psnr": 20.0 + seed,
            "auroc.A": 0.9,
            "auroc.B": 0.8 + 0.1 * seed,
            "code.length": 8.0,
            "auroc.C": None if seed else 0.5,
        }
        for seed in (0, 1, 2)
    ]
    found = noise.spread(runs)
    assert found == pytest.approx({"reconstruction.psnr": 1.0, "auroc.A": 0.1 / math.sqrt(2), "auroc.B": 0.1})


def test_edits_are_compared_on_the_attributes_that_both_reach():
    """The challenger is as good on Smiling and reaches glasses besides, at a price: its mean is worse, its
    edits are not.
    """
    champion = figures() | {"edits_by_attribute": {"Smiling": {"leakage": 0.2}}}
    challenger = figures(leakage=0.3) | {
        "edits_by_attribute": {"Smiling": {"leakage": 0.2}, "Eyeglasses": {"leakage": 0.4}}
    }
    assert judge(challenger, champion, new_data=True).word == "PROMOTE"
    challenger["edits_by_attribute"]["Smiling"] = {"leakage": 0.26}
    verdict = judge(challenger, champion, new_data=True)
    assert verdict.word == "HOLD"
    assert verdict.reasons[0].startswith("edits.primary.plain.leakage: worse, 0.2 -> 0.26")
