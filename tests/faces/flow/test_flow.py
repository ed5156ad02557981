"""The flow of codes in worlds whose counterfactuals are known, and the contract that both editors keep."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import onnxruntime
import pytest
import torch

from faces.edits.directions import Directions
from faces.edits.editor import Editor, LinearEditor
from faces.edits.exclusions import Exclusions, goals
from faces.flow.editing import abduct, predict
from faces.flow.editor import FlowEditor, FlowError
from faces.flow.export import export_velocity
from faces.flow.network import Flow, gaussian_velocity
from faces.flow.readouts import Readouts
from faces.flow.training import FlowSettings, find_kinds, interactions, linear_map, noise_of, train

FREE = Exclusions.none(1)


def settings(**changes) -> FlowSettings:
    values = {
        "steps": 500,
        "batch": 256,
        "width": 32,
        "blocks": 2,
        "axes": 64,
        "leading": 32,
        "kinds": 16,
        "whitening": 0.5,
        "weighting": 1.0,
        "learning_rate": 3e-3,
        "weight_decay": 0.0,
        "averaging": 0.99,
        "unknown": 0.1,
        "reports": 4,
    }
    return FlowSettings(**values | changes)


def fitted(codes: np.ndarray, labels: np.ndarray, ruled_out: Exclusions = FREE, **changes) -> FlowEditor:
    """An editor trained on the first nine tenths of codes (N, D) and labels (N, A); the rest is held out."""
    chosen = settings(**changes)
    codes = codes.astype(np.float32)
    labels = labels.astype(np.float32)
    torch.manual_seed(0)
    axes = min(chosen.axes, codes.shape[1])
    leading = min(chosen.leading, axes // 4)
    flow = Flow(
        codes.shape[1], axes, labels.shape[1], chosen.width, chosen.blocks, leading, min(chosen.kinds, axes)
    )
    linear_map(flow, codes, labels, np.arange(len(codes)), codes, chosen.whitening)
    split = len(codes) * 9 // 10
    z = torch.from_numpy(codes)
    y = torch.from_numpy(labels)
    interactions(flow, z[:split], y[:split], z[split:], y[split:])
    train(flow, z[:split], y[:split], (z[split:], y[split:]), chosen, 0, lambda step, loss: None)
    find_kinds(flow, noise_of(flow, z[:split], y[:split], 8), y[:split], labels.shape[1])
    names = tuple(f"a{number}" for number in range(labels.shape[1]))
    readouts = Readouts(
        names, np.zeros((len(names), codes.shape[1]), np.float32), np.zeros(len(names), np.float32)
    )
    return FlowEditor(names, ruled_out, flow.eval().requires_grad_(False), 8, readouts, 0.0)


def mean_difference(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(A, D) by regression on all labels, at native length: what a straight edit of one label adds."""
    design = labels - labels.mean(0)
    return 2 * np.linalg.lstsq(design, codes - codes.mean(0))[0]


def linear(codes: np.ndarray, labels: np.ndarray, ruled_out: Exclusions = FREE) -> LinearEditor:
    vectors = mean_difference(codes, labels)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    along = codes @ (vectors / lengths).T
    names = tuple(f"a{number}" for number in range(labels.shape[1]))
    covariance = np.cov(along.T, bias=True).reshape(len(names), -1)
    return LinearEditor.of(
        Directions(names, vectors, along.std(0), codes.mean(0), codes.std(0), covariance, ruled_out)
    )


@pytest.fixture(scope="module")
def gaussian() -> tuple[np.ndarray, np.ndarray]:
    """Linear-Gaussian codes (4000, 6) with two labels that go together (4000, 2)."""
    rng = np.random.default_rng(1)
    first = np.where(rng.random(4000) < 0.3, 1, -1)
    second = np.where(rng.random(4000) < 0.8, first, -first)
    labels = np.stack([first, second], 1)
    mixing = rng.standard_normal((6, 6))
    return labels @ rng.standard_normal((2, 6)) + rng.standard_normal((4000, 6)) @ mixing + 3, labels


@pytest.fixture(scope="module")
def gaussian_editor(gaussian) -> FlowEditor:
    return fitted(*gaussian)


