"""Many perceptrons of one shape as one batched model, with its gradient written out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..noise import scale
from ..ops.stacked import drop_each
from .perceptron import Perceptron

_ACTIVATIONS = 1 << 20  # numbers of a hidden layer that are computed at once: they stay in the cache


class StackedPerceptron:
    """M networks `Perceptron(inputs, hidden, outputs, p, p_input)`: leaves of shape `(M, ...)`, one product a layer.

    The result of each network is `Perceptron`'s within rounding, its masks bit for bit.

    Arguments:
        states: each network's `state_dict`, all on one device.
        ps, p_inputs: each network's probabilities that a hidden unit, and that an input is dropped.
        alone: each network's one hidden layer that drops, by number; None for all of them.
    """

    def __init__(
        self,
        states: Sequence[dict[str, Tensor]],
        ps: Sequence[float],
        p_inputs: Sequence[float],
        alone: Sequence[int | None] | None = None,
    ) -> None:
        names = list(states[0])
        self.names = [name for name in names if name.endswith("weight")] + [n for n in names if n.endswith("bias")]
        self.leaves = [torch.stack([state[name] for state in states]) for name in self.names]
        self.ps, self.p_inputs = list(ps), list(p_inputs)
        self._alone = [None] * len(self.ps) if alone is None else list(alone)
        self._set_up()

    def _set_up(self) -> None:
        layers = len(self.leaves) // 2
        self.weights, self.biases = self.leaves[:layers], self.leaves[layers:]
        self.grads = [torch.zeros_like(leaf) for leaf in self.leaves]
        self._layer_ps = [
            [p if alone in (None, layer) else 0.0 for p, alone in zip(self.ps, self._alone, strict=True)]
            for layer in range(layers - 1)
        ]
        device = self.leaves[0].device
        self._scales = [torch.tensor([scale(p) for p in ps], device=device).view(-1, 1, 1) for ps in self._layer_ps]
        self._entered: list[Tensor] = []  # what each layer was given in the last training step

    @property
    def drops(self) -> bool:
        """Whether a training step has masks."""
        return any(self.ps) or any(self.p_inputs)

    def keep(self, networks: Tensor) -> None:
        """Go on with some of the networks, by number."""
        self.leaves = [leaf[networks.to(leaf.device)] for leaf in self.leaves]
        self.ps, self.p_inputs = ([values[n] for n in networks.tolist()] for values in (self.ps, self.p_inputs))
        self._alone = [self._alone[n] for n in networks.tolist()]
        self._set_up()

    def state(self, network: int, leaves: Sequence[Tensor] | None = None) -> dict[str, Tensor]:
        """A copy of one network's `state_dict`, or of its part of other leaves of the same shapes."""
        found = self.leaves if leaves is None else leaves
        return {name: leaf[network].clone() for name, leaf in zip(self.names, found, strict=True)}

    def answer(self, x: Tensor) -> Tensor:
        """Outputs `(M, rows, outputs)` for inputs `(M, rows, inputs)`, dropout off."""
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = _linear(x, weight, bias).relu_()
        return _linear(x, self.weights[-1], self.biases[-1])

    def rows_at_once(self) -> int:
        """How many rows a network are answered together at most."""
        widest = max(max(weight.shape[1:]) for weight in self.weights)
        return max(_ACTIVATIONS // (len(self.ps) * widest), 16)

    def train_forward(self, x: Tensor, keys: Sequence[Sequence[int]] | None) -> Tensor:
        """Outputs of a training step.

        Arguments:
            x: inputs `(M, rows, inputs)`, which are overwritten.
            keys: for each hidden layer, and then for the inputs, each network's key. None without masks.
        """
        if keys is not None:
            drop_each(x, self.p_inputs, keys[-1])
        self._entered = [x]
        for layer, (weight, bias) in enumerate(zip(self.weights[:-1], self.biases[:-1], strict=True)):
            x = _linear(x, weight, bias).relu_()
            if keys is not None:
                drop_each(x, self._layer_ps[layer], keys[layer])
            self._entered.append(x)
        return _linear(x, self.weights[-1], self.biases[-1])

    def backward(self, grad: Tensor) -> None:
        """Fill `grads`, given the loss's gradient with respect to the last step's outputs.

        A unit passes its gradient on where it is active and not dropped, which is where what it sent on is above 0: so
        no mask is stored, and none is drawn again.
        """
        layers = len(self.weights)
        for layer in reversed(range(layers)):
            entered = self._entered[layer]
            torch.bmm(grad.transpose(1, 2), entered, out=self.grads[layer])
            torch.sum(grad, 1, keepdim=False, out=self.grads[layers + layer])
            if layer:
                grad = torch.ops.aten.threshold_backward(torch.bmm(grad, self.weights[layer]), entered, 0.0)
                if any(self._layer_ps[layer - 1]):
                    grad.mul_(self._scales[layer - 1])
        self._entered = []


def first_state(sizes: Sequence[int], seed: int) -> dict[str, Tensor]:
    """A `Perceptron`'s first weights for a generator's seed."""
    network = Perceptron(sizes[0], sizes[1:-1], sizes[-1], 0.0, generator=torch.Generator().manual_seed(seed))
    return {name: value.detach() for name, value in network.state_dict().items()}


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))
