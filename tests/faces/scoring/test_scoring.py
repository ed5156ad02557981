"""Scoring in a world where all is known: a code number is the brightness of a stripe, and a label says
whether it is bright.
"""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from faces.classifier import AttributeClassifier, Ensemble
from faces.core.params import parse
from faces.edits.detail import Detail
from faces.edits.directions import Directions
from faces.edits.editor import LinearEditor
from faces.edits.exclusions import Exclusions
from faces.metrics.changes import TRUTH
from faces.scoring import counterfactuals, edit_curves, joint
from faces.scoring.context import Codec, Context, FeatureNetwork, Sample, Scales, Score
from faces.scoring.counterfactuals import Counterfactuals, Joint
from faces.scoring.editors import Oracle, ScoredEditor, SigmaEditor, SwitchEditor
from faces.scoring.identity import identity_scales
from faces.scoring.reconstruction import reconstruction

NAMES = ("Top", "Middle", "Bottom", "Back")
FACES = 60
FREE = Exclusions.none(4)


class Stripes(nn.Module):
    """Code (B, 4) in [-1, 1] <-> images (B, 3, 16, 16): four stripes of four rows. Decoding adds `error` to
    every code number.
    """

    def __init__(self, error: float = 0.0) -> None:
        super().__init__()
        self.error = error

    def encode(self, images: Tensor) -> Tensor:
        return images[:, 0, ::4, 0]

    def decode(self, codes: Tensor) -> Tensor:
        stripes = (codes + self.error).repeat_interleave(4, 1)
        return stripes[:, None, :, None].expand(-1, 3, 16, 16).contiguous()


