"""AdamW for many networks whose leaves are stacked: a learning rate and a weight decay for each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from .._torch import fused_adamw


class StackedAdamW:
    """One fused call for the networks of each pair of learning rate and weight decay, which must be neighbours.

    The decay is decoupled and spares biases. The numbers are those of `torch.optim.AdamW(fused=True)`.

    Arguments:
        leaves: parameters, `(M, ...)` each; those with 3 axes are weights, those with 2 are biases.
        rates: each network's highest learning rate and its weight decay.

    Source: Loshchilov and Hutter 2019.
    """

    def __init__(self, leaves: Sequence[Tensor], rates: Sequence[tuple[float, float]]) -> None:
        self._first = [torch.zeros_like(leaf) for leaf in leaves]
        self._second = [torch.zeros_like(leaf) for leaf in leaves]
        self._steps = torch.zeros((), device=leaves[0].device)
        self._rates = list(rates)

    def keep(self, networks: Tensor) -> None:
        """Go on with some of the networks, by number."""
        chosen = networks.to(self._steps.device)
        self._first = [moment[chosen] for moment in self._first]
        self._second = [moment[chosen] for moment in self._second]
        self._rates = [self._rates[network] for network in networks.tolist()]

    def step(self, leaves: Sequence[Tensor], grads: Sequence[Tensor], share: float) -> None:
        """Move the leaves, at a share of each network's highest learning rate."""
        self._steps += 1
        tensors = (leaves, grads, self._first, self._second)
        weights = [number for number, leaf in enumerate(leaves) if leaf.ndim == 3]
        biases = [number for number, leaf in enumerate(leaves) if leaf.ndim == 2]
        start = 0
        for (lr, decay), members in groupby(self._rates):
            end = start + len(list(members))
            for chosen, own in ((weights, decay), (biases, 0.0)) if decay else ((weights + biases, 0.0),):
                fused_adamw(
                    *([tensor[number][start:end] for number in chosen] for tensor in tensors),
                    [],
                    [self._steps] * len(chosen),
                    lr=lr * share,
                    beta1=0.9,
                    beta2=0.999,
                    weight_decay=own,
                    eps=1e-8,
                    amsgrad=False,
                    maximize=False,
                )
            start = end
