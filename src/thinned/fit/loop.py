"""The training loop: AdamW over shuffled batches, with masks by key. Who trains decides what happens between epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..noise import fold_in
from ..ops.fold import fold_numbers
from .adamw import adamw
from .loss import training_loss
from .perceptron import Perceptron


@dataclass(frozen=True)
class Course:
    """What decides a training run, beside the network and the rows.

    Equal seeds give equal orders and masks. Masks are nested in p: one key at two rates drops a subset.
    """

    lr: float  # the highest learning rate
    lr_share: Callable[[int, int], float]  # of `lr`, for step number 0, 1, ... of so many in all
    weight_decay: float  # decoupled; of weights, not of biases
    batch: int
    epochs: int
    order: int  # seed of the order of rows
    masks: int  # key of the masks


class Loop:
    """Trains a network, an epoch a call. `weights` multiply the losses of rows; all are 1 by default.

    >>> network = Perceptron(2, (4,), 1, 0.5, generator=torch.Generator().manual_seed(0))
    >>> course = Course(0.01, lambda step, steps: 1 - step / steps, 0.0, batch=4, epochs=2, order=1, masks=2)
    >>> loop = Loop(network, torch.ones(6, 2), torch.ones(6), course)
    >>> [[rows for _, rows in loop.epoch()] for _ in range(course.epochs)]
    [[4, 2], [4, 2]]
    """

    def __init__(
        self, network: Perceptron, x: Tensor, y: Tensor, course: Course, weights: Tensor | None = None
    ) -> None:
        self.network, self.x, self.y, self.course, self.weights = network, x, y, course, weights
        self._optimiser = adamw(network, course.lr, course.weight_decay)
        self._order = torch.Generator().manual_seed(course.order)
        self._keys = [fold_in(course.masks, layer) for layer in range(len(network.dropout) + 1)]
        self._steps = course.epochs * -(-len(x) // course.batch)
        self._step = 0

    def epoch(self) -> Iterator[tuple[Tensor, int]]:
        """Train on every row once, in another order each time. Gives each batch's mean loss and its number of rows.

        The network is put in training mode, and stays in it.
        """
        course = self.course
        self.network.train()
        for rows in (
            torch.randperm(len(self.x), generator=self._order, device="cpu").to(self.x.device).split(course.batch)
        ):
            lr = course.lr * course.lr_share(self._step, self._steps)
            for group in self._optimiser.param_groups:
                group["lr"] = lr
            keys = fold_numbers(self._keys, self._step) if self.network.drops else None
            self._optimiser.zero_grad()
            weights = None if self.weights is None else self.weights[rows]
            loss = training_loss(self.network(self.x[rows], keys), self.y[rows], weights)
            loss.backward()
            self._optimiser.step()
            self._step += 1
            yield loss.detach(), len(rows)


def batch_size(rows: int) -> int:
    """About twenty steps an epoch: a twentieth of the training rows, between 16 and 128."""
    return min(max(rows // 20, 16), 128)