class Reader(AttributeClassifier):
    """Reads the stripes; beyond .8 the first is too bright to be told, so that edits of it overshoot."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.head = nn.Linear(4, 4)
        self.head.weight = nn.Parameter(torch.eye(4), requires_grad=False)

    def log_odds(self, images: Tensor) -> tuple[Tensor, Tensor]:
        stripes = images[:, 0, ::4, 0]
        found = stripes.clone()
        found[:, 0] = torch.where(stripes[:, 0].abs() > 0.8, -stripes[:, 0], stripes[:, 0])
        return found, stripes


class Pixels:
    """A feature network that pools nothing."""

    def pooled(self, images: Tensor, side: int) -> Tensor:
        return images[:, :, ::4, 0].flatten(1)


class Mover(ScoredEditor):
    """Moves a stripe by `strength` towards its other label, and the next one by `along` of that."""

    attributes = NAMES

    def __init__(self, strengths: tuple[float, ...], along: float = 0.0) -> None:
        self.strengths = strengths
        self.along = along

    def edited(self, codes: np.ndarray, labels: np.ndarray, attribute: str, strength: float) -> np.ndarray:
        place = NAMES.index(attribute)
        codes = codes.copy()
        codes[:, place] -= strength * labels[:, place]
        codes[:, (place + 1) % 4] -= self.along * strength * labels[:, place]
        return codes

    def returned(self, codes: np.ndarray, labels: np.ndarray, attribute: str, strength: float) -> np.ndarray:
        return self.edited(codes, labels, attribute, -strength)


class Data:
    """What the scoring reads of Crops."""

    attributes = NAMES

    def __init__(self, codes: np.ndarray, identity: np.ndarray | None = None) -> None:
        self.table = pd.DataFrame({"identity": np.full(len(codes), -1) if identity is None else identity})
        self.labels = np.where(codes > 0, 1, -1).astype(np.int8)
        self.images = painted(codes)

    def rows(self, split: str) -> np.ndarray:
        return np.arange(len(self.labels))

    def column(self, name: str) -> pd.Series:
        return self.table[name]


def painted(codes: np.ndarray) -> np.ndarray:
    """The stripes as pixels (N, 16, 16, 3)."""
    images = Stripes().decode(torch.from_numpy(codes)).permute(0, 2, 3, 1)
    return ((images + 1) * 127.5).round().byte().numpy()


@pytest.fixture
def codes(rng) -> np.ndarray:
    """Each stripe is .3 to .5 away from the threshold."""
    return (rng.choice([-1, 1], (FACES, 4)) * rng.uniform(0.3, 0.5, (FACES, 4))).astype(np.float32)


def pairs_of(codes: np.ndarray, attribute: str, value: np.ndarray) -> Counterfactuals:
    """A pair for each face: its true code after the edit of `attribute`."""
    count = len(codes)
    return Counterfactuals(
        painted(codes), np.arange(count), np.full(count, attribute), value, np.full(count, "")
    )


def context(params: dict, **changes: object) -> Context:
    score = parse(Score, params["score"] | {"min_faces": 5, "faces": FACES, "levels": [0.5, 0.9]} | changes)
    ensemble = Ensemble((Reader(),), NAMES, (0, 1, 2, 3), np.full((1, 4), 0.4))
    codec = Codec(Stripes(), torch.device("cpu"), 16)
    return Context(score, Detail(noise=0.0, reach=0), codec, ensemble, FeatureNetwork(Pixels(), 8, 16))


def scored(params: dict, codes: np.ndarray, editor: ScoredEditor, target: int) -> edit_curves.Scores:
    here = context(params)
    data = Data(codes)
    sample = Sample.of(here, np.arange(FACES), data.images, codes, data.labels)
    scales = Scales(np.ones((1, 4)), 1.0)
    real = here.features(here.codec.pictures(data.images))
    return edit_curves.score_edit(here, sample, scales, "mover", editor, data.labels, target, real)


def plain(rows: list[dict]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    return table[table["kind"] == "plain"].reset_index(drop=True)


def test_an_edit_that_overshoots_is_not_reached(params, codes):
    """Steps of .9 carry a stripe from .3-.5 to -.4 to -.6; of 1.4 to beyond -.8, where it is no longer read
    as dark.
    """
    coarse = plain(scored(params, codes, Mover((0.35, 1.4)), 0).levels)
    assert coarse["strength"].tolist()[-1] == math.inf
    assert coarse["flips"].tolist()[-1] < 0.6  # the best share at one strength
    fine = plain(scored(params, codes, Mover((0.35, 0.9, 1.4)), 0).levels)
    assert 0.35 < fine["strength"].tolist()[-1] <= 0.9


def test_figures_are_of_the_edit_drawn_anew(params, codes):
    """The found strength lies between two that were tried; its flips and effect are exact there."""
    found = scored(params, codes, Mover((0.2, 0.8), along=0.25), 1)
    row = plain(found.levels).iloc[-1]
    start = np.abs(codes[:, 1])
    assert row["flips"] == pytest.approx((start < row["strength"]).mean())
    assert row["effect"] == pytest.approx(row["strength"] / 0.4, rel=1e-5)
    assert row["leakage_total"] == pytest.approx(0.25 * row["strength"] / 0.4 / 3, rel=1e-4)
    assert row["dependency"] == pytest.approx(0.25 / 3, rel=1e-4)
    assert row["dependency_max"] == pytest.approx(0.25, rel=1e-4)
    assert row["reversibility"] == pytest.approx(100)  # what comes back is the start
    rows, change = found.changes[0, "mover", "plain", "Middle"]
    assert rows.tolist() == list(range(FACES))
    np.testing.assert_allclose(change[:, 2], 0.25 * row["strength"] / 0.4, rtol=1e-4)


def test_strengths_rise_until_the_level_is_reached(params, codes):
    curves = plain(scored(params, codes, Mover((0.2, 0.6, 1.0, 5.0)), 1).curves)
    assert curves["strength"].tolist() == [0.0, 0.2, 0.6]
    assert curves["flips"].tolist() == [0.0, 0.0, 1.0]


def test_the_truth_is_reached_by_its_own_edit(tmp_path, params, codes):
    """Pairs flip the last stripe to +-.4: an editor that goes there removes nearly all the error, half the
    way most.
    """
    here = context(params)
    data = Data(codes)
    new = codes.copy()
    new[:, 3] = -0.4 * np.sign(codes[:, 3])
    value = np.sign(new[:, 3]).astype(int)
    pairs = pairs_of(new, "Back", value)
    reached = pd.DataFrame(
        [("mover", "plain", "Back", 0.8), ("mover", "detail", "Back", 0.4)],
        columns=["estimator", "kind", "attribute", "strength"],
    )
    editors = {"mover": Mover((1.0,))}
    table, modes = counterfactuals.against_truth(here, data, pairs, codes, editors, reached, tmp_path)
    assert modes.empty and table["mode_coverage"].isna().all()  # there is one truth
    np.testing.assert_allclose(table["error_reduction_nearest"], table["error_reduction"], atol=1e-6)
    np.testing.assert_allclose(table["error_reduction_mean"], table["error_reduction"], atol=1e-6)
    table = table.set_index(["estimator", "kind"])
    assert table.loc[("nothing", "picture"), "error_reduction"] == 0
    assert table.loc[("rebuilt", "picture"), "error_reduction"] > 0.999
    assert table.loc[("mover", "plain"), "error_reduction"] > 0.99
    assert table.loc[("mover", "detail"), "error_reduction"] == pytest.approx(0.75, abs=0.02)
    assert table["region"].between(0.25, 0.4).all()  # a stripe of four, and a pixel around it
    assert table.loc[("mover", "plain"), "psnr_outside"] > 45
    changes = counterfactuals.true_changes(here, data, pairs)
    rows, change = changes[0, TRUTH, TRUTH, "Back"]
    assert len(rows) == FACES and set(changes) == {(0, TRUTH, TRUTH, "Back")}
    np.testing.assert_allclose(change[:, 3], np.abs(new[:, 3] - codes[:, 3]) / 0.4, atol=0.05)


def test_the_nearest_of_two_truths_counts_and_a_blur_is_seen(tmp_path, params, codes):
    """A stripe is to become .6 or .2, the first drawn for the pair: who always draws .2 has removed all error
    to the nearest truth and one of two forms; who draws the mean, .4, is right about neither.
    """
    here = context(params)
    codes[:, 3] = -0.4
    data = Data(codes)
    bright = codes.copy()
    dark = codes.copy()
    bright[:, 3] = 0.6
    dark[:, 3] = 0.2
    pairs = Counterfactuals(
        np.concatenate([painted(bright), painted(dark)]),
        np.arange(FACES),
        np.full(FACES, "Back"),
        np.ones(FACES, int),
        np.repeat(["bright", "dark"], FACES),
        {face: [FACES + face] for face in range(FACES)},
    )
    reached = pd.DataFrame(
        [("mover", "plain", "Back", 0.6), ("mover", "detail", "Back", 0.8)],
        columns=["estimator", "kind", "attribute", "strength"],
    )
    editors = {"mover": Mover((1.0,))}
    table, modes = counterfactuals.against_truth(here, data, pairs, codes, editors, reached, tmp_path)
    table = table.set_index(["estimator", "kind"])
    one_form = table.loc[("mover", "plain")]
    blur = table.loc[("mover", "detail")]
    assert one_form["truths"] == 2
    assert one_form["error_reduction_nearest"] > 0.999
    assert one_form["error_reduction"] == pytest.approx(1 - 0.4**2 / 1.0**2, abs=0.01)
    assert (one_form["mode_coverage"], one_form["mode_entropy"]) == (0.5, 0.0)
    assert blur["error_reduction_mean"] > 0.999
    assert blur["error_reduction_nearest"] == pytest.approx(1 - 0.2**2 / 0.6**2, abs=0.02)
    chosen = modes[(modes["kind"] == "plain") & (modes["estimator"] == "mover")].set_index("form")
    assert chosen["nearest"].to_dict() == {"bright": 0, "dark": FACES}
    assert chosen["own"].to_dict() == {"bright": FACES, "dark": 0}


def test_two_attributes_are_edited_at_once(tmp_path, params, codes):
    """The truth flips the second stripe and the last: who flips both has removed all error, who is half as
    strong on both three quarters; who cannot reach one has no row.
    """
    here = context(params)
    data = Data(codes)
    new = codes.copy()
    new[:, [1, 3]] = -0.4 * np.sign(codes[:, [1, 3]])
    value = np.sign(new[:, [1, 3]]).astype(int)
    codes[:, [1, 3]] = 0.4 * np.sign(codes[:, [1, 3]])
    data = Data(codes)
    both = np.tile(["Middle", "Back"], (FACES, 1))
    rows = np.arange(FACES)
    one = pairs_of(new, "Back", value[:, 1])
    pairs = Counterfactuals(
        one.images, one.rows, one.attribute, one.value, one.forms, joint=Joint(rows, rows, both, value)
    )
    reached = pd.DataFrame(
        [
            *(("whole", "plain", name, 0.8) for name in ("Middle", "Back")),
            *(("half", "plain", name, 0.4) for name in ("Middle", "Back")),
            ("poor", "plain", "Back", 0.8),
            ("poor", "detail", "Middle", 0.8),
        ],
        columns=["estimator", "kind", "attribute", "strength"],
    )
    editors = {name: Mover((1.0,)) for name in ("whole", "half", "poor")}
    table = joint.against_truth(here, data, pairs, codes, editors, reached, tmp_path / "pairs")
    table = table.set_index("estimator")
    assert table.index.tolist() == ["nothing", "rebuilt", "whole", "half"]
    assert table[["first", "second", "pairs"]].drop_duplicates().to_numpy().tolist() == [
        ["Middle", "Back", FACES]
    ]
    assert table.loc["nothing", ["flips", "error_reduction"]].tolist() == [0, 0]
    assert table.loc["whole", "flips"] == 1 and table.loc["whole", "error_reduction"] > 0.999
    assert table.loc["half", "error_reduction"] == pytest.approx(0.75, abs=0.01)
    none = joint.against_truth(here, data, one, codes, editors, reached, tmp_path / "none")
    assert none.empty and tuple(none) == joint.COLUMNS


def test_a_label_that_two_edits_rule_out_goes_once():
    """Top and Middle each shut out Bottom: with both brought, Bottom is taken away once, by a line and by
    an editor that is asked for both.
    """
    shut = Exclusions(np.array([[1, 0, 1, 0], [0, 1, 1, 0]], np.int8), np.zeros((0, 4), np.int8))
    directions = Directions(
        NAMES, np.eye(4, dtype=np.float32), np.ones(4), np.zeros(4), np.ones(4), np.eye(4), shut
    )
    labels = np.array([[-1, -1, 1, 1]])
    codes = np.zeros((1, 4), np.float32)
    step = np.sqrt(2) / 2  # two unit directions in one of unit deviation
    line = SigmaEditor(directions, (1.0,))
    moved = line.edited_both(codes, labels, ("Top", "Middle"), (1.0, 1.0))
    np.testing.assert_allclose(moved, [[step, 1.0, -step, 0]], atol=1e-6)

    class Strict(LinearEditor):
        def move(self, *arrays: np.ndarray) -> np.ndarray:
            assert {array.dtype for array in arrays} == {np.dtype(np.float32)}  # as the flow's network asks
            return super().move(*arrays)

    switch = SwitchEditor(Strict.of(directions), (1.0,))
    moved = switch.edited_both(codes, labels, ("Top", "Middle"), (1.0, 2.0))
    np.testing.assert_allclose(moved, [[1, 2, -1, 0]], atol=1e-6)


def test_entropy_of_choices():
    assert counterfactuals.entropy(np.array([5, 5])) == pytest.approx(1)
    assert counterfactuals.entropy(np.array([5, 0, 0])) == 0
    assert counterfactuals.entropy(np.array([2, 1, 1])) == pytest.approx(1.5 * np.log(2) / np.log(3))


def test_cosines_with_the_true_displacement(params, codes):
    """An editor that moves the stripe alone has cosine 1; with as much of the next, 1 / sqrt 2."""
    here = context(params)
    new = codes.copy()
    new[:, 1] *= -1
    value = np.sign(new[:, 1]).astype(int)
    pairs = pairs_of(new, "Middle", value)
    moved = counterfactuals.displacements(here.codec, pairs, codes)
    np.testing.assert_allclose(moved[:, 1], 2 * np.abs(codes[:, 1]), atol=0.01)
    editors = {"clean": Mover((1.0,)), "carrying": Mover((1.0,), along=1.0)}
    table = counterfactuals.truth_cosines(pairs, moved, codes, editors, Data(codes)).set_index("estimator")
    assert table.loc["clean", "cosine"] == pytest.approx(1, abs=1e-3)
    assert table.loc["carrying", "cosine"] == pytest.approx(1 / math.sqrt(2), abs=1e-3)
    assert table["ceiling"].tolist() == pytest.approx([1, 1], abs=1e-3)


def test_the_oracle_learns_from_pairs_on_which_it_is_not_scored(params):
    attribute = np.array(["Top"] * 30 + ["Back"] * 12)
    pairs = Counterfactuals(
        np.zeros((42, 16, 16, 3), np.uint8), np.arange(42), attribute, np.ones(42, int), np.full(42, "")
    )
    moved = np.zeros((42, 4), np.float32)
    moved[:20, 0] = 9.0  # those on which edits are scored
    moved[20:30, 0] = 0.5
    found = counterfactuals.oracle_changes(context(params, faces=20), pairs, moved)
    assert list(found) == ["Top"]
    np.testing.assert_array_equal(found["Top"][:, 0], np.full(10, 0.5))
    train = np.array([[3.0, 0, 0, 0], [-3.0, 0, 0, 0]], np.float32)
    oracle = Oracle.of(found, train, (1.0,))
    labels = np.array([[-1], [1]])
    step = oracle.edited(np.zeros((2, 4), np.float32), labels, "Top", 2.0)
    np.testing.assert_allclose(step[:, 0], [6.0, -6.0])
    np.testing.assert_allclose(oracle.returned(step, labels, "Top", 2.0), 0, atol=1e-6)


def test_directions_are_editors():
    """Strength counts standard deviations of the train codes along the direction."""
    directions = Directions(
        NAMES, np.eye(4, dtype=np.float32), np.full(4, 2.0), np.zeros(4), np.ones(4), 4 * np.eye(4), FREE
    )
    editor = SigmaEditor(directions, (1.0, 2.0))
    codes = np.zeros((2, 4), np.float32)
    labels = np.array([[1, 1, -1, 1], [1, 1, 1, 1]])
    moved = editor.edited(codes, labels, "Bottom", 1.5)
    np.testing.assert_allclose(moved[:, 2], [3.0, -3.0])
    np.testing.assert_allclose(editor.returned(moved, labels, "Bottom", 1.5), codes, atol=1e-6)
    np.testing.assert_allclose(editor.displaced(codes, labels, "Bottom")[:, 2], [2.0, 2.0])


def test_composition_is_the_psnr_of_further_rounds(codes):
    """A decoder that adds .02 each time is .02, .04, .06 away: PSNR falls by 20 log10 of two and of three."""
    found = reconstruction(
        Codec(Stripes(0.02), torch.device("cpu"), 16), painted(codes), codes, np.arange(FACES), 3
    )
    assert list(found) == ["psnr", "ssim", "ms_ssim", "psnr_2", "psnr_3"]
    first, second, third = found[["psnr", "psnr_2", "psnr_3"]].mean()
    assert first == pytest.approx(40, abs=0.5)
    assert first - second == pytest.approx(20 * math.log10(2), abs=0.2)
    assert first - third == pytest.approx(20 * math.log10(3), abs=0.2)


def test_identity_is_measured_as_well_as_the_data_allow(params, codes, rng):
    """Known people: pairs of one are equal here. Drawn faces: not at all. Else: copies of each picture."""
    here = context(params, samples=40)
    twice = np.repeat(codes[:30], 2, axis=0)
    people = Data(twice, np.repeat(np.arange(30), 2))
    real = here.codec.pictures(people.images[::2])
    table, units = identity_scales(here, people, False, real, rng)
    assert set(table["same_person"]) == {"identities"} and units.shape == (1, 4)
    assert table["same_95"].tolist() == [0] * 4 and (table["different_05"] > 0).all()
    table, _ = identity_scales(here, Data(codes), True, real, rng)
    assert set(table["same_person"]) == {"none"} and table["same_95"].isna().all()
    table, _ = identity_scales(here, Data(codes), False, real, rng)
    assert set(table["same_person"]) == {"copies"} and (table["same_95"] > 0).all()
