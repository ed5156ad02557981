"""What several models share, identical: the keys that every model's group holds."""

from faces.params import Group


class Config(Group):
    """How a model is stepped. A published system's own settings stand in its group, so they belong to the model and not to the loop."""

    batch: int  # images per step, over all devices
    learning_rate: float  # of Adam, at its highest
    betas: tuple[float, float]  # of Adam
    clip: float  # gradients are scaled down to this norm; 0: never
