"""Ranges in a world where a code number is an attribute's log-odds, and pictures from elsewhere."""

import numpy as np
import pandas as pd
import pytest
import torch

from facemorph.code_editors import LinearEditor
from facemorph.export import Export
from faces.data.crops import Crops
from faces.edits.directions import Directions
from faces.edits.exclusions import Exclusions
from faces.flow.editor import FlowEditor
from faces.scoring import guarantee, strangers
from faces.scoring.guarantee import Guarantee, Setting, excess
from faces.scoring.served import Served
from tests.helpers import exports

NAMES = ("Smiling", "Hat", "Bald")
STRENGTHS = (0.5, 1.0, 1.5, 2.0)


class World:
    """Plays codec, ensemble, editor and data: pictures are codes, codes are log-odds.

    A slider moves its own attribute by 8 at strength 1, and the next one by `along` of that.
    """

    attributes = NAMES
    names = NAMES
    exclusions = Exclusions.none(3)
    device = torch.device("cpu")

    def __init__(self, codes: np.ndarray, along: float) -> None:
        self.codes = codes
        self.along = along
        self.labels = np.where(codes > 0, 1, -1)
        self.flow = self

    def arranged(self, names: tuple[str, ...], labels: np.ndarray) -> np.ndarray:
        return labels

    def rows(self, split: str) -> np.ndarray:
        half = len(self.codes) // 2
        return np.arange(half) + half * (split == "test")

    def decode(self, codes: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(codes)

    def predict(self, number: int, images: torch.Tensor) -> tuple[np.ndarray, None]:
        return images.numpy(), None

    def walk(self, codes, attribute, values):
        place = NAMES.index(attribute)

        def at(places, strength):
            moved = codes[places].copy()
            moved[:, place] += 8 * strength * values[places]
            moved[:, (place + 1) % 3] += 8 * self.along * strength * values[places]
            return moved

        return at


def setting(rng, along: float) -> Setting:
    """200 faces that have Hat and Bald about evenly, with log-odds of size 3 to 5."""
    codes = rng.choice([-1, 1], (200, 3)) * rng.uniform(3, 5, (200, 3))
    world = World(codes, along)
    params = Guarantee(level=0.9, excess=0.5, strengths=STRENGTHS, faces=100)
    return Setting(params, world, codes, world, world, world)


def test_an_editor_that_does_one_thing_is_promised_as_far_as_it_was_tried(rng):
    """Log-odds of 3 to 5 are turned by 8 s: all at s = 1 and about half at .5, nine in ten from .6 on."""
    here = setting(rng, 0.0)
    ranges = guarantee.calibrated(here, None)
    assert (ranges["high"] == 2.0).all() and (ranges["flips"] == 1).all()
    np.testing.assert_allclose(ranges["low"], 0.6, atol=0.025)
    coverage = guarantee.checked(here, None, ranges)
    assert (coverage["kept"] == coverage["faces"]).all()
    share = coverage["held"].sum() / coverage["faces"].sum()
    assert 0.85 < share < 0.95


def test_an_end_between_two_strengths_is_looked_at(rng):
    """Probabilities are no straight lines of the strength: where one changes by a half, lines between
    the strengths that are tried miss.
    """
    here = setting(rng, 0.25)
    ways = guarantee.calibrated(here, None)
    for way in ways.itertuples():
        place = (NAMES.index(way.attribute) + 1) % 3
        cases = here.cases(None, "valid", way.attribute, way.value)
        beyond = np.flatnonzero(here.codes[cases.rows, place] * way.value < 0)
        sizes = np.abs(here.codes[cases.rows, place])
        breaks = np.full(len(sizes), np.inf)
        for face in beyond:
            breaks[face] = first_break(sizes[face])
        calibrating = np.sort(breaks[np.arange(len(sizes)) % 3 != 0])
        allowed = int(0.1 * (len(calibrating) + 1) + 1e-9) - 1
        assert way.high == pytest.approx(min(calibrating[allowed], 2.0), abs=0.002)


def first_break(size: float) -> float:
    """The strength at which a face with log-odds -size has its probability changed by one half."""
    before = 1 / (1 + np.exp(size))
    after = before + 0.5
    return (np.log(after / (1 - after)) + size) / 2


def test_edits_that_processes_share_give_the_same_tables(rng, tmp_path):
    """By way of shards, one of which is lost and made again."""
    here = setting(rng, 0.25)
    ranges = guarantee.calibrated(here, None)
    work = tmp_path / "ranges"
    for _ in range(2):
        pd.testing.assert_frame_equal(guarantee.calibrated(here, None, work), ranges)
        sorted(work.iterdir())[1].unlink()
    assert ranges["low"].notna().all()
    coverage = guarantee.checked(here, None, ranges)
    pd.testing.assert_frame_equal(guarantee.checked(here, None, ranges, tmp_path / "coverage"), coverage)
    assert len(list((tmp_path / "coverage").iterdir())) == len(coverage) == 6


def test_an_editor_that_breaks_another_thing_is_promised_up_to_there(rng):
    """The next attribute moves by 4 s: half of the faces, those without it when it is given, lose theirs from
    s = .75 to 1.25, so that no strength flips nine in ten and leaves the other alone.
    """
    ranges = guarantee.calibrated(setting(rng, 0.5), None)
    assert ranges["low"].isna().all() and (ranges["flips"] == 1).all()
    gentle = guarantee.calibrated(setting(rng, 0.25), None)  # by 2 s: from s = 1.5 on
    assert (gentle["low"] == 1).all() and gentle["high"].between(1.5, 2.0, "neither").all()


def test_what_the_truth_changes_is_not_held_against_an_edit():
    change = np.array([0.0, 0.4, 1.0, 1.2, -0.3, -0.5])
    due = np.array([0.0, 1.0, 1.0, 1.0, 0.0, -1.0])
    np.testing.assert_allclose(excess(change, due), [0, 0, 0, 0.2, 0.3, 0])


def test_the_truth_says_who_else_is_held_to_it(rng):
    """Without pairs: what exclusions take along may go, and only in its own direction."""
    here = setting(rng, 0.0)
    bald_in_hat = np.array([[0, 1, 1]], np.int8)
    here.served.exclusions = Exclusions(bald_in_hat, np.zeros((0, 3), np.int8))
    cases = here.cases(None, "valid", "Hat", 1)
    bald = here.crops.labels[cases.rows, 2] == 1
    np.testing.assert_array_equal(cases.due, np.stack([0 * bald, 0 * bald, -1.0 * bald], 1))
    assert cases.watched.tolist() == [True, False, True]


@pytest.mark.parametrize("kind", ["flow", "directions"])
def test_what_is_calibrated_is_what_is_served(kind, rng, tmp_path):
    """Many faces at once as the runtime does one, to a thousandth."""
    root = exports.shared()
    flow = FlowEditor.open(root / "data/flow", torch.device("cpu"))
    directions = Directions.open(root / "data/vectors", "mean_difference")
    export = Export(root / "data/export")
    if kind == "directions":
        lengths = np.linalg.norm(
            [directions.vectors[directions.attributes.index(n)] for n in export.names], axis=1
        )
        editor = LinearEditor(export.names, export.editor.units, export.editor.labels, lengths)
    else:
        editor = export.editor
    served = Served(flow, directions if kind == "directions" else None)
    codes = np.load(root / "data/latents/latents.npy")[Crops.open(root / "data/crops").rows("test")[:6]]
    values = rng.choice([-1.0, 1.0], len(codes))
    for name in served.names:
        walk = served.walk(codes, name, values)
        for strength in (0.6, 1.5):
            found = walk(np.arange(len(codes)), strength)
            expected = [
                editor.edit(code, {name: strength * value}) for code, value in zip(codes, values, strict=True)
            ]
            np.testing.assert_allclose(found, expected, atol=1e-3)


def test_pictures_from_elsewhere(rng):
    faces = rng.integers(0, 256, (5, 32, 32, 3), np.uint8)
    found = strangers.strangers(faces, 3)
    assert all(some.shape == faces.shape and some.dtype == np.uint8 for some in found.values())
    np.testing.assert_array_equal(found["upside_down"][:, 0], faces[:, -1])
    np.testing.assert_array_equal(found["negative"] + faces, np.full(faces.shape, 255))
    np.testing.assert_array_equal(np.sort(found["shuffled"], None), np.sort(faces, None))
    assert (found["grey"] == found["grey"][..., :1]).all()
    again = strangers.strangers(faces, 3)
    assert all((again[name] == some).all() for name, some in found.items())


def test_without_a_range_nothing_is_checked(rng):
    empty = pd.DataFrame([("Hat", 1, 10, 0.5, 0.4, np.nan, np.nan)], columns=guarantee.RANGES)
    assert guarantee.checked(setting(rng, 0.0), None, empty).empty
