"""Keeping the pipeline alive: what is run beside it, by hand or by a schedule."""

from faces.core import threads

threads.settle()  # before torch is loaded
