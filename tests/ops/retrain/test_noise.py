"""What chance alone does to each figure: by seeds of the model, under one classifier for all of them."""

import yaml

from ops.retrain.settings import load
from tests.conftest import ROOT


def test_no_seed_trains_a_classifier():
    """One classifier, the exam's, judges all seeds: the command runs the named stages alone, none of which
    trains a classifier or draws other data, and each finds what it needs in the champion's data.
    """
    command = load().noise.command
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert command[:3] == ("dvc", "repro", "--single-item")
    assert command[3:] == ("train", "encode", "vectors")
    written = {out for name in command[3:] for out in stages[name]["outs"]}
    assert not written & {"data/classifier", "data/imagined", "data/raw", "data/crops", "data/measures"}
