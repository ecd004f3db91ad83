"""The network of the estimators: a multilayer perceptron, dropout after each hidden activation, never on the output."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..nn import Dropout


class Perceptron(nn.Module):
    """Linear, ReLU, dropout for each hidden layer, and a last Linear.

    Arguments:
        inputs, outputs: numbers of features and of outputs.
        hidden: units a hidden layer.
        p: the probability that a hidden unit is dropped.
        p_input: the probability that an input is dropped.
        generator: of the first weights. Torch's own state is left alone, so that threads can't disturb each other.

    >>> network = Perceptron(4, (8,), 1, 0.2, 0.0, torch.Generator().manual_seed(0))
    >>> network(torch.zeros(2, 4), keys=[1, 2]).shape
    torch.Size([2, 1])
    """

    def __init__(
        self, inputs: int, hidden: Sequence[int], outputs: int, p: float, p_input: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        sizes = (inputs, *hidden, outputs)
        self.linear = nn.ModuleList(nn.utils.skip_init(nn.Linear, a, b) for a, b in pairwise(sizes))
        self.activation = nn.ReLU()
        self.dropout = nn.ModuleList(Dropout(p) for _ in hidden)
        self.input_dropout = Dropout(p_input)
        self.outputs = outputs
        for layer, fan_in in zip(self.linear, sizes, strict=False):
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -(fan_in**-0.5), fan_in**-0.5, generator)  # torch's own rule

    @property
    def drops(self) -> bool:
        """Whether anything is random."""
        return any(layer.p > 0.0 for layer in (self.input_dropout, *self.dropout))

    def forward(self, x: Tensor, keys: Sequence[int] | None = None) -> Tensor:
        """`(N, outputs)`. `keys` make the masks of a training step: one a hidden layer, then the input's."""
        x = self.input_dropout(x, key=None if keys is None else keys[-1])
        for layer, dropout in enumerate(self.dropout):
            x = self.activation(self.linear[layer](x))
            x = dropout(x, key=None if keys is None else keys[layer])
        output: Tensor = self.linear[-1](x)
        return output
