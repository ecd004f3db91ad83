"""The network under study: a multilayer perceptron with dropout after each hidden activation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from ..nn import Dropout


class Network(nn.Module):
    """Linear, ReLU, dropout for each hidden layer, and a last Linear: no dropout on the input or the output.

    Arguments:
        inputs, outputs: numbers of features and of classes (1 for regression).
        hidden: units a hidden layer.
        p: the probability that a hidden unit is dropped.

    >>> Network(784, (256,), 10, p=0.5)
    Network(
      (linear): ModuleList(
        (0): Linear(in_features=784, out_features=256, bias=True)
        (1): Linear(in_features=256, out_features=10, bias=True)
      )
      (activation): ReLU()
      (dropout): ModuleList(
        (0): Dropout(p=0.5)
      )
    )
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, p: float) -> None:
        super().__init__()
        sizes = (inputs, *hidden, outputs)
        self.linear = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.activation = nn.ReLU()
        self.dropout = nn.ModuleList(Dropout(p) for _ in hidden)

    def forward(self, x: Tensor, keys: Sequence[int] | None = None) -> Tensor:
        """Logits `(B, classes)` or values `(B, 1)`; `keys`, one a hidden layer, make the masks of a training step."""
        for layer, dropout in enumerate(self.dropout):
            x = self.activation(self.linear[layer](x))
            x = dropout(x, key=None if keys is None else keys[layer])
        output: Tensor = self.linear[-1](x)
        return output
