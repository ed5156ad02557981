"""Operations around the pipeline: retraining, experiments, presets, publishing, deployment."""

from faces.core import threads

threads.settle()  # before torch is loaded
