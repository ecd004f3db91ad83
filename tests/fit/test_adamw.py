"""AdamW for one network: torch's numbers, and biases that do not decay."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from thinned.fit.adamw import adamw


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))


def trained(make: Callable[[nn.Module], torch.optim.Optimizer]) -> list[torch.Tensor]:
    made = network()
    optimiser = make(made)
    for step in range(20):
        for group in optimiser.param_groups:
            group["lr"] = 0.01 * (1 - step / 20)
        optimiser.zero_grad()
        made(torch.linspace(-1, 1, 40).reshape(8, 5) ** (step % 3 + 1)).square().mean().backward()
        optimiser.step()
        assert torch.is_grad_enabled()
    return [parameter.detach() for parameter in made.parameters()]


def test_the_numbers_are_those_of_torchs_own() -> None:
    def torchs(made: nn.Module) -> torch.optim.Optimizer:
        decays, spared = ([p for p in made.parameters() if (p.ndim > 1) is many] for many in (True, False))
        groups = [{"params": decays, "weight_decay": 0.3}, {"params": spared, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=0.01, fused=True)

    ours = trained(lambda made: adamw(made, 0.01, 0.3))
    for theirs in (trained(torchs), trained(lambda made: adamw(made, 0.01, 0.3))):
        assert all(map(torch.equal, ours, theirs))


def test_hooks_of_a_step_run() -> None:
    made, seen = network(), []
    optimiser = adamw(made, 0.01, 0.3)
    optimiser.register_step_pre_hook(lambda *_: seen.append("before"))
    optimiser.register_step_post_hook(lambda *_: seen.append("after"))
    made(torch.ones(4, 5)).sum().backward()
    optimiser.step()
    assert seen == ["before", "after"]


def test_weight_decay_spares_biases() -> None:
    made = network()
    optimiser = adamw(made, 0.1, 0.5)
    before = {name: parameter.detach().clone() for name, parameter in made.named_parameters()}
    for parameter in made.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for name, parameter in made.named_parameters():
        shrunk = before[name] * (1 - 0.1 * 0.5) if parameter.ndim > 1 else before[name]
        torch.testing.assert_close(parameter.detach(), shrunk)
