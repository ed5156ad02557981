"""Weights of the witness's networks."""
