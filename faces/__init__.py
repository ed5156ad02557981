"""The library: what the stages, the website and the jobs are built from.

Nothing here knows a path, opens params.yaml, prints, or seeds a global random state.
Letters used everywhere: B batch, C H W image, D code length, N images, A attributes.
"""
