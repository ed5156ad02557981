"""From photograph to face: known points must land where the template puts them."""

import io

import cv2
import numpy as np
import pytest
import scipy.optimize
import skimage.data
from PIL import Image

from facemorph import align
from facemorph.align import Detector, DetectorMissing, Geometry, apply, similarity
from faces.ingest import decode
from tests.helpers import exports

GEOMETRY = Geometry(
    (178, 218),
    np.array([[69.745, 111.0], [107.237, 111.0], [88.432, 152.514]]),
    (15, 35, 163, 183),
    64,
    "lanczos",
)
ASTRONAUT = np.array(
    [[202.8, 100.8], [246.2, 102.8], [223.4, 139.8]]
)  # pupils and middle of the mouth corners, measured by hand


@pytest.fixture(scope="module")
def detector():
    return Detector()


def turn(angle, scale, shift):
    c = scale * np.cos(angle)
    s = scale * np.sin(angle)
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]])


def test_a_planted_similarity_is_found(rng):
    matrix = turn(0.7, 2.5, (30, -12))
    points = rng.normal(size=(3, 2)) * 40
    np.testing.assert_allclose(similarity(points, apply(matrix, points)), matrix, atol=1e-10)


def test_the_similarity_is_the_least_squares_one(rng):
    source, goal = rng.normal(size=(2, 3, 2)) * 40
    rows = [[x, -y, 1, 0] for x, y in source] + [[y, x, 0, 1] for x, y in source]
    a, b, c, d = np.linalg.lstsq(np.array(rows), goal.T.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(similarity(source, goal), [[a, -b, c], [b, a, d]], atol=1e-10)


def test_points_on_one_spot_are_refused():
    with pytest.raises(ValueError, match="one spot"):
        similarity(np.ones((3, 2)), GEOMETRY.template)


@pytest.mark.parametrize("half_turn", [False, True])
def test_eyes_given_the_wrong_way_round_are_exchanged(half_turn):
    points = GEOMETRY.template * (-1 if half_turn else 1)
    np.testing.assert_array_equal(align.ordered(points), points)
    np.testing.assert_array_equal(align.ordered(points[[1, 0, 2]]), points)


def test_a_picture_that_is_a_frame_is_cut_exactly_as_in_training(rng):
    picture = exports.draw(True, True, False, rng)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    expected = decode.face(buffer.getvalue(), exports.GEOMETRY)
    geometry = Geometry(GEOMETRY.frame, GEOMETRY.template, GEOMETRY.box, exports.GEOMETRY.size, "lanczos")
    by_frame, first = geometry.by_frame(np.asarray(picture))
    by_points, second = geometry.by_points(np.asarray(picture), geometry.template)
    np.testing.assert_array_equal(by_frame, expected)
    np.testing.assert_array_equal(by_points, expected)
    np.testing.assert_allclose(first, second, atol=1e-9)


@pytest.mark.parametrize(("angle", "scale"), [(0.0, 1.0), (0.35, 2.3), (-0.6, 6.0), (3.1, 0.6)])
def test_dots_on_eyes_and_mouth_land_on_the_template(angle, scale):
    """White dots at known places of a large dark photograph: their centres in the face are the template's
    places, to a third of a pixel.
    """
    matrix = turn(angle, scale, (900, 700))
    points = apply(matrix, GEOMETRY.template - GEOMETRY.template.mean(0))
    photo = np.zeros((1400, 1800, 3), np.uint8)
    for point in points:
        cv2.circle(
            photo,
            tuple(np.round(point * 16).astype(int).tolist()),
            round(5 * scale * 16),
            (255, 255, 255),
            -1,
            cv2.LINE_AA,
            4,
        )
    face, to_face = GEOMETRY.by_points(photo, points)
    goal = apply(GEOMETRY.cut, GEOMETRY.template)
    np.testing.assert_allclose(apply(to_face, points), goal, atol=1e-6)
    bright = face[:, :, 0].astype(float)
    for x, y in goal:
        window = np.s_[round(y) - 6 : round(y) + 7, round(x) - 6 : round(x) + 7]
        ys, xs = np.mgrid[0:64, 0:64]
        weight = bright[window] / bright[window].sum()
        assert np.hypot((weight * xs[window]).sum() - x, (weight * ys[window]).sum() - y) < 0.34


def test_fine_patterns_are_averaged_and_not_aliased():
    photo = (np.indices((3000, 3000)).sum(0) % 2 * 255).astype(np.uint8)
    face, _ = GEOMETRY.by_points(
        np.dstack([photo] * 3), (GEOMETRY.template - GEOMETRY.template.mean(0)) * 9 + 1500
    )
    assert np.abs(face.astype(float) - 127.5).max() < 4


def test_beyond_the_photograph_its_border_is_repeated():
    photo = np.full((100, 100, 3), (10, 90, 200), np.uint8)
    face, _ = GEOMETRY.by_points(photo, GEOMETRY.template + 150)
    assert np.abs(face.astype(int) - (10, 90, 200)).max() <= 1


def in_frame(points, anchors):
    """Where `points` of a photograph come to lie in the frame when it is aligned by `anchors`."""
    return apply(similarity(anchors, GEOMETRY.template), points)


def distances(a, b):
    return np.linalg.norm(a - b, axis=1)


def test_the_astronauts_known_landmarks_land_within_three_pixels_of_the_template():
    """Measured by hand. Her laughing mouth is a fifth nearer to her eyes than the template's: no similarity
    brings all three nearer than 2.89 pixels.
    """
    _, to_face = GEOMETRY.by_points(skimage.data.astronaut(), ASTRONAUT)
    to_frame = align.compose(align.invert(GEOMETRY.cut), to_face)
    assert distances(apply(to_frame, ASTRONAUT), GEOMETRY.template).max() < 3

    def largest(values):
        a, b, x, y = values
        return distances(apply(np.array([[a, -b, x], [b, a, y]]), ASTRONAUT), GEOMETRY.template).max()

    search = {
        "method": "Nelder-Mead",
        "options": {"maxiter": 5000, "maxfev": 5000, "xatol": 1e-8, "fatol": 1e-8},
    }
    least = scipy.optimize.minimize(largest, [*to_frame[:, 0], *to_frame[:, 2]], **search).fun
    assert least == pytest.approx(2.897, abs=0.005)


def test_the_detector_puts_the_astronaut_where_she_belongs(detector):
    """At eight sizes and turns, what it sees of her eyes lands within 3 pixels of the template's. Eyes and
    mouth, measured by hand, lie within 2.5 pixels of where they lie when she is aligned by hand, and
    within 0.7 of where they lie at the other sizes and turns. That her mouth then is up to 5 pixels from
    the template's is 2.9 her own, the rest the detector's, which sees it too low.
    """
    rng = np.random.default_rng(0)
    exact = in_frame(ASTRONAUT, ASTRONAUT)
    places = []
    for _ in range(8):
        scale = np.exp(rng.uniform(np.log(0.5), np.log(2)))
        angle = rng.uniform(-0.35, 0.35)
        side = round(660 * scale)
        matrix = turn(angle, scale, (0, 0))
        matrix[:, 2] = side / 2 - matrix[:, :2] @ (256, 200)
        photo = align.extract(skimage.data.astronaut(), matrix, (side, side))
        face = detector.look_again(photo, detector.find(photo)[0])
        landed = in_frame(apply(matrix, ASTRONAUT), face.anchors)
        assert distances(in_frame(face.anchors, face.anchors), GEOMETRY.template).max() < 3
        assert (distances(landed, exact) < (2.5, 2.5, 2.5)).all()
        assert (distances(landed, GEOMETRY.template) < (3, 3, 5)).all()
        assert not face.turned and face.score > 0.8
        places.append(landed)
    assert np.linalg.norm(places - np.mean(places, axis=0), axis=-1).max() < 0.7


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_photograph_on_its_side_or_head_gives_the_same_face(detector, quarters):
    """Points, cut and map are those of the upright photograph, turned with it."""
    photo = skimage.data.astronaut()[:320, :400]
    turned = np.ascontiguousarray(np.rot90(photo, quarters))
    upright = detector.look_again(photo, detector.find(photo)[0])
    lying = detector.find(turned)
    assert len(lying) == 1
    back = align.invert(align.quarter_turn(quarters, 400, 320))
    box = align.moved(upright, back).box
    assert np.abs(lying[0].box - box).max() < 0.1 * upright.eyes
    found = detector.look_again(turned, lying[0])
    assert distances(found.points, apply(back, upright.points)).max() < 0.5
    face, to_face = GEOMETRY.by_points(turned, found.anchors)
    expected, _ = GEOMETRY.by_points(photo, upright.anchors)
    assert np.abs(face.astype(int) - expected).mean() < 3
    np.testing.assert_allclose(
        apply(to_face, apply(back, upright.anchors)), apply(to_face, found.anchors), atol=0.4
    )


def test_a_quarter_turn_and_its_way_back(rng):
    photo = rng.integers(0, 255, (5, 8, 3), np.uint8)
    for quarters in range(4):
        turned = np.rot90(photo, quarters)
        back = align.quarter_turn(quarters, 8, 5)
        for y, x in np.ndindex(turned.shape[:2]):
            u, v = apply(back, np.array([x, y])).astype(int)
            np.testing.assert_array_equal(turned[y, x], photo[v, u])


def test_a_second_look_agrees_with_itself_where_the_first_does_not(detector):
    """The same face at another size and turn: first looks differ by more than 3 pixels of a frame, second
    ones by less than 1.5.
    """
    photo = skimage.data.astronaut()
    matrix = turn(0.3, 1.3, (150, 0))
    other = align.extract(photo, matrix, (820, 820))
    first = detector.find(photo)[0]
    second = detector.find(other)[0]
    apart = distances(in_frame(apply(matrix, ASTRONAUT), second.anchors), in_frame(ASTRONAUT, first.anchors))
    first = detector.look_again(photo, first)
    second = detector.look_again(other, second)
    together = distances(
        in_frame(apply(matrix, ASTRONAUT), second.anchors), in_frame(ASTRONAUT, first.anchors)
    )
    assert apart.max() > 3
    assert together.max() < 1.5


def test_a_second_look_at_nothing_keeps_the_first(detector, rng):
    points = np.array([[40.0, 40], [60, 40], [50, 50], [44, 60], [56, 60]])
    face = align.Face(np.array([30.0, 20, 40, 50]), points, 0.7)
    np.testing.assert_array_equal(
        detector.look_again(np.full((100, 100, 3), 128, np.uint8), face).points, points
    )


def test_a_face_fits_the_frame_up_to_half_an_eye_distance():
    half = (107.237 - 69.745) / 2
    for beside, fits in ((half - 0.01, True), (half + 0.01, False)):
        assert GEOMETRY.fits(GEOMETRY.template + np.array([0, beside])) is fits


def test_the_detector_finds_several_faces_the_largest_first(detector):
    astronaut = skimage.data.astronaut()[:260, 80:380]
    small = cv2.resize(astronaut, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    group = np.full((300, 700, 3), 128, np.uint8)
    group[: small.shape[0], : small.shape[1]] = small
    group[:260, 350:650] = astronaut
    first, second = detector.find(group)
    assert first.box[0] > 350 > second.box[0]
    assert first.eyes / second.eyes == pytest.approx(1 / 0.6, rel=0.15)


@pytest.mark.parametrize("side", [16, 100, 2048])
def test_the_detector_finds_nobody_where_there_is_nobody(detector, side, rng):
    assert detector.find(rng.integers(0, 255, (side, side, 3), np.uint8)) == []
    assert detector.find(np.zeros((side, 2 * side, 3), np.uint8)) == []


def test_a_small_face_in_a_large_picture_is_found_by_looking_closer(detector):
    face = cv2.resize(skimage.data.astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    scene = np.full((1500, 2000, 3), 140, np.uint8)
    scene[900:1156, 1200:1456] = face
    found = detector.find(scene)
    assert len(found) == 1
    eyes = found[0].points[:2].mean(0) - (1200, 900)
    assert np.linalg.norm(eyes - ASTRONAUT[:2].mean(0) / 2) < 5


def test_a_changed_detector_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(align, "DETECTOR_SHA256", "0" * 64)
    with pytest.raises(DetectorMissing, match="SHA-256"):
        align.detector_file()


def test_the_frame_of_a_wider_picture_is_its_middle():
    photo = np.zeros((218, 578, 3), np.uint8)
    photo[:, 200:378] = 250
    face, to_face = GEOMETRY.by_frame(photo)
    assert face.min() > 240
    np.testing.assert_allclose(
        apply(to_face, GEOMETRY.template + np.array([200, 0])),
        apply(GEOMETRY.cut, GEOMETRY.template),
        atol=1e-9,
    )
    assert Image.fromarray(face).size == (64, 64)
