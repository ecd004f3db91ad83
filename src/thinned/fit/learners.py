"""What a course of training is run on: networks that learn side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from .stack import Member


class Learners(Protocol):
    """Networks under training, each as it would be by itself: a `Stack` of perceptrons, or any networks, `Separate`."""

    members: list[Member]  # those that still learn, by position
    steps: int  # that are over

    def step(self, share: float) -> None:
        """Learn from the next batch, at a share of each member's highest learning rate."""

    def loss(self) -> Tensor:
        """Each member's mean training loss a row, noise on, since the last call, `(M,)`."""

    def answer(self, x: Tensor) -> Tensor:
        """Outputs `(M, rows, outputs)` of each member for its own of the sets `x`, `(R, rows, ...)`, noise off.

        They are on the CPU, wherever the networks are, as losses and states are.
        """

    def keep(self, positions: Sequence[int]) -> None:
        """Go on with some of the members, by position, as if the others had never been."""

    def remember(self, positions: Sequence[int]) -> None:
        """The present state of some of the members is their best. First of all the first weights are."""

    def best(self, position: int) -> dict[str, Tensor]:
        """A copy of a member's best state, as `load_state_dict` takes it: buffers too, running statistics say."""
