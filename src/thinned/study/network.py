"""The network under study: a multilayer perceptron, dropout after each hidden activation, and on the input if asked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from ..nn import Dropout


class Network(nn.Module):
    """Linear, ReLU, dropout for each hidden layer, and a last Linear: never dropout on the output.

    Arguments:
        inputs, outputs: numbers of features and of classes (1 for regression).
        hidden: units a hidden layer.
        p: the probability that a hidden unit is dropped.
        p_input: the probability that an input is dropped.

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
      (input_dropout): Dropout(p=0.0)
    )
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, p: float, p_input: float = 0.0) -> None:
        super().__init__()
        sizes = (inputs, *hidden, outputs)
        self.linear = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.activation = nn.ReLU()
        self.dropout = nn.ModuleList(Dropout(p) for _ in hidden)
        self.input_dropout = Dropout(p_input)

    def forward(self, x: Tensor, keys: Sequence[int] | None = None) -> Tensor:
        """Logits `(B, classes)` or values `(B, 1)`.

        `keys` make the masks of a training step: one a hidden layer, then the input's.
        """
        x = self.input_dropout(x, key=None if keys is None else keys[-1])
        for layer, dropout in enumerate(self.dropout):
            x = self.activation(self.linear[layer](x))
            x = dropout(x, key=None if keys is None else keys[layer])
        output: Tensor = self.linear[-1](x)
        return output
