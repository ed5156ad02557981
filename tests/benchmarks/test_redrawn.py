"""What does not show in a drawing is what another face may have there."""

from benchmarks.redrawn import unseen
from faces import sources
from faces.core.params import FILE, read
from faces.sources import avatars
from tests.conftest import ROOT


def test_the_hue_of_a_hat_shows_where_there_is_a_hat():
    config = sources.config("avatars", read(ROOT / FILE)["sources"])
    style = avatars.STYLES[config.style]
    labels, chances = avatars.sample(config.model_copy(update={"count": 40}), 0)
    plain = dict.fromkeys(labels.columns, False)
    luck = chances.iloc[0].to_dict()
    without = unseen(style, plain | {"Brown_Hair": True}, luck, config.nuisance)
    with_hat = unseen(style, plain | {"Brown_Hair": True, "Wearing_Hat": True}, luck, config.nuisance)
    assert {"hat", "hat_hue", "glasses", "frame"} <= set(without)
    assert not {"hat", "hat_hue"} & set(with_hat) and {"glasses", "frame"} <= set(with_hat)
    assert "skin" not in without
