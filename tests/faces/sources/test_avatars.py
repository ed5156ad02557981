"""Drawn faces: what is labelled is what is drawn, where it is drawn, and nothing else."""

import hashlib
import itertools
import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from faces import sources
from faces.core.params import ParamsError
from faces.data import annotations
from faces.ingest import avataaars, drawing, personas, writer
from faces.ingest.drawing import CHANCES, COLOURS, Nuisance
from faces.sources.avatars import (
    ATTRIBUTES,
    HIDDEN,
    MEANINGS,
    NEEDS,
    REST,
    STYLES,
    Rates,
    Source,
    flip,
    flip_both,
    intercept,
    sample,
)

AVATAAARS = avataaars.STYLE
PERSONAS = personas.STYLE
STILL = Nuisance(rotation=0.0, shift=0.0, scale=0.0, gradient=0.0)
POSED = {"rotation": 4.0, "shift": 3.0, "scale": 0.04, "gradient": 0.5}
PLAIN = {name: name in ("Brown_Hair", "No_Beard") for name in ATTRIBUTES}
MIDDLE = dict.fromkeys(CHANCES, 0.5)
RATES = {
    "Male": 0.42,
    "Pale_Skin": 0.1,
    "Bald": 0.05,
    "Gray_Hair": 0.07,
    "Red_Hair": 0.07,
    "Blond_Hair": 0.18,
    "Black_Hair": 0.3,
    "Long_Hair": 0.46,
    "Wavy_Hair": 0.26,
    "Bangs": 0.12,
    "Wearing_Hat": 0.06,
    "No_Beard": 0.83,
    "Mustache": 0.05,
    "Bushy_Eyebrows": 0.2,
    "Arched_Eyebrows": 0.27,
    "Eyeglasses": 0.12,
    "Smiling": 0.48,
    "Mouth_Slightly_Open": 0.48,
    "Eyes_Closed": 0.08,
}
PLANTED = [
    ("Male", "No_Beard", -6.0),
    ("Male", "Long_Hair", -4.0),
    ("Gray_Hair", "Eyeglasses", 2.0),
    ("Smiling", "Mouth_Slightly_Open", 2.2),
]
TOGETHER = [["Smiling", "Eyeglasses"], ["Blond_Hair", "Wearing_Hat"]]
# Where each attribute may change the picture: left, top, right, bottom in the style's coordinates.
REGIONS = {
    "personas": {
        "Smiling": (27, 37, 38, 45),
        "Mouth_Slightly_Open": (27, 37, 38, 45),
        "Mustache": (22, 33, 42, 42),
        "No_Beard": (17, 26, 47, 51),
        "Eyeglasses": (18, 23, 46, 35),
        "Eyes_Closed": (22, 25, 42, 32),
        "Bushy_Eyebrows": (18, 19, 46, 27),
        "Arched_Eyebrows": (18, 19, 46, 27),
    },
    "avataaars": {
        "Smiling": (110, 140, 170, 182),
        "Mouth_Slightly_Open": (110, 140, 170, 182),
        "Mustache": (95, 130, 185, 165),
        "No_Beard": (75, 90, 205, 225),
        "Eyeglasses": (70, 85, 210, 145),
        "Eyes_Closed": (95, 100, 185, 128),
        "Bushy_Eyebrows": (90, 78, 190, 110),
        "Arched_Eyebrows": (90, 78, 190, 110),
    },
}


def configure(**changes):
    values = {
        "style": "avataaars",
        "count": 4000,
        "valid": 0.1,
        "test": 0.12,
        "quality": 92,
        "counterfactuals": 4,
        "variants": 2,
        "calibration": 3,
        "both": 3,
        "together": TOGETHER,
        "nuisance": POSED,
        "rates": RATES,
    }
    planted = [{"given": given, "then": then, "log_odds": log_odds} for given, then, log_odds in PLANTED]
    return sources.config(
        "avatars", {"avatars": {**values, "correlation_strength": 1.0, "correlations": planted, **changes}}
    )


def pixels(labels, chances=MIDDLE, nuisance=STILL, style=AVATAAARS):
    return np.asarray(style.draw(labels, chances, nuisance)).astype(int)


