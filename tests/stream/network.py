"""A network with noise in every place, and what its training in a stream leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

import thinned
from thinned import nn
from thinned.nn.stream.stream import Stream

SEED = 11
Gradients = list[Tensor]


class Network(torch.nn.Module):
    """`(B, 6)` to `(B, 3)`; one dropout of each block is called twice."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList(Block() for _ in range(depth))
        self.head = nn.DropConnectLinear(6, 3, p=0.25)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        output: Tensor = self.head(x)
        return output


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(6, 6)
        self.twice = nn.Dropout(0.5)
        self.alpha = nn.AlphaDropout(0.25)
        self.gaussian = nn.GaussianDropout(0.25)
        self.branch = nn.StochasticDepth(0.25)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.linear(self.twice(x)).tanh()
        y: Tensor = x + self.branch(self.gaussian(self.alpha(self.twice(hidden))))
        return y


def network(depth: int = 2) -> Network:
    torch.manual_seed(SEED)
    return Network(depth)


def batch(step: int, size: int = 8) -> Tensor:
    return torch.randn(size, 6, generator=torch.Generator().manual_seed(step))


def loss(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return model(x).square().sum()


def gradients(model: torch.nn.Module) -> Gradients:
    """A copy of every parameter's gradient, and none afterwards."""
    taken = [torch.zeros(1) if p.grad is None else p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    return taken


def trained(
    model: torch.nn.Module, steps: int, pieces: Callable[[Stream, Tensor], Iterator[Tensor]] | None = None
) -> list[Gradients]:
    """The gradients of every step, at the same weights. `pieces` divides a batch."""
    found = []
    with thinned.stream(model, SEED) as stream:
        for step in range(steps):
            for x in pieces(stream, batch(step)) if pieces else [batch(step)]:
                loss(model, x).backward()
            found.append(gradients(model))
            stream.step()
    return found


def assert_same(found: object, expected: object) -> None:
    """Equal to the rounding of sums in another order. Another mask differs by tenths."""
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
