"""Params of what tells how like the training faces a picture is (facemorph/likeness.py)."""

from typing import Annotated

from pydantic import Field, model_validator

from faces.core.params import Group

FACES = 1000  # valid faces that say what is usual and how strange a face may be, at most


class Calibration(Group):
    """The group `likeness`."""

    refuse: Annotated[float, Field(ge=0, lt=1)]
    gradual: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _shrinks_before_it_refuses(self) -> "Calibration":
        if self.gradual <= self.refuse:
            raise ValueError(f"gradual = {self.gradual} must be above refuse = {self.refuse}")
        return self