def random_faces(count, seed):
    labels, chances = sample(configure(count=count), seed)
    return zip(labels.to_dict("records"), chances.to_dict("records"), strict=True)


def possible(labels, name):
    """The faces that have what `name` needs."""
    return np.logical_and.reduce(
        [np.ones(len(labels), bool), *(labels[need] == value for need, value in NEEDS[name].items())]
    )


def test_every_attribute_is_described_and_has_a_rate():
    assert Source(configure()).attributes() == ATTRIBUTES
    assert len(ATTRIBUTES) == 20
    assert set(MEANINGS) == set(ATTRIBUTES)
    assert tuple(Rates.model_fields) == tuple(name for name in ATTRIBUTES if name != REST)
    assert all(
        ATTRIBUTES.index(need) < ATTRIBUTES.index(name) for name, needs in NEEDS.items() for need in needs
    )


@pytest.mark.parametrize("strength", [0.0, 1.0, 3.0])
def test_rates_are_the_configured_ones_at_any_strength(strength):
    """Each count is a sum of independent coins whose expectations sum to count * rate: 4.5 standard
    deviations of a binomial are never passed.
    """
    config = configure(correlation_strength=strength)
    labels, _ = sample(config, 1)
    rates = {**RATES, REST: 1 - sum(RATES[name] for name in ("Bald", *COLOURS) if name != REST)}
    for name in ATTRIBUTES:
        error = abs(labels[name].mean() - rates[name])
        assert error < 4.5 * np.sqrt(rates[name] * (1 - rates[name]) / config.count), name


def test_needs_hold_and_hair_has_one_colour():
    labels, _ = sample(configure(), 2)
    assert all((possible(labels, name) | ~labels[name]).all() for name in ATTRIBUTES)
    assert (labels[[*COLOURS, "Bald"]].sum(axis=1) == 1).all()


@pytest.mark.parametrize(("given", "then", "log_odds"), PLANTED)
def test_planted_correlations_have_their_size_and_vanish_at_strength_zero(given, then, log_odds):
    """Among the faces that can have `then`, the log odds ratio is log_odds, or 0 at strength 0; its standard
    error is sqrt(sum of 1 / cell).
    """
    for strength in (1.0, 0.0):
        labels, _ = sample(configure(count=20_000, correlation_strength=strength), 3)
        labels = labels[possible(labels, then)]
        cells = pd.crosstab(labels[given], labels[then]).to_numpy()
        measured = np.log(cells[1, 1] * cells[0, 0] / (cells[1, 0] * cells[0, 1]))
        assert abs(measured - strength * log_odds) < 4 * np.sqrt((1 / cells).sum())


def test_intercept_solves_for_the_mean():
    shifts = np.array([0.0, 0.0, 5.0, -30.0])
    for rate in (1.0e-3, 0.2, 0.9):
        assert np.mean(1 / (1 + np.exp(-intercept(shifts, rate) - shifts))) == pytest.approx(
            rate, abs=1.0e-12
        )
    assert intercept(np.zeros(3), 0.5) == pytest.approx(0, abs=1.0e-12)


def test_a_face_stays_the_same_when_faces_are_added():
    for few, many in zip(sample(configure(count=50), 4), sample(configure(count=500), 4), strict=True):
        pd.testing.assert_frame_equal(few, many[:50])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"rates": {**RATES, "Smiling": 1.0}},
            r"sources\.avatars\.rates\.Smiling = 1\.0; input should be less than 1",
        ),
        ({"rates": {**RATES, "Brown_Hair": 0.2}}, r"rates\.Brown_Hair is not a known key"),
        (
            {"correlations": [{"given": "Mael", "then": "Bald", "log_odds": 1.0}]},
            r"correlations\.0\.given = 'Mael'; allowed: 'Male', ",
        ),
        (
            {"correlations": [{"given": "Bald", "then": "Male", "log_odds": 1.0}]},
            r"correlations\.0 = .*Male is not decided after Bald",
        ),
        (
            {"correlations": [{"given": "Bald", "then": "Bald", "log_odds": 1.0}]},
            r"correlations\.0 = .*Bald is not decided after Bald",
        ),
        ({"nuisance": {**POSED, "rotation": -1.0}}, r"nuisance\.rotation = -1\.0"),
        ({"together": [["Smiling", "Smiling"]]}, r"together = .*\[Smiling, Smiling\] is one attribute"),
        ({"together": [["Smiling", "Male"]]}, r"together\.0\.1 = 'Male'"),
        ({"valid": 0.5, "test": 0.5}, r"sources\.avatars\.test = 0\.5; .*valid = 0\.5"),
    ],
)
def test_wrong_params_are_one_clear_line(changes, message):
    with pytest.raises(ParamsError, match=message) as error:
        configure(**changes)
    assert "\n" not in str(error.value)