def test_a_gaussian_is_carried_to_its_variance():
    """x_t = t r + (1 - t) e: the linear velocity takes a standard deviation of 1 to sqrt(variance)."""
    variance = torch.tensor([0.25, 1.0, 4.0], dtype=torch.float64)
    x = torch.ones(1, 3, dtype=torch.float64)
    for number in range(1000):
        x = (
            x
            + 1e-3
            * gaussian_velocity(torch.tensor([(number + 0.5) / 1000], dtype=torch.float64), variance)
            * x
        )
    np.testing.assert_allclose(x[0], [0.5, 1.0, 2.0], atol=1e-2)


def test_without_training_an_edit_is_the_regressions(gaussian):
    """Without what pairs of labels and poses seem to do, that of the labels alone."""
    codes, labels = gaussian
    editor = fitted(codes, labels, steps=0)
    editor.flow.pairs.zero_()
    editor.flow.interplay.zero_()
    wanted = np.tile([1, 0], (50, 1))
    expected = codes[:50] + (1 - labels[:50, :1]) / 2 * mean_difference(codes, labels)[0]
    np.testing.assert_allclose(editor.edit(codes[:50], labels[:50], wanted, 1.0), expected, atol=1e-4)


def test_on_linear_gaussian_codes_the_flow_stays_the_regression(gaussian, gaussian_editor):
    """To a twentieth of a deviation of the codes, root mean square over faces and numbers."""
    codes, labels = gaussian
    wanted = -labels[:500] * [1, 0]
    found = gaussian_editor.edit(codes[:500], labels[:500], wanted, 1.0)
    straight = linear(codes, labels).edit(codes[:500], labels[:500], wanted, 1.0)
    assert np.sqrt(np.square((found - straight) / codes.std(0)).mean()) < 0.05


def test_what_labels_do_together_and_with_a_pose_is_known_before_training(rng):
    """Planted: a pair of labels does something that neither does alone, and a label moves a face by as much
    as its pose says. The regression knows both, less what its ridge may give up (ENOUGH); straight edits are
    off by them.
    """
    labels = np.where(rng.random((8000, 2)) < 0.5, 1, -1)
    pose = rng.standard_normal((8000, 1))
    codes = np.concatenate([5 * pose, rng.standard_normal((8000, 7)) * 0.1], 1)
    codes[:, 1] += labels[:, 0] * labels[:, 1]
    codes[:, 2] += labels[:, 0] * pose[:, 0]
    true = codes.copy()
    true[:, 1] -= 2 * labels[:, 0] * labels[:, 1]
    true[:, 2] -= 2 * labels[:, 0] * pose[:, 0]
    wanted = -labels * [1, 0]
    straight = linear(codes, labels).edit(codes, labels, wanted, 1.0)
    found = fitted(codes, labels, steps=0, leading=1).edit(codes, labels, wanted, 1.0)
    assert np.sqrt(np.square(straight - true)[:, 1:3].mean()) > 1.9
    assert np.sqrt(np.square(found - true)[:, 1:3].mean()) < 0.25


@pytest.mark.parametrize("kinds", [2, 0])
def test_what_only_faces_with_a_label_differ_in_goes_with_it(rng, kinds):
    """Planted: a tenth of the faces have the label, and of these each its own kind, 3 deviations wide along
    two axes where the others are alike to .1. As the label goes a kind shrinks to that of the others, as the
    optimal map between the two Gaussians does; as it comes nothing grows. Without `kinds` all of it stays.
    """
    labels = np.where(rng.random((20000, 1)) < 0.1, 1, -1)
    codes = rng.standard_normal((20000, 6))
    codes[:, :2] *= np.where(labels > 0, 3.0, 0.1)
    editor = fitted(codes, labels, steps=0, leading=0, kinds=kinds)
    found = editor.edit(codes, labels, -labels, 1.0)
    had = labels[:, 0] > 0
    expected = codes.copy()
    expected[had, :2] *= 0.1 / 3 if kinds else 1.0
    assert np.sqrt(np.square(found - expected)[had].mean()) < 0.15
    assert np.sqrt(np.square(found - expected)[~had].mean()) < 0.15
    half = editor.edit(codes[had], labels[had], -labels[had], 0.5)
    np.testing.assert_allclose(half[:, :2], (codes + found)[had, :2] / 2, atol=0.05)


