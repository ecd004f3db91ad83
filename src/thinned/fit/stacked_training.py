"""Training a stack of perceptrons to convergence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from torch import Tensor

from .stack import Member, Stack
from .training import Check, TrainedMember, resolution, train

__all__ = ["Check", "TrainedMember", "resolution", "train_stack"]


def train_stack(
    members: Sequence[Member],
    x: Tensor,
    y: Tensor,
    x_val: Tensor,
    y_val: Tensor,
    *,
    outputs: int,
    hidden: Sequence[int],
    batch: int,
    max_steps: int,
    watch: Callable[[Check], None] = lambda check: None,
    needed: Collection[int] | None = None,
) -> list[TrainedMember]:
    """Train perceptrons side by side, by the rules of `fit.training.train`.

    Arguments:
        members: what is trained.
        x, y: training sets, `(R, n, inputs)` and `(R, n)`; y is int64 for classes, else float32.
        x_val, y_val: each set's validation rows, likewise.
        outputs, hidden, batch: as in `Stack`.
        max_steps, watch, needed: as in `train`; numbers of members are places in `members`.

    Returns: a result for each member, in `members`' order.
    """
    order = sorted(range(len(members)), key=lambda n: (members[n].lr, members[n].weight_decay))
    found = train(
        Stack([members[n] for n in order], x, y, outputs, hidden, batch),
        x_val,
        y_val,
        max_steps=max_steps,
        watch=lambda check: watch(replace(check, members=tuple(order[n] for n in check.members))),
        needed=None if needed is None else [order.index(n) for n in needed],
    )
    return [found[order.index(n)] for n in range(len(members))]