def test_an_unreachable_rate_is_named():
    with pytest.raises(
        ParamsError,
        match=r"rates\.Bangs = 0\.9; only 0\.\d+ of the faces can have it, "
        r"as it needs Long_Hair, no Wavy_Hair",
    ):
        sample(configure(rates={**RATES, "Bangs": 0.9}), 0)


def test_eyes_and_mouth_are_fitted_to_the_template():
    """A least-squares similarity leaves residuals that sum to zero and are orthogonal to the points; here
    they are below 4 pixels.
    """
    turn, move = AVATAAARS.pose(MIDDLE, STILL)
    middles = [sum(corners) / 2 for corners in avataaars.MOUTH_CORNERS.values()]
    points = np.array([*AVATAAARS.eyes, sum(middles) / len(middles)])
    residuals = turn * points + move - np.array(drawing.TEMPLATE)
    assert abs(residuals.sum()) < 1.0e-9
    assert abs((points.conj() * residuals).sum()) < 1.0e-6
    assert np.abs(residuals).max() < 4
    assert AVATAAARS.landmarks(PLAIN, MIDDLE, STILL)[:4] == pytest.approx(
        [66.70, 112.82, 110.26, 112.85], abs=0.01
    )


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize("seed", range(3))
def test_the_eyes_are_where_the_landmarks_say(seed, style):
    """Open eyes are disks darker than the skin: the centre of darkness around each eye's landmark is the
    landmark, to a tenth of a pixel.
    """
    nuisance = Nuisance(rotation=15.0, shift=10.0, scale=0.2, gradient=0.0)
    chances = {
        **MIDDLE,
        **dict(
            zip(
                ("rotation", "shift_x", "shift_y", "scale"),
                np.random.default_rng(seed).random(4),
                strict=True,
            )
        ),
    }
    picture = pixels(PLAIN, chances, nuisance, style).sum(axis=-1)
    points = style.landmarks(PLAIN, chances, nuisance)
    ys, xs = np.mgrid[: drawing.HEIGHT, : drawing.WIDTH]
    for x, y in (points[:2], points[2:4]):
        near = np.hypot(xs - x, ys - y) < 8.5
        darkness = np.where(near, picture[near].max() - picture, 0)
        assert (darkness * xs).sum() / darkness.sum() == pytest.approx(x, abs=0.1)
        assert (darkness * ys).sum() / darkness.sum() == pytest.approx(y, abs=0.1)


def test_the_mouth_is_where_the_landmarks_say():
    """Every mouth is darker than the skin from one corner to the other, to a pixel and a half."""
    seen = set()
    for smiling, opened, chance in itertools.product((False, True), (False, True), (0.1, 0.9)):
        labels = {**PLAIN, "Smiling": smiling, "Mouth_Slightly_Open": opened}
        chances = {**MIDDLE, "mouth": chance, "skin": 0.0}
        dark = np.flatnonzero((pixels(labels, chances)[141:164, 65:112].sum(axis=-1) < 450).any(axis=0)) + 65
        left, _, right, _ = AVATAAARS.landmarks(labels, chances, STILL)[6:]
        assert (dark.min(), dark.max()) == pytest.approx((left, right), abs=1.5), AVATAAARS.mouth(
            labels, chances
        )
        seen.add(AVATAAARS.mouth(labels, chances))
    assert seen == set(avataaars.MOUTH_CORNERS)


