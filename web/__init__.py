"""The website: a page, and a small server over the runtime `facemorph`. FastAPI and uvicorn; no torch."""
