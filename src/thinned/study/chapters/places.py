"""A perceptron with dropout in places that are chosen one by one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...fit.perceptron import Perceptron
from ...nn import Dropout
from ...noise import fold_in


class PlacedPerceptron(Perceptron):
    """A `Perceptron` whose layers have a p each, and one on the outputs. It starts and is masked as `Perceptron` is.

    Arguments:
        ps: the probability that a unit of each hidden layer is dropped.
        p_output: the probability that an output, a logit or a value, is dropped in training.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        ps: Sequence[float],
        p_input: float,
        p_output: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__(inputs, hidden, outputs, 0.0, p_input, generator)
        self.dropout = nn.ModuleList(Dropout(p) for p in ps)
        self.output_dropout = Dropout(p_output)

    def forward(self, x: Tensor, keys: Sequence[int] | None = None) -> Tensor:
        output = super().forward(x, keys)
        dropped: Tensor = self.output_dropout(output, key=None if keys is None else fold_in(keys[-1], 1))
        return dropped