def test_the_mouths_of_personas_are_where_the_landmarks_say():
    """Their ink reaches from one corner to the other, to two pixels."""
    seen = set()
    for smiling, opened, chance in itertools.product((False, True), (False, True), (0.1, 0.9)):
        labels = {**PLAIN, "Smiling": smiling, "Mouth_Slightly_Open": opened}
        chances = {**MIDDLE, "mouth": chance, "skin": 0.0}
        blue = pixels(labels, chances, style=PERSONAS)[135:164, 60:120]
        columns = np.flatnonzero((blue.sum(axis=-1) < 300).any(axis=0)) + 60
        left, _, right, _ = PERSONAS.landmarks(labels, chances, STILL)[6:]
        drawn = PERSONAS.mouth(labels, chances)
        assert (columns.min(), columns.max()) == pytest.approx((left, right), abs=2), drawn
        seen.add(drawn)
    assert seen == set(PERSONAS.mouth_corners)


def test_personas_keep_brows_in_sight_and_hair_out_of_hats():
    """Brows change the picture whatever hair or hat is worn, but for bangs; under a hat no drawing of short
    hair shows above the brim.
    """
    for change in ({"Wearing_Hat": True}, {"Wavy_Hair": True}, {"Long_Hair": True, "Wavy_Hair": True}):
        for chance in (0.1, 0.9):
            labels = {**PLAIN, **change}
            luck = {**MIDDLE, "hat": chance, "hair": chance}
            before = pixels(labels, luck, style=PERSONAS)
            after = pixels({**labels, "Bushy_Eyebrows": True}, luck, style=PERSONAS)
            assert (np.abs(before - after).sum(axis=-1) > 60).sum() >= 40, (change, chance)
    turn, move = PERSONAS.pose(MIDDLE, STILL)
    brim = int((turn * (32 + 1j * personas.BRIM) + move).imag) - 3
    capped = [
        pixels({**PLAIN, "Wearing_Hat": True}, {**MIDDLE, "hair": place / 3}, style=PERSONAS)[:brim]
        for place in range(3)
    ]
    assert all(np.array_equal(capped[0], other) for other in capped[1:])


@pytest.mark.parametrize("name", STYLES)
def test_every_drawing_differs_from_the_others(name):
    """All hairs, mouths, brows, eyelids, beards, glasses, hats and clothes, each drawn once: no two pictures
    are alike.
    """
    kind = {"avataaars": avataaars, "personas": personas}[name]
    cases = [
        *(
            ({"Long_Hair": long, "Wavy_Hair": wavy, "Bangs": bangs}, "hair", len(kinds))
            for (long, wavy, bangs), kinds in kind.HAIR.items()
        ),
        *(
            ({"Smiling": a, "Mouth_Slightly_Open": b}, "mouth", len(kinds))
            for (a, b), kinds in kind.MOUTHS.items()
            if a or b
        ),
        *(({"Bushy_Eyebrows": a, "Arched_Eyebrows": b}, "eyes", 1) for a, b in kind.BROWS if a or b),
        *(({label: True}, "hair_shade", 1) for label in ("Pale_Skin", "Bald")),
        *(({"Brown_Hair": False, label: True}, "hair_shade", 2) for label in COLOURS if label != REST),
        ({"Eyes_Closed": True}, "eyes", len(kind.EYELIDS[True])),
        ({"No_Beard": False}, "beard", len(kind.BEARDS)),
        ({"Mustache": True}, "beard", len(kind.MOUSTACHES)),
        ({"Eyeglasses": True}, "glasses", len(STYLES[name].forms({**PLAIN, "Eyeglasses": True})["glasses"])),
        ({"Wearing_Hat": True}, "hat", len(kind.HATS)),
        ({}, "clothes", len(kind.CLOTHES) - 1),
    ]
    chances = dict.fromkeys(CHANCES, 0.99)
    pictures = [
        pixels({**PLAIN, **true}, {**chances, chance: place / kinds}, style=STYLES[name])
        for true, chance, kinds in cases
        for place in range(kinds)
    ]
    assert (
        len({picture.tobytes() for picture in pictures}) == len(pictures) == sum(kinds for *_, kinds in cases)
    )


