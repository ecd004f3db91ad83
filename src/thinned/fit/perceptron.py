"""The network that is trained here: a multilayer perceptron, with dropout after each hidden activation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..nn import Dropout


class Perceptron(nn.Module):
    """Linear, ReLU, dropout for each hidden layer, and a last Linear: never dropout on the output.

    Arguments:
        inputs, outputs: numbers of features, and of classes or targets.
        hidden: units a hidden layer.
        p: the probability that a hidden unit is dropped.
        p_input: the probability that an input is dropped.
        generator: of the first weights, which are uniform by torch's own rule. Torch's generator by default.

    >>> Perceptron(784, (256,), 10, p=0.5)
    Perceptron(
      (linear): ModuleList(
        (0): Linear(in_features=784, out_features=256, bias=True)
        (1): Linear(in_features=256, out_features=10, bias=True)
      )
      (activation): ReLU()
      (dropout): ModuleList(
        (0): Dropout(p=0.5)
      )
      (input_dropout): Dropout(p=0.0)
    )
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        p: float,
        p_input: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = (inputs, *hidden, outputs)
        self.linear = nn.ModuleList(_linear(a, b, generator) for a, b in pairwise(sizes))
        self.activation = nn.ReLU()
        self.dropout = nn.ModuleList(Dropout(p) for _ in hidden)
        self.input_dropout = Dropout(p_input)
        self.outputs = outputs

    @staticmethod
    def shapes(inputs: int, hidden: Sequence[int], outputs: int) -> dict[str, tuple[int, ...]]:
        """The shape of each weight by its name in `state_dict`, without making any.

        >>> Perceptron.shapes(3, (60_000,), 1)["linear.0.weight"]
        (60000, 3)
        """
        found: dict[str, tuple[int, ...]] = {}
        for layer, (fan_in, fan_out) in enumerate(pairwise((inputs, *hidden, outputs))):
            found |= {f"linear.{layer}.weight": (fan_out, fan_in), f"linear.{layer}.bias": (fan_out,)}
        return found

    @property
    def drops(self) -> bool:
        """Whether a training step has masks."""
        return any(layer.p > 0.0 for layer in (self.input_dropout, *self.dropout))

    def forward(self, x: Tensor, keys: Sequence[int] | None = None) -> Tensor:
        """Logits or values, `(B, outputs)`.

        `keys` make the masks of a training step: one a hidden layer, then the input's.
        """
        x = self.input_dropout(x, **_keyed(keys, -1))
        for layer, dropout in enumerate(self.dropout):
            x = self.activation(self.linear[layer](x))
            x = dropout(x, **_keyed(keys, layer))
        output: Tensor = self.linear[-1](x)
        return output


def _linear(fan_in: int, fan_out: int, generator: torch.Generator | None) -> nn.Linear:
    """A Linear whose first weights are torch's, but drawn from a generator: nothing else is drawn, or computed."""
    layer, bound = nn.Linear(fan_in, fan_out, device="meta"), fan_in**-0.5
    for name, shape in (("weight", (fan_out, fan_in)), ("bias", (fan_out,))):
        first = torch.empty(shape, device="cpu").uniform_(-bound, bound, generator=generator)
        setattr(layer, name, nn.Parameter(first))
    return layer


def _keyed(keys: Sequence[int] | None, layer: int) -> dict[str, int]:
    """A dropout's key, as an argument where there is one: what stands for a dropout at inference may take none."""
    return {} if keys is None else {"key": keys[layer]}
