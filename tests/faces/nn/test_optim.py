"""Learning-rate schedule and weight average, by hand."""

import pytest
import torch

from faces.nn.optim import learning_rate, update_average


def test_the_learning_rate_rises_then_falls():
    assert learning_rate(0.0, 1.0, 0.1, "cosine") == 0
    assert learning_rate(0.1, 1.0, 0.1, "cosine") == pytest.approx(0.9755, abs=1e-4)
    assert learning_rate(0.5, 1.0, 0.1, "cosine") == pytest.approx(0.5)
    assert learning_rate(1.0, 1.0, 0.1, "cosine") == pytest.approx(0)
    assert learning_rate(0.9, 1.0, 0.0, "none") == 1
    late = [learning_rate(progress, 2.0, 0.1, "late") for progress in (0.05, 0.1, 0.7, 0.85, 1.0)]
    assert late == pytest.approx([1, 2, 2, 1, 0])


@pytest.mark.parametrize(("step", "kept"), [(1000, 0.75), (10, 0.5), (1, 1 / 11)])
def test_the_average_moves_weights_and_copies_buffers(step, kept):
    """A share of 0.75 is kept, less while the run is young: step / (step + 10)."""
    average = torch.nn.BatchNorm2d(1)
    current = torch.nn.BatchNorm2d(1)
    with torch.no_grad():
        current.weight.fill_(3.0)
        current.running_mean.fill_(5.0)
    update_average(average, current, 0.75, step)
    assert average.weight.item() == pytest.approx(kept * 1 + (1 - kept) * 3)
    assert average.running_mean.item() == 5.0