@pytest.mark.parametrize(("style", "name"), [(style, name) for style in REGIONS for name in REGIONS[style]])
def test_a_flip_changes_its_region_and_no_other_pixel(style, name):
    """Eight posed faces: at least 20 pixels change clearly, and all that change lie where the attribute is
    drawn, carried along with the pose.
    """
    nuisance = configure().nuisance
    left, top, right, bottom = REGIONS[style][name]
    flips = (
        (labels, flip(labels, name), chances)
        for labels, chances in random_faces(60, seed=5)
        if not labels["Bangs"]
    )
    pairs = list(
        itertools.islice(((labels, flipped[0], chances) for labels, flipped, chances in flips if flipped), 8)
    )
    assert len(pairs) == 8
    for labels, new, chances in pairs:
        before = pixels(labels, chances, nuisance, STYLES[style])
        after = pixels(new, chances, nuisance, STYLES[style])
        turn, move = STYLES[style].pose(chances, nuisance)
        ys, xs = np.nonzero((before != after).any(axis=-1))
        points = (xs + 1j * ys - move) / turn
        assert left < points.real.min() and points.real.max() < right
        assert top < points.imag.min() and points.imag.max() < bottom
        assert (np.abs(before - after).sum(axis=-1) > 60).sum() >= 20


@pytest.mark.parametrize("name", STYLES)
@pytest.mark.parametrize("raised", [False, True])
def test_bushy_brows_are_thick(name, raised):
    """Raised or not, they have half as much ink again as the plain ones in the same place."""
    style = STYLES[name]
    left, top, right, bottom = REGIONS[name]["Bushy_Eyebrows"]
    turn, move = style.pose(MIDDLE, STILL)
    corners = [turn * point + move for point in (complex(left, top), complex(right, bottom))]
    (x, y), (to_x, to_y) = ((int(corner.real), int(corner.imag)) for corner in corners)
    bald = {**PLAIN, "Bald": True, "Brown_Hair": False, "Arched_Eyebrows": raised}
    inks = []
    for bushy in (False, True):
        region = pixels({**bald, "Bushy_Eyebrows": bushy}, style=style)[y:to_y, x:to_x].mean(-1)
        inks.append((np.median(region) - region).clip(0).sum())
    assert inks[1] >= 1.5 * inks[0]


def test_a_flip_flips_one_label_or_says_which_other():
    """Over many faces: every visible attribute is flipped on and off; hair colours and baldness alone take
    another label along.
    """
    seen = set()
    for labels, _ in random_faces(1500, seed=6):
        for name in ATTRIBUTES:
            if (flipped := flip(labels, name)) is None:
                continue
            new, also = flipped
            changed = [attribute for attribute in ATTRIBUTES if new[attribute] != labels[attribute]]
            assert sorted(changed) == sorted(filter(None, (name, also)))
            assert (also != "") == (name in (*COLOURS, "Bald"))
            assert all(
                new[need] == value
                for attribute in ATTRIBUTES
                if new[attribute]
                for need, value in NEEDS[attribute].items()
            )
            assert new["Bald"] + sum(new[colour] for colour in COLOURS) == 1
            seen.add((name, new[name]))
    assert seen == {(name, value) for name in ATTRIBUTES for value in (False, True) if name not in HIDDEN} - {
        (REST, False)
    }


OPEN = {  # attribute and its new value, on a plain face -> forms that are as true, and pictures of them
    ("Eyeglasses", True): (set(avataaars.GLASSES), 6),
    ("Wearing_Hat", True): (set(avataaars.HATS), 8),
    ("No_Beard", False): (set(avataaars.BEARDS), 3),
    ("Mustache", True): (set(avataaars.MOUSTACHES), 2),
    ("Mouth_Slightly_Open", True): ({"concerned", "disbelief"}, 2),
    ("Eyes_Closed", True): ({"closed", "happy"}, 2),
    ("Blond_Hair", True): ({""}, 2),
    ("Pale_Skin", True): ({""}, 4),
    ("Bald", True): ({""}, 1),
    ("Bushy_Eyebrows", True): ({""}, 1),
}


