"""What others get wrong about training and evaluation: who hears of the mode, and what a call leaves behind."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable

import pytest
import torch
from tests.regressions.example import build, run, sample
from torch import Tensor

from thinned.nn.variants import Variant


class Twice(torch.nn.Module):
    """A parent that uses one instance twice, as a network with shared layers does."""

    def __init__(self, child: torch.nn.Module) -> None:
        super().__init__()
        self.child = child
        self.alias = child

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return run(self.child, x), run(self.alias, x)


def test_one_instance_used_twice_draws_twice(variant: Variant) -> None:
    """baal 2.1: of a Dropout that stands at two places, only the first is found; torchrl, baal: one mask for both."""
    torch.manual_seed(0)
    first, second = Twice(build(variant, 0.5))(sample(variant))
    assert not torch.equal(first, second)


def test_a_parent_s_mode_reaches_every_layer(variant: Variant) -> None:
    """baal 2.1: ConsistentDropout resets its mask in its own eval() alone, which a parent's eval() never calls."""
    child, x = build(variant, 0.5), sample(variant)
    parent = torch.nn.Sequential(Twice(child))
    plain = run(copy.deepcopy(child).eval(), x)
    switches: list[Callable[[], object]] = [parent.eval, lambda: parent.train(False)]
    for off in switches:
        parent.train()
        noisy = torch.stack([part for _ in range(3) for part in parent(x)])
        assert all(not torch.equal(one, other) for one, other in itertools.combinations(noisy, 2))
        off()
        assert all(torch.equal(part, plain) for _ in range(2) for part in parent(x))


@pytest.mark.parametrize("grad_mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_mode_alone_decides_and_not_the_gradient_mode(variant: Variant, grad_mode: type[torch.no_grad]) -> None:
    """torch 2.13: without gradients, an encoder layer in evaluation ignores a dropout that is back in training.

    This is the layers' own share of it; what a fused parent does is for whoever switches layers in a whole model.
    """
    module, x = build(variant, 0.5), sample(variant)
    with grad_mode():
        assert not torch.equal(run(module, x), run(module, x))
        module.eval()
        state = torch.get_rng_state()
        assert torch.equal(run(module, x), run(module, x))
        assert torch.equal(torch.get_rng_state(), state), "evaluation draws nothing"
        module.train()
        assert not torch.equal(run(module, x), run(module, x))


def test_evaluation_leaves_no_trace_in_training(variant: Variant) -> None:
    """pytorch-nlp, baal, torchrl: a mask or a weight that is kept from one mode is met again in the other."""
    module, x = build(variant, 0.5), sample(variant)
    torch.manual_seed(1)
    expected = [run(module, x) for _ in range(3)]
    torch.manual_seed(1)
    for output in expected:
        assert torch.equal(run(module, x), output)
        run(module.eval(), x[..., :1, :] if x.ndim > 2 else x)
        module.train()
