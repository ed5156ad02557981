"""The website: a page, and a small server over data/export.

Needs onnxruntime, numpy, pillow, opencv, fastapi and uvicorn, and of the library faces/latents/gaussian.py; no torch.
"""

VERSION = "0.1.0"
