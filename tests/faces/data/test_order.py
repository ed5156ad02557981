"""The order of training: every row once an epoch; with a window what is read at once lies together, and
batches vary as the design effect says.
"""

import numpy as np
import pytest
from scipy.stats import chisquare

from faces.data.order import Order, excess_variance

COUNT = 50


@pytest.mark.parametrize(
    ("window", "block"), [(0, 1), (0, 16), (16, 4), (17, 5), (4, 4), (50, 7), (1000, 16), (50, 50)]
)
def test_every_epoch_sees_every_row_once(window, block):
    rows = np.arange(100, 200, 2)
    order = Order(rows, 1, window, block)
    seen = np.concatenate([order.of_step(step, 8) for step in range(25)])  # 200 places, four epochs
    for epoch in range(4):
        np.testing.assert_array_equal(np.sort(seen[50 * epoch : 50 * epoch + 50]), rows)
    assert not np.array_equal(seen[:50], seen[50:100])
    assert not np.array_equal(seen[:8], Order(rows, 2, window, block).of_step(0, 8))
    again = Order(rows, 1, window, block)
    np.testing.assert_array_equal(again.of_step(13, 8), seen[104:112], "without the steps before")


def test_without_a_window_it_is_the_shuffle_of_seed_and_epoch():
    rows = np.arange(7, 57)
    expected = [rows[np.random.default_rng((3, epoch)).permutation(50)] for epoch in range(2)]
    seen = np.concatenate([Order(rows, 3).of_step(step, 10) for step in range(10)])
    np.testing.assert_array_equal(seen, np.concatenate(expected))


def test_a_window_is_made_of_whole_blocks():
    """60 rows in blocks of 5, 20 at a time: three windows of four blocks."""
    order = Order(np.arange(60), 4, 20, 5)
    seen = np.concatenate([order.of_step(step, 10) for step in range(6)])
    blocks = [np.unique(window // 5) for window in np.split(seen, 3)]
    assert [len(some) for some in blocks] == [4, 4, 4]
    assert len(np.unique(np.concatenate(blocks))) == 12
    assert not np.array_equal(seen, np.sort(seen)) and not np.array_equal(
        seen[:20] // 5, np.sort(seen[:20] // 5)
    )


@pytest.mark.parametrize("count", [60, 57, 64])
def test_every_block_is_asked_for_before_its_window_begins(count):
    """The first window when the run begins; each block once for each window that it is in."""
    rows = np.arange(10, 10 + count)
    order = Order(rows, 4, 20, 5)
    windows = [order.at_start(0, 1)]
    asked = []
    steps = 3 * count
    for step in range(steps):
        row = order.of_step(step, 1)[0]
        assert any(first <= row <= last for first, last in windows[-1])
        asked += order.ahead(step, 1)
        if step + 1 < steps and order.at_start(step + 1, 1) != windows[-1]:
            windows.append(order.at_start(step + 1, 1))
            assert asked == windows[-1]
            asked = []
    assert len(windows) == 3 * -(-count // 20)
    assert Order(rows, 4).ahead(0, 4) == Order(rows, 4).at_start(0, 4) == []


def batch_shares(labels: np.ndarray, order: Order, batch: int) -> np.ndarray:
    """(S,) the share of the label in each batch of an epoch."""
    return np.array([labels[order.of_step(step, batch)].mean() for step in range(len(labels) // batch)])


def test_sorted_by_label_batches_vary_as_a_cluster_sample():
    """32,768 rows, half of them with the label, in 512 blocks, 32 at a time: the mean of a window varies too,
    with the correction for windows without replacement. Beside it the uniform shuffle.
    """
    labels = np.arange(1 << 15) >= 1 << 14
    batch, blocks, block = 64, 32, 64
    shares = {
        window: np.stack(
            [
                batch_shares(labels, Order(np.arange(len(labels)), seed, window, block), batch)
                for seed in range(30)
            ]
        )
        for window in (0, blocks * block)
    }
    uniform = 0.25 / batch
    assert shares[0].var() / uniform == pytest.approx(1, abs=0.1)
    without_replacement = (512 - blocks) / (512 - 1)
    expected = 1 + (excess_variance(batch, blocks) - 1) * without_replacement  # 2.85
    assert shares[blocks * block].var() / uniform == pytest.approx(expected, rel=0.1)
    alike = np.corrcoef(*(shares[blocks * block].reshape(-1, blocks)[:, part].ravel() for part in (0, 1)))[
        0, 1
    ]
    assert alike == pytest.approx(batch / (batch + blocks), abs=0.12)
    assert np.corrcoef(shares[0][:, :-1].ravel(), shares[0][:, 1:].ravel())[0, 1] == pytest.approx(
        0, abs=0.04
    )


@pytest.mark.parametrize("window", [0, 2048])
def test_where_neighbours_have_nothing_in_common_batches_are_those_of_a_uniform_shuffle(window):
    """Labels of eight kinds, shuffled once: the counts of each batch against the whole, chi-square over 30
    epochs.
    """
    labels = np.random.default_rng(0).permutation(np.arange(1 << 13) % 8)
    total = 0.0
    batches = 0
    for seed in range(30):
        order = Order(np.arange(len(labels)), seed, window, 64)
        for step in range(len(labels) // 64):
            counts = np.bincount(labels[order.of_step(step, 64)], minlength=8)
            total += chisquare(counts).statistic
            batches += 1
    assert total / batches == pytest.approx(7, rel=0.03), "7 degrees of freedom"
