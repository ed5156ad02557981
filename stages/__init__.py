"""One file, one DVC stage, same name: read the inputs, call the library, write the outputs."""

import os

from faces.core import threads

threads.settle()  # before a stage imports torch
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # the CPU takes what Apple's GPU lacks