def test_a_label_that_all_faces_or_none_have_has_no_kinds(rng):
    codes = rng.standard_normal((300, 6))
    labels = np.stack([np.ones(300), -np.ones(300), np.zeros(300)], 1)
    assert not fitted(codes, labels, steps=0).flow.kinds.any()


@pytest.fixture(scope="module")
def rings() -> tuple[np.ndarray, np.ndarray]:
    """Two rings (6000, 2): with the label the radius is 3, without it 1; the angle is what no label says."""
    rng = np.random.default_rng(2)
    angle = rng.random(6000) * 2 * np.pi
    labels = np.where(rng.random(6000) < 0.5, 1, -1)
    radius = np.where(labels > 0, 3.0, 1.0) + 0.1 * rng.standard_normal(6000)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), labels[:, None]


@pytest.fixture(scope="module")
def ring_editor(rings) -> FlowEditor:
    return fitted(*rings)


def test_rings(rings, ring_editor):
    """A line cannot leave a ring for another: the radius stays within .1 of where it was.

    The flow gets there, and the angle stays.
    """
    codes, labels = rings
    straight = linear(codes, labels).edit(codes[:400], labels[:400], -labels[:400], 1.0)
    found = ring_editor.edit(codes[:400], labels[:400], -labels[:400], 1.0)
    goal = np.where(labels[:400, 0] > 0, 1.0, 3.0)
    assert np.abs(np.hypot(*straight.T) - goal).mean() > 1.8
    assert np.abs(np.hypot(*found.T) - goal).mean() < 0.3
    turned = np.angle(np.exp(1j * (np.arctan2(*found.T[::-1]) - np.arctan2(*codes[:400].T[::-1]))))
    assert np.abs(turned).mean() < 0.15


def test_two_modes_for_each_label():
    """Without the label a face is at (1, y) or (-1, y), with it at (3, y) or (-3, y): the mean step is none,
    yet every face must move, on its own side.
    """
    rng = np.random.default_rng(3)
    labels = np.where(rng.random(6000) < 0.5, 1, -1)
    side = np.where(rng.random(6000) < 0.5, 1, -1)
    codes = np.stack([side * (2 + labels), np.zeros(6000)], 1) + 0.2 * rng.standard_normal((6000, 2))
    labels = labels[:, None]
    step = np.stack([-2.0 * side * labels[:, 0], np.zeros(6000)], 1)
    straight = linear(codes, labels).edit(codes[:400], labels[:400], -labels[:400], 1.0)
    found = fitted(codes, labels).edit(codes[:400], labels[:400], -labels[:400], 1.0)
    assert np.linalg.norm(straight - codes[:400] - step[:400], axis=1).mean() > 1.9
    assert np.linalg.norm(found - codes[:400] - step[:400], axis=1).mean() < 0.4


@dataclass(frozen=True)
class World:
    editor: Editor
    codes: np.ndarray
    labels: np.ndarray


@pytest.fixture(params=["line", "flow"])
def world(request, rings, ring_editor, gaussian) -> World:
    """A trained editor of either kind, in a world where it works."""
    if request.param == "flow":
        return World(ring_editor, rings[0][:100].astype(np.float32), rings[1][:100])
    codes = gaussian[0]
    labels = gaussian[1][:, :1]
    return World(linear(codes, labels), codes[:100].astype(np.float32), labels[:100])


def test_strength_0_is_the_code_to_the_last_bit(world):
    np.testing.assert_array_equal(
        world.editor.edit(world.codes, world.labels, -world.labels, 0.0), world.codes
    )


def test_an_edit_to_the_labels_that_a_face_has_changes_nothing(world):
    for strength in (0.5, 1.0, 3.0):
        np.testing.assert_array_equal(
            world.editor.edit(world.codes, world.labels, world.labels, strength), world.codes
        )


def test_there_and_back_is_the_identity(world):
    """To a thousandth of a deviation, root mean square, at 32 steps of the solver; exact to rounding for
    lines.
    """
    editor = (
        dataclasses.replace(world.editor, steps=32) if isinstance(world.editor, FlowEditor) else world.editor
    )
    there = editor.edit(world.codes, world.labels, -world.labels, 1.0)
    back = editor.edit(there, -world.labels, world.labels, 1.0)
    assert np.abs(there - world.codes).max() > 0.5
    assert np.sqrt(np.square((back - world.codes) / world.codes.std(0)).mean()) < 1e-3


