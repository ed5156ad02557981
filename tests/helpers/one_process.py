"""Challenger of a retraining test, without DVC's time: the stages that an export needs, by their commands of
dvc.yaml, in one process. `python one_process.py nan` spoils the weights that are there instead.
"""

import importlib
import re
import sys
from functools import reduce
from pathlib import Path

import numpy as np
import yaml
from safetensors.numpy import load_file, save_file

STAGES = "inputs download crop measure classifier train encode imagine vectors flow prior export".split()
WEIGHTS = Path("data/model/model.safetensors")


def run(command: str, params: dict) -> None:
    """One `python -m stages.NAME PATH...` of dvc.yaml, with its ${keys} filled in."""
    filled = re.sub(r"\$\{([\w.]+)\}", lambda key: reduce(dict.get, key[1].split("."), params), command)
    module, *paths = filled.split()[2:]
    importlib.import_module(module).main(*map(Path, paths))


def spoil() -> None:
    weights = load_file(WEIGHTS)
    spoilt = {name: np.full_like(array, np.nan) for name, array in weights.items() if array.dtype.kind == "f"}
    save_file(weights | spoilt, WEIGHTS)


def main() -> None:
    if sys.argv[1:] == ["nan"]:
        return spoil()
    sys.path.insert(0, ".")
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    stages = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for name in STAGES:
        run(stages[name]["cmd"], params)


if __name__ == "__main__":
    main()
