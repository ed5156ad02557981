"""What labels take back of what another brings along, in a world where that is planted."""

import dataclasses

import numpy as np
import pytest
import torch

from faces.edits.exclusions import Exclusions
from faces.flow.compensation import MOST, compensation
from faces.flow.editor import FlowEditor
from faces.flow.network import Flow
from faces.flow.readouts import Readouts
from faces.latents.codes import Codes

NAMES = ("glasses", "smile", "hat", "unread")
# What a unit of each label does to each number of the code, by the flow's regression.
SLOPES = np.array([[1, 0, 0, 0], [0.15, 1, -0.1, 0], [0, 0.05, 1, 0], [0, 0, 0, 1]])


def unchanged(codes: np.ndarray) -> np.ndarray:
    """The codes of pictures that lose nothing."""
    return codes


@pytest.fixture
def world(rng):
    """A flow that is its regression, whose labels are read off one number each; codes and labels (400, 4)."""
    flow = Flow(4, 4, 4, 8, 1, 0, 1)
    flow.slopes.copy_(torch.from_numpy(SLOPES))
    flow.inward.copy_(torch.eye(4))
    flow.outward.copy_(torch.eye(4))
    torch.nn.init.zeros_(flow.network.leave.weight)
    torch.nn.init.zeros_(flow.network.leave.bias)
    normals = np.diag([2.0, 2.0, 2.0, 0.0]).astype(np.float32)
    readouts = Readouts(NAMES, normals, np.zeros(4, np.float32))
    editor = FlowEditor(NAMES, Exclusions.none(4), flow.eval().requires_grad_(False), 2, readouts, 0.0)
    labels = rng.choice([-1, 1], (400, 4)).astype(np.float32)
    codes = (labels @ SLOPES + 0.3 * rng.standard_normal((400, 4))).astype(np.float32)
    return editor, codes, labels


def found(world, seen=unchanged) -> np.ndarray:
    editor, codes, labels = world
    return compensation(editor, Codes.all(codes), labels, seen, 200, 1)


def test_a_label_takes_back_what_another_does_to_it(world):
    """A smile brings .15 of glasses and takes .1 of a hat; both take that back, but for the ridge."""
    matrix = found(world)
    np.testing.assert_allclose(matrix[1], [-0.15, 0, 0.1, 0], atol=0.01)
    np.testing.assert_allclose(matrix[0], 0, atol=0.01)
    np.testing.assert_allclose(np.diag(matrix), 0)
    assert 0.14 < -matrix[1, 0] < 0.15


def test_an_edit_with_it_brings_nothing_along(world):
    """The smile itself changes as much as before, forwards and back, and at half the strength by half."""
    editor, codes, labels = world
    plain = editor.switch("smile", codes, labels, -labels[:, 1], 1.0) - codes
    np.testing.assert_allclose(plain * -labels[:, [1]], np.tile(2 * SLOPES[1], (400, 1)), atol=1e-4)
    editor.flow.compensation = torch.from_numpy(found(world))
    for strength in (0.5, 1.0):
        moved = editor.switch("smile", codes, labels, -labels[:, 1], strength) - codes
        moved = moved * -labels[:, [1]] / strength
        np.testing.assert_allclose(moved[:, [0, 2, 3]], 0, atol=0.02)
        np.testing.assert_allclose(moved[:, 1], 2 * (1 + 0.05 * editor.flow.compensation[1, 2]), atol=1e-4)
    there = editor.switch("smile", codes, labels, -labels[:, 1], 1.0)
    turned = labels * [1, -1, 1, 1]
    back = editor.move(there, turned.astype(np.float32), labels, np.ones(400, np.float32))
    np.testing.assert_allclose(back, codes, atol=1e-3)


def test_what_is_seen_counts(world):
    """Pictures that do not show hats at all: no hat takes anything back, nor is taken back."""
    matrix = found(world, lambda codes: codes * np.float32([1, 1, 0, 1]))
    assert np.abs(matrix[:, 2]).max() < 1e-6
    np.testing.assert_allclose(matrix[1, 0], -0.15, atol=0.01)


def test_labels_that_exclude_one_another_and_unknown_ones_are_left_alone(world):
    editor, codes, labels = world
    ruled_out = Exclusions(np.array([[1, 1, 0, 0]], np.int8), np.zeros((0, 4), np.int8))
    matrix = found((dataclasses.replace(editor, exclusions=ruled_out), codes, labels))
    assert matrix[1, 0] == 0 and matrix[1, 2] == pytest.approx(0.1, abs=0.01)
    editor.flow.compensation = torch.from_numpy(found(world))
    hidden = labels.copy()
    hidden[:, 0] = 0
    moved = editor.switch("smile", codes, hidden, -labels[:, 1], 1.0) - codes
    np.testing.assert_allclose(moved[:, 0] * -labels[:, 1], 0.3, atol=1e-4)
    assert np.abs(moved[:, 2]).max() < 0.02
    few = labels.copy()
    few[7:, 2] = -1  # at most seven faces with a hat
    assert not found((editor, codes, few))[:, 2].any()


def test_it_is_kept_with_the_flow(world, tmp_path):
    editor, codes, labels = world
    editor.save(tmp_path, {})
    assert FlowEditor.open(tmp_path, torch.device("cpu")).flow.compensation is None
    editor.flow.compensation = torch.from_numpy(found(world))
    editor.save(tmp_path, {})
    again = FlowEditor.open(tmp_path, torch.device("cpu"))
    ways = [one.switch("smile", codes, labels, -labels[:, 1], 1.0) for one in (editor, again)]
    np.testing.assert_array_equal(*ways)
    of_weights = Flow.of(again.flow.state_dict())
    torch.testing.assert_close(of_weights.compensation, editor.flow.compensation)


def test_no_label_does_more_than_a_fifth_of_what_another_does(world):
    """A smile that brings three times as much of glasses as glasses do."""
    world[0].flow.slopes[1, 0] = 3.0
    matrix = found(world)
    assert matrix[1, 0] == np.float32(-MOST) and np.abs(matrix).max() == np.float32(MOST) < 0.3
