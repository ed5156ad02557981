"""Keeping the pipeline alive: what is run beside it, by hand or by a schedule."""