@pytest.mark.parametrize("steps", [2, 4, 8])
def test_the_solver_is_reversible(rings, ring_editor, steps):
    """From code to noise and back under the same labels is the identity to rounding, at however few steps."""
    codes = torch.from_numpy(rings[0][:200].astype(np.float32))
    labels = torch.from_numpy(rings[1][:200].astype(np.float32))
    noise = abduct(ring_editor.flow, codes, labels, steps)
    assert (noise[0] - ring_editor.flow.rest(codes, labels)).abs().max() > 0.3
    barely = torch.full((200,), 1e-7)
    back = predict(ring_editor.flow, codes, noise, labels, -labels, barely, steps)
    assert (back - codes).abs().max() < 2e-5


def test_a_change_between_other_labels_than_the_faces_own(rings, ring_editor):
    """From -1 to 1 at strength s is, for a face that has the label, what -s does from 1 to -1."""
    outer = rings[1][:, 0] > 0
    codes = torch.from_numpy(rings[0][outer][:20].astype(np.float32))
    labels = torch.ones(20, 1)
    amount = torch.full((20,), 0.3)
    noise = abduct(ring_editor.flow, codes, labels, 4)
    found = predict(ring_editor.flow, codes, noise, labels, labels, amount, 4, start=-labels)
    expected = predict(ring_editor.flow, codes, noise, labels, -labels, -amount, 4)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert (found - codes).abs().max() > 0.1


def test_the_path_is_smooth_and_monotone(rings, ring_editor):
    """From ring to ring the radius rises all along, by no leap, and a strength of each face's own does the
    same as one for all.
    """
    codes, labels = rings
    inner = np.flatnonzero(labels[:, 0] < 0)[:50]
    strengths = np.linspace(-0.25, 1.25, 13)
    wanted = np.ones((50, 1))
    path = np.stack(
        [ring_editor.edit(codes[inner], labels[inner], wanted, strength) for strength in strengths]
    )
    radius = np.hypot(path[..., 0], path[..., 1]).mean(1)
    assert (np.diff(radius) > 0).all()
    assert np.diff(radius).max() < 3 * np.diff(radius).mean()
    several = ring_editor.edit(
        np.repeat(codes[inner[:1]], 13, 0), np.repeat(labels[inner[:1]], 13, 0), np.ones((13, 1)), strengths
    )
    np.testing.assert_allclose(several, path[:, 0], atol=1e-4)


def test_strengths_in_sigmas(gaussian):
    """One switch of label a is as many sigmas as `edit` is `edit_sigma`s long."""
    codes, labels = gaussian
    editor = linear(codes, labels)
    wanted = -labels[:20] * [1, 0]
    native = editor.directions.edit("a0", wanted[:, 0], labels[:20])
    sigma = editor.directions.edit_sigma("a0", wanted[:, 0], labels[:20])
    np.testing.assert_allclose(editor.sigmas(labels[:20], wanted)[:, None] * sigma, native, atol=1e-9)


def test_goals():
    """a and b shut each other out: b goes where a comes, unless it is unknown, locked, or asked for; a soft
    label goes whole.
    """
    ruled_out = Exclusions(np.array([[1, 1, 0]], np.int8), np.zeros((0, 3), np.int8))
    labels = np.array([[-1, 1, 1], [-1, 0, 1], [-1, 0.6, 1], [1, -1, -1]], np.float32)
    wanted = np.array([[1, 0, 0]] * 3 + [[-1, 0, 0]])
    locked = np.array([False, True, False])
    np.testing.assert_array_equal(
        goals(labels, wanted, ruled_out, None), [[1, -1, 1], [1, 0, 1], [1, -1, 1], [-1, -1, -1]]
    )
    np.testing.assert_array_equal(goals(labels, wanted, ruled_out, locked)[0], [1, 1, 1])
    np.testing.assert_array_equal(goals(labels[:1], np.array([[1, 1, 0]]), ruled_out, None), [[1, 1, 1]])