@pytest.mark.parametrize(("name", "value"), OPEN)
def test_all_that_a_change_leaves_open_is_drawn(name, value):
    """Every form that the labels allow, each picture another one; the first is drawn by the face's own
    chances.
    """
    new, _ = flip(PLAIN, name)
    assert new[name] == value
    found = AVATAAARS.variants(PLAIN, new, MIDDLE)
    pictures = {pixels(new, chances).tobytes() for _, chances in found}
    assert ({form for form, _ in found}, len(pictures)) == OPEN[name, value]
    assert len(found) == len(pictures)
    np.testing.assert_array_equal(pixels(new, found[0][1]), pixels(new, MIDDLE))


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_there_are_eight_variants_at_most(style):
    for labels, chances in random_faces(300, seed=8):
        for name in ATTRIBUTES:
            if flipped := flip(labels, name):
                assert 1 <= len(style.variants(labels, flipped[0], chances)) <= 8


def test_flips_that_would_not_show_are_left_out():
    assert flip({**PLAIN, "Wearing_Hat": True}, "Black_Hair") is None
    assert flip({**PLAIN, "No_Beard": False}, "Bald") is None
    assert flip({**PLAIN, "Long_Hair": True, "Bangs": True}, "Arched_Eyebrows") is None
    assert flip(PLAIN, "Male") is None
    assert flip(PLAIN, "Bald") == ({**PLAIN, "Brown_Hair": False, "Bald": True}, "Brown_Hair")
    assert flip({**PLAIN, "Brown_Hair": False, "Red_Hair": True}, "Red_Hair") == (PLAIN, "Brown_Hair")


def test_two_flips_are_made_in_the_order_that_is_possible():
    """Blond hair under a hat: the hat comes off first. Blond and black at once, and baldness with a hat, are
    not possible.
    """
    hat = {**PLAIN, "Wearing_Hat": True}
    assert flip_both(hat, "Blond_Hair", "Wearing_Hat") == {**PLAIN, "Brown_Hair": False, "Blond_Hair": True}
    assert flip_both(PLAIN, "Smiling", "Eyeglasses") == {**PLAIN, "Smiling": True, "Eyeglasses": True}
    assert flip_both(PLAIN, "Blond_Hair", "Black_Hair") is None
    assert flip_both(PLAIN, "Bald", "Wearing_Hat") is None
    assert flip_both(PLAIN, "Smiling", "Male") is None


def test_what_is_left_behind(tmp_path, monkeypatch):
    """The same bytes from one process and from two; the layout of faces/data/annotations.py; pairs that are
    what their row says.
    """
    config = configure(count=48, test=0.3, both=0)
    folders = [tmp_path / "one", tmp_path / "two"]
    reports = []
    for folder, workers in zip(folders, "12", strict=True):
        folder.mkdir()
        monkeypatch.setenv("FACES_WORKERS", workers)
        Source(config).fetch(7, folder, lambda *progress: reports.append(progress))
    digests = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        for folder in folders
    ]
    assert digests[0] == digests[1]
    assert set(digests[0]) == {
        "images.zip",
        "labels.parquet",
        "source.json",
        "counterfactuals.zip",
        "counterfactuals.csv",
        "calibration.zip",
        "calibration.csv",
    }

    table = annotations.read_labels(folders[0] / "labels.parquet")
    flips = pd.read_csv(folders[0] / "counterfactuals.csv", keep_default_na=False)
    about = json.loads((folders[0] / "source.json").read_text())
    truth = table.set_index("name")
    assert annotations.attributes(table) == ATTRIBUTES
    assert table["identity"].tolist() == list(range(1, 49))
    tested = [
        {name: bool(row[name] > 0) for name in ATTRIBUTES}
        for _, row in table[table["split"] == "test"].iterrows()
    ]
    pairs = {name: min(4, sum(flip(face, name) is not None for face in tested)) for name in ATTRIBUTES}
    assert about["counterfactuals"] == {name: count for name, count in pairs.items() if count}
    assert set(flips["of"]) <= set(table.loc[table["split"] == "test", "name"])
    assert all(truth.loc[row["of"], row["attribute"]] == -row["value"] for _, row in flips.iterrows())
    assert about["visible"] == about["flippable"] == [name for name in ATTRIBUTES if name != "Male"]
    assert "free for personal and commercial use" in about["licence"]
    assert about["request"]["seed"] == 7
    first = flips[flips["variant"] == 0]
    assert len(first) == sum(pairs.values()) and (flips["variant"].iloc[: len(first)] == 0).all()
    more = flips.iloc[len(first) :].groupby(["attribute", "of"])["variant"]
    assert more.size().groupby("attribute").size().max() == 2
    assert all(numbers.tolist() == [*range(1, len(numbers) + 1)] for _, numbers in more)
    for archive, names in (("images.zip", table["name"]), ("counterfactuals.zip", flips["name"])):
        with zipfile.ZipFile(folders[0] / archive) as members:
            assert members.namelist() == names.tolist()

    labels, chances = sample(config, 7)
    row = 3
    flipped = first.iloc[-1]
    face = {name: bool(value > 0) for name, value in truth.loc[flipped["of"], [*ATTRIBUTES]].items()}
    luck = chances.loc[table.index[table["name"] == flipped["of"]][0]].to_dict()
    with zipfile.ZipFile(folders[0] / "images.zip") as members:
        drawn = AVATAAARS.draw(labels.loc[row].to_dict(), chances.loc[row].to_dict(), config.nuisance)
        assert members.read(table["name"][row]) == writer.encode_jpeg(drawn, 92)
    with zipfile.ZipFile(folders[0] / "counterfactuals.zip") as members:
        drawn = AVATAAARS.draw(flip(face, flipped["attribute"])[0], luck, config.nuisance)
        assert members.read(flipped["name"]) == writer.encode_jpeg(drawn, 92)
    calibration = pd.read_csv(folders[0] / "calibration.csv", keep_default_na=False)
    assert set(calibration["of"]) <= set(table.loc[table["split"] == "valid", "name"])
    assert all(truth.loc[row["of"], row["attribute"]] == -row["value"] for _, row in calibration.iterrows())
    assert calibration.groupby(["attribute", "value"]).size().max() == 3
    total = 48 + len(flips) + len(calibration)
    assert reports[-1] == (total, total, "faces")


