"""The table at the end of the retraining scenario."""

from benchmarks.retraining import phase_table


def test_the_phases_and_their_sum():
    phases = [("first champion", "0", 61.04), ("two jobs at once", "0 and 75", 30.0)]
    assert phase_table(phases).splitlines() == [
        "| phase | exit code | seconds |",
        "|---|---|---|",
        "| first champion | 0 | 61.0 |",
        "| two jobs at once | 0 and 75 | 30.0 |",
        "| all |  | 91.0 |",
    ]
