"""The website: a page, and a small server over an export, which the runtime `facemorph` reads. Needs FastAPI and uvicorn; no torch."""
