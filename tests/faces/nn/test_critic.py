"""The critic: what it asks for, and how its gradient is weighed against another."""

import pytest
import torch

from faces import models
from faces.core.params import ParamsError
from faces.nn.critic import CHANNELS, Critic, between, with_critic


def features(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(6, channels, 16 // 2**level, 16 // 2**level, generator=generator)
        for level, channels in enumerate(CHANNELS)
    ]


def test_the_critics_gradient_is_so_many_times_as_long_as_the_losss():
    torch.manual_seed(0)
    pictures = torch.randn(4, 3, 8, 8, requires_grad=True)
    loss = (pictures - 1).square().mean()
    score = (pictures * torch.randn(4, 3, 8, 8)).sum()
    pull = torch.autograd.grad(loss, pictures, retain_graph=True)[0]
    push = torch.autograd.grad(-score, pictures, retain_graph=True)[0]
    both = with_critic(loss, score, pictures, 0.5)
    both.backward()
    added = pictures.grad - pull
    assert both.item() == pytest.approx(loss.item(), rel=1e-6)
    assert added.norm().item() == pytest.approx(0.5 * pull.norm().item(), rel=1e-4)
    assert torch.cosine_similarity(added.flatten(), push.flatten(), dim=0).item() == pytest.approx(
        1, abs=1e-4
    )


def test_it_learns_to_tell_two_kinds_apart():
    torch.manual_seed(0)
    critic = Critic()
    adam = torch.optim.Adam(critic.parameters(), lr=3e-3)
    real = features(1)
    drawn = [x + 0.5 for x in features(2)]
    before = critic.loss(real, drawn).item()
    for _ in range(60):
        adam.zero_grad()
        critic.loss(real, drawn).backward()
        adam.step()
    assert before == pytest.approx(2, abs=0.3)  # scores near 0
    assert critic(real).mean() - critic(drawn).mean() > 0.5


def test_codes_between_faces_lie_on_their_line():
    torch.manual_seed(0)
    codes = torch.randn(5, 7)
    step = between(codes) - codes
    share = (step * (codes.roll(1, 0) - codes)).sum(1) / (codes.roll(1, 0) - codes).square().sum(1)
    assert ((share >= 0) & (share < 1)).all() and share.std() > 0.05
    torch.testing.assert_close(step, share[:, None] * (codes.roll(1, 0) - codes))


def test_a_vae_with_a_critic_leaves_the_encoder_at_rest_and_trains_critic_and_decoder(params):
    group = {**params["models"]["vae"], "finish": 0.2, "critic": 0.5, "critic_share": 0.1}
    torch.manual_seed(0)
    model = models.find("vae").Model(models.config("vae", {"vae": group}), 32).train()
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    model.prepare(images)
    parts = []
    for part, loss, _ in model.losses(images, 0.99):
        model.zero_grad(set_to_none=True)
        loss.backward()
        moved = {name.split(".")[0] for name, weight in model.named_parameters() if weight.grad is not None}
        parts.append((part, moved))
    assert parts == [("critic", {"critic"}), ("vae", {"decoder"})]
    for before in (0.1, 0.85):
        assert [part for part, _, _ in model.losses(images, before)] == ["vae"]


def test_a_critic_that_is_asked_while_the_encoder_learns_is_refused(params):
    group = {**params["models"]["vae"], "finish": 0.2, "critic": 0.5, "critic_share": 0.3}
    with pytest.raises(ParamsError, match=r"models\.vae\.critic_share = 0\.3; must be at most .* = 0\.2"):
        models.config("vae", {"vae": group})
