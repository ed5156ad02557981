"""Witnesses: networks by others that nothing in this project trained, so that they can be asked about edits.

The networks are face-api's (npm package @vladmandic/face-api, MIT): expressions, 68 landmarks, identity.
Their weights are fetched by `python -m ops.witnesses`, never by a stage.
"""