def test_axes_are_told_by_what_they_change_in_the_pictures(rng):
    """Two code numbers of equal variance, of which the second moves the pictures three times as much: it
    comes first, and by whitening keeps its scale.
    """
    codes = rng.standard_normal((4000, 2)).astype(np.float32)
    labels = np.where(rng.random((4000, 1)) < 0.5, 1, -1).astype(np.float32)
    for whitening, ratio in ((0.0, 9.0), (0.5, 3.0), (1.0, 1.0)):
        flow = Flow(2, 2, 1, 8, 1, 0, 0)
        linear_map(flow, codes, labels, np.arange(4000), codes * [1, 3], whitening)
        assert abs(flow.inward[0, 1]) > 20 * abs(flow.inward[0, 0])
        assert flow.variance[0] / flow.variance[1] == pytest.approx(ratio, rel=0.1)
        np.testing.assert_allclose(flow.inward @ flow.outward.T, np.eye(2), atol=1e-5)
        rest = flow.rest(torch.from_numpy(codes), torch.from_numpy(labels))
        np.testing.assert_allclose(np.cov(rest.numpy().T, bias=True), np.diag(flow.variance), atol=1e-3)


def test_what_lies_beyond_the_axes_is_not_touched(rng):
    """Codes of 40 numbers along 8 axes: an edit moves nothing at right angles to the label's slope and those
    axes.
    """
    labels = np.where(rng.random((1000, 1)) < 0.5, 1, -1)
    codes = rng.standard_normal((1000, 40)) * np.linspace(5, 0.2, 40) + labels * np.eye(40)[0]
    editor = fitted(codes, labels, axes=8, steps=60)
    moved = editor.edit(codes[:50], labels[:50], -labels[:50], 1.0) - codes[:50].astype(np.float32)
    basis = np.linalg.qr(np.concatenate([editor.flow.outward.numpy(), editor.flow.slopes.numpy()]).T)[0]
    assert np.abs(moved).max() > 1
    assert np.abs(moved - moved @ basis @ basis.T).max() < 1e-4


def test_saved_and_opened_it_edits_alike(rings, ring_editor, tmp_path):
    codes, labels = rings
    ring_editor.save(tmp_path, {"held_out": 1.0})
    opened = FlowEditor.open(tmp_path, torch.device("cpu"))
    expected = ring_editor.edit(codes[:9], labels[:9], -labels[:9], 0.7)
    np.testing.assert_array_equal(opened.edit(codes[:9], labels[:9], -labels[:9], 0.7), expected)
    (tmp_path / "flow.safetensors").unlink()
    with pytest.raises(FlowError, match="run `dvc repro flow`"):
        FlowEditor.open(tmp_path, torch.device("cpu"))


def test_the_exported_velocity_is_torchs(rings, ring_editor, tmp_path):
    """By both networks, for one face and for several, at times other than those of the export."""
    codes = rings[0].astype(np.float32)
    labels = rings[1].astype(np.float32)
    export_velocity(ring_editor.flow, codes[:8], labels[:8], tmp_path)
    modulation, velocity = (
        onnxruntime.InferenceSession(tmp_path / f"{name}.onnx") for name in ("modulation", "velocity")
    )
    for count in (1, 5):
        times = np.linspace(0.1, 0.7, count).astype(np.float32)
        arrays = (codes[:count], times, labels[:count])
        expected = ring_editor.flow.velocity(*map(torch.from_numpy, arrays)).numpy()
        told = modulation.run(None, {"times": times, "labels": labels[:count]})[0]
        values = {"x": codes[:count], "times": times, "modulation": told}
        np.testing.assert_allclose(velocity.run(None, values)[0], expected, atol=1e-5)


def test_soft_labels_are_mixed_in(rings, ring_editor):
    """Half a raw label of 1, half a readout of .5: the flow is told .75; what is asked for, in full."""
    normals = np.zeros((1, 2), np.float32)
    readouts = Readouts(("a0",), normals, np.array([2 * np.arctanh(0.5)], np.float32))
    soft = FlowEditor(("a0",), FREE, ring_editor.flow, 8, readouts, 0.5)
    labels = np.ones((3, 1), np.float32)
    np.testing.assert_allclose(soft.given(rings[0][:3], labels), 0.75)
    np.testing.assert_array_equal(
        soft.edit(rings[0][:3], labels, labels, 1.0), rings[0][:3].astype(np.float32)
    )
