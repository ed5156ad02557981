"""The table of the scaling benchmark."""

from benchmarks.scaling import table


def test_speed_ups_are_those_over_one_process():
    taken = {1: {"crop": 8.0, "train": 3.0}, 2: {"crop": 4.0, "train": 2.0}, 4: {"crop": 2.5, "train": 6.0}}
    assert table(taken) == [
        "| | 1 process, s | 2 processes | 4 processes |",
        "|---|---|---|---|",
        "| crop | 8.0 | 2.00 | 3.20 |",
        "| train | 3.0 | 1.50 | 0.50 |",
    ]
