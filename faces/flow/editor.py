"""data/flow: the flow of codes as an editor, and the readouts that tell the labels of a face without any.

flow.safetensors       the regression and the velocity's averaged weights (faces/flow/network.py)
flow.json              attributes, sizes, the integrator's steps, held-out losses without and with the
                       velocity
readouts.safetensors   normals (A, D) and intercepts (A,) of calibrated log-odds (faces/flow/readouts.py)
readouts.csv           how well each attribute is read
measured.csv           the same of measured labels, where there are any
forms.safetensors      what tells the forms of labels (facemorph/forms.py)
forms.csv              how many faces have each, where there are any
exclusions.npz         exclusive (R, A) and exhaustive (S, A) (faces/edits/exclusions.py)
history.csv            training: step, loss, held-out loss
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from facemorph.forms import Forms
from faces.core.batches import batches
from faces.core.files import write_json
from faces.edits.editor import Editor
from faces.edits.exclusions import Exclusions
from faces.flow.editing import abduct, predict
from faces.flow.network import Flow
from faces.flow.readouts import Readouts

BATCH = 512  # codes at once; speed and memory only


class FlowError(ValueError):
    """The folder is no flow of codes of this version. The message says which file and why."""


@dataclass(frozen=True)
class FlowEditor(Editor):
    """Counterfactuals by the flow (faces/flow/editing.py), whose conditions (C) are the labels (A) and behind
    them their forms.
    """

    flow: Flow
    steps: int  # of the integrator, each way
    readouts: Readouts
    soft: float  # share of the readout in the labels that the flow is given
    forms: Forms = field(default_factory=Forms.none)
    measured: tuple[str, ...] = ()  # attributes that are no labels of the data: read off codes where unknown

    @classmethod
    def open(cls, folder: Path, device: torch.device) -> "FlowEditor":
        """Raises FlowError."""
        try:
            about = json.loads((folder / "flow.json").read_text(encoding="utf-8"))
            attributes = tuple(about["attributes"])
            sizes = (about[name] for name in ("width", "blocks", "leading", "kinds"))
            conditions = len(attributes) + len(about["forms"])
            flow = Flow(about["code_length"], about["axes"], conditions, *sizes)
            flow.load(load_file(folder / "flow.safetensors"))
            arrays = load_arrays(folder / "readouts.safetensors")
            with np.load(folder / "exclusions.npz", allow_pickle=False) as file:
                exclusions = Exclusions(file["exclusive"], file["exhaustive"])
            readouts = Readouts(attributes, arrays["normals"], arrays["intercepts"])
            return cls(
                attributes,
                exclusions,
                flow.eval().requires_grad_(False).to(device),
                about["integration_steps"],
                readouts,
                about["soft"],
                Forms.of(attributes, about["forms"], load_arrays(folder / "forms.safetensors")),
                tuple(about.get("measured", ())),
            )
        except FileNotFoundError as error:
            raise FlowError(f"{error.filename} is missing; run `dvc repro flow`") from None
        except (KeyError, ValueError, RuntimeError) as error:
            raise FlowError(
                f"{folder}: not a flow of this version: {str(error).splitlines()[0]}; run `dvc repro flow`"
            ) from None

    def save(self, folder: Path, figures: dict[str, float]) -> None:
        """Write what `open` reads; `figures` go into flow.json."""
        weights = {name: value.detach().cpu().contiguous() for name, value in self.flow.state_dict().items()}
        save_file(weights, folder / "flow.safetensors")
        save_arrays(
            {"normals": self.readouts.normals, "intercepts": self.readouts.intercepts},
            folder / "readouts.safetensors",
        )
        save_arrays(self.forms.arrays, folder / "forms.safetensors")
        kept = self.exclusions
        np.savez(folder / "exclusions.npz", exclusive=kept.pairs, exhaustive=kept.exhaustive)
        axes, code_length = self.flow.inward.shape
        about = {
            "attributes": list(self.attributes),
            "forms": self.forms.names(self.attributes),
            "code_length": code_length,
            "axes": axes,
            "width": self.flow.network.enter.out_features,
            "blocks": len(self.flow.network.blocks),
            "leading": self.flow.leading,
            "kinds": self.flow.kinds.shape[2],
            "integration_steps": self.steps,
            "soft": self.soft,
        }
        if self.measured:
            about["measured"] = list(self.measured)
        write_json(folder / "flow.json", about | figures)

    def given(self, codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Labels (F, A) as the flow was trained with them: mixed with what is read off the codes (F, D),
        where labels are often wrong; measured ones are read where they are unknown.
        """
        if not self.soft and not self.measured:
            return labels
        read = self.readouts.labels(codes)
        given = (1 - self.soft) * labels + self.soft * read
        own = np.isin(self.attributes, self.measured)
        return np.where(own & (labels == 0), read, given).astype(np.float32)

    def conditions(self, codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(F, C) labels (F, A) as the flow is given them, and the forms of codes (F, D) that have them."""
        return np.concatenate([labels, self.forms.read(codes, labels)], 1, dtype=np.float32)

    def after(self, conditions: np.ndarray, goal: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """(F, C) conditions (F, C) of faces with a noise (F, K) when their labels become goal (F, A)."""
        labels, forms = np.split(conditions, [len(self.attributes)], 1)
        return np.concatenate([goal, self.forms.after(labels, forms, goal, noise)], 1, dtype=np.float32)

    @torch.no_grad()
    def move(
        self, codes: np.ndarray, labels: np.ndarray, goal: np.ndarray, strength: np.ndarray
    ) -> np.ndarray:
        read = self.given(codes, labels)
        goal = np.where(goal == labels, read, goal)
        device = self.flow.mean.device
        found = np.empty_like(codes)
        for rows in batches(len(codes), BATCH):
            own = self.conditions(codes[rows], read[rows])
            z, y, amount = (
                torch.from_numpy(np.array(part)).to(device) for part in (codes[rows], own, strength[rows])
            )
            noise = abduct(self.flow, z, y, self.steps)
            new = torch.from_numpy(self.after(own, goal[rows], noise[0].cpu().numpy())).to(device)
            found[rows] = predict(self.flow, z, noise, y, new, amount, self.steps).cpu().numpy()
        return found
