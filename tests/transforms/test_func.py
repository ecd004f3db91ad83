"""torch.func through layers: its transforms, alone and inside one another, eager and in one compiled graph."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

from thinned.nn import AlphaDropout, Dropout, GaussianDropout, StochasticDepth

pytestmark = pytest.mark.usefixtures("dynamo")

KEYS = torch.tensor([1, 2, 3])


def transforms(layer: Callable[..., Tensor], x: Tensor) -> dict[str, object]:
    """Of `x`, 3 rows of 8, what each transform makes."""

    def f(x: Tensor) -> Tensor:
        return layer(x, key=3).sin()

    return {
        "vmap, other draws": vmap(layer, randomness="different")(x),
        "vmap, same draws": vmap(layer, randomness="same")(x),
        "vmap over keys": vmap(lambda row, key: layer(row, key=key))(x, KEYS),
        "grad": grad(lambda x: f(x).sum())(x),
        "grad, key drawn": grad(lambda x: layer(x).sin().sum())(x),
        "jvp": jvp(f, (x,), (x.cos(),)),
        "vjp": vjp(f, x)[1](x.cos()),
        "jacrev": jacrev(f)(x),
        "jacfwd": jacfwd(f)(x),
        "hessian": hessian(lambda x: f(x).square().sum())(x),
        "vmap of grad, other draws": vmap(grad(lambda row: layer(row).sin().sum()), randomness="different")(x),
        "vmap of jvp over keys": vmap(lambda row, key: jvp(lambda x: layer(x, key=key).sin(), (row,), (row,)))(x, KEYS),
        "jacfwd of vmap": jacfwd(vmap(f))(x),
    }


@pytest.mark.compiler
@pytest.mark.parametrize("kind", [Dropout, AlphaDropout, GaussianDropout])
def test_compiled_transforms_are_the_eager_ones(kind: type[Dropout]) -> None:
    layer = kind(0.4)
    x = torch.linspace(1, 2, 24).reshape(3, 8)
    results = []
    for form in (torch.compile(transforms, fullgraph=True, backend="aot_eager"), transforms):
        torch.manual_seed(0)
        results.append(form(layer, x))
    torch.testing.assert_close(*results)


@pytest.mark.compiler
@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_of_each_sample_of_a_model(compiled: bool) -> None:
    """Each sample has masks of its own, and its gradient is that of its own call with its own keys."""
    model = torch.nn.ModuleList(
        [torch.nn.Linear(6, 8), Dropout(0.5), GaussianDropout(0.3), StochasticDepth(0.4, "batch")]
    )
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    x, keys = torch.linspace(-1, 1, 24).reshape(4, 6), torch.arange(12).reshape(4, 3)

    class Loss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, row: Tensor, keys: Tensor) -> Tensor:
            linear, *noises = self.model
            y = linear(row)
            for noise, key in zip(noises, keys.unbind(), strict=True):
                y = noise(y, key=key)
            result: Tensor = y.square().sum()
            return result

    loss = Loss()

    def one(parameters: dict[str, Tensor], row: Tensor, keys: Tensor) -> Tensor:
        result: Tensor = functional_call(loss, {f"model.{k}": v for k, v in parameters.items()}, (row, keys))
        return result

    every = vmap(grad(one), in_dims=(None, 0, 0))
    together = (torch.compile(every, fullgraph=True, backend="aot_eager") if compiled else every)(parameters, x, keys)
    for sample in range(4):
        loss.zero_grad()
        loss(x[sample], keys[sample]).backward()
        for name, value in model.named_parameters():
            torch.testing.assert_close(together[name][sample], value.grad)
