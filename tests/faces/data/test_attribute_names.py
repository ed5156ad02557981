"""Attribute names that programs take for something else."""

import io

import pandas as pd
import pytest

from faces.data.attribute_names import safe_names


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("NA", "NA_attribute"),
        ("<NA>", "NA_attribute"),
        ("null", "null_attribute"),
        ("TRUE", "TRUE_attribute"),
        ("1", "1_attribute"),
        ("1e5", "1e5_attribute"),
        ("inf", "inf_attribute"),
        ("__proto__", "proto___attribute"),
        ("toString", "toString_attribute"),
        ("a\x07b", "ab"),
        ("a\u200bb\u202e", "ab"),
        ("e\u0301", "\u00e9"),
        ("\U0001f468\u200d\U0001f9b2", "\U0001f468\u200d\U0001f9b2"),
        ("\U0001f600" * 60, "\U0001f600" * 42 + "_0bd64f48"),
    ],
)
def test_a_name_that_programs_take_for_something_else(name, safe):
    (found,) = safe_names([name])
    assert found == safe and len(found.encode()) <= 180
    pd.testing.assert_index_equal(
        pd.read_csv(io.StringIO(f"attribute,x\n{found},1\n"), index_col=0).index,
        pd.Index([found], name="attribute"),
    )