def test_another_style_draws_the_same_labels(tmp_path):
    """The faces' labels, splits and pairs are those of the first style; the pictures and their licence are
    not.
    """
    tables = []
    pictures = []
    for style in STYLES:
        folder = tmp_path / style
        folder.mkdir()
        Source(configure(count=24, test=0.3, style=style)).fetch(7, folder, lambda *progress: None)
        labels = annotations.read_labels(folder / "labels.parquet")
        tables.append(labels.drop(columns=list(annotations.LANDMARKS)))
        with zipfile.ZipFile(folder / "images.zip") as members:
            pictures.append(members.read("000001.jpg"))
        about = json.loads((folder / "source.json").read_text(encoding="utf-8"))
        assert STYLES[style].name in about["description"]
        assert about["licence"] == STYLES[style].licence
    pd.testing.assert_frame_equal(*tables)
    assert pictures[0] != pictures[1]
    assert "CC BY 4.0" in about["licence"]


def test_pairs_of_two_attributes_come_last(tmp_path):
    config = configure(count=48, test=0.3)
    Source(config).fetch(7, tmp_path, lambda *progress: None)
    table = annotations.read_labels(tmp_path / "labels.parquet")
    truth = table.set_index("name")
    flips = pd.read_csv(tmp_path / "counterfactuals.csv", keep_default_na=False)
    joint = flips[flips["second"] != ""]
    assert joint.index[0] == len(flips) - len(joint)
    assert joint.groupby(["attribute", "second"]).size().to_dict() == dict.fromkeys(map(tuple, TOGETHER), 3)
    assert set(joint["of"]) <= set(table.loc[table["split"] == "test", "name"])
    for first, value in (("attribute", "value"), ("second", "second_value")):
        assert all(truth.loc[row["of"], row[first]] == -row[value] for _, row in joint.iterrows())
    both = joint.iloc[-1]
    face = {name: bool(value > 0) for name, value in truth.loc[both["of"], [*ATTRIBUTES]].items()}
    _, chances = sample(config, 7)
    luck = chances.loc[table.index[table["name"] == both["of"]][0]].to_dict()
    drawn = AVATAAARS.draw(flip_both(face, both["attribute"], both["second"]), luck, config.nuisance)
    with zipfile.ZipFile(tmp_path / "counterfactuals.zip") as members:
        assert members.read(both["name"]) == writer.encode_jpeg(drawn, 92)
