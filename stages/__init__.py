"""One file, one DVC stage, same name: read the inputs, call the library, write the outputs."""

import os

os.environ.setdefault(
    "PYTORCH_ENABLE_MPS_FALLBACK", "1"
)  # Apple's GPU lacks some operations: the CPU takes those
