"""The course of a training to convergence: cycles, the best state kept, and who leaves when."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .cycles import cycles
from .denormals import denormals_as_zeros
from .learners import Learners
from .stack import Member, squared_error

GAIN = 0.02  # a learning rate goes on while a cycle lowers its least validation loss by this share
LEAST_VALUE = 1e-5  # of a mean squared error: lower ones are alike
LEAST_ROWS = 0.25  # of a Brier score: lower ones, as of so many wrong rows, are alike
RACE_FROM = 700  # steps
BEHIND = 1.25  # how many times the best learning rate's loss another's may be

EndOfTraining = Literal["converged", "raced", "steps", "diverged"]


@dataclass(frozen=True)
class Check:
    """A look at the members under training, in the order of `members`."""

    step: int
    members: tuple[int, ...]  # which of the caller's members they are
    train_loss: tuple[float, ...]  # a row, masks on, mean since the last check; nan at step 0
    val_loss: tuple[float, ...]  # on all validation rows
    answer: Callable[[Tensor], Tensor]  # outputs `(M, rows, outputs)` for sets `(R, rows, ...)`, dropout off


@dataclass(frozen=True)
class TrainedMember:
    """The state with the least validation loss among those at the cycles' ends, and how the training went."""

    state: dict[str, Tensor]  # as the network's `load_state_dict` takes it
    val_loss: float
    best_step: int
    steps: int
    ended: EndOfTraining


def train(
    learners: Learners,
    x_val: Tensor,
    y_val: Tensor,
    *,
    max_steps: int,
    watch: Callable[[Check], None] = lambda check: None,
    needed: Collection[int] | None = None,
    all_steps: bool = False,
    gain: float = GAIN,
) -> list[TrainedMember]:
    """Train networks side by side until each has converged. Equal calls give equal bits, with one torch thread.

    The validation loss (Brier score, or mean squared error) is measured ten times a cycle (`fit.cycles`). Of the states
    at the cycles' ends, where the rate has come down to 0, and the first weights, that with the least is kept: in
    between, a state can be good by luck, and the more so the higher the rate. At the end of a cycle a member leaves
    - as "diverged" if a loss of its was no finite number;
    - as "converged" if the cycle lowered the least validation loss of its learning rate, the mean over the rate's
      members, by 2 % or less, or by a quarter of what is alike anyway (`resolution`). The first cycle, and one that is
      cut short, say nothing;
    - as "raced" if, from step 700 on, this mean is more than 1.25 times that of the best rate, or no lower than that of
      a rate whose members left at an earlier cycle's end;
    - as "steps" at `max_steps`.

    Arguments:
        learners: what is trained; its members have numbers 0, 1, ...
        x_val, y_val: each set's validation rows, `(R, rows, ...)` and `(R, rows)`; y as in training.
        max_steps: of each member.
        watch: called at step 0 and whenever the validation loss is measured.
        needed: numbers of the members whose results are wanted: the training ends when these have left. The others are
            trained as long, since a race depends on all, and their results are what they are by then ("steps").
        all_steps: nobody leaves as "converged" or "raced": every member has `max_steps`, one that diverged apart.
        gain: the share of a loss that a cycle must bring, in place of 2 %.

    Returns: a result for each member, in the learners' order.
    """
    members = list(learners.members)
    course = _Members(learners, x_val, y_val, watch)
    wanted = set(range(len(members)) if needed is None else needed)
    alike = resolution(y_val)
    course.check(candidates=True)
    for cycle in cycles(max_steps):
        before = list(course.least)
        checks = set(cycle.checks())
        with denormals_as_zeros():
            for step in range(cycle.start, cycle.end):
                learners.step(cycle.lr_share(step))
                if step + 1 in checks:
                    course.check(candidates=step + 1 == cycle.end)
        rates = _Rates(members, before, course.least, {members[n].lr for n in course.present}, alike, gain)
        converged = rates.converged() if cycle.whole and cycle.start > 0 and not all_steps else set()
        behind = rates.behind() if cycle.end >= RACE_FROM and not all_steps else set()
        ended: dict[int, EndOfTraining] = {}
        for n in course.present:
            if n in course.diverged:
                ended[n] = "diverged"
            elif members[n].lr in converged:
                ended[n] = "converged"
            elif members[n].lr in behind:
                ended[n] = "raced"
            elif cycle.end == max_steps:
                ended[n] = "steps"
        course.leave(ended)
        if not wanted.intersection(course.present):
            break
    course.leave(dict.fromkeys(course.present, "steps"))
    return [course.results[n] for n in range(len(members))]


def resolution(y_val: Tensor) -> float:
    """The validation loss below which losses are alike: a quarter of a wrong row's Brier score, or 1e-5 of a variance.

    On 35 validation rows a Brier score of 0.001 is no better than one of 0.005: one row more or less would move it by
    more than that.

    >>> resolution(torch.zeros(3, 25, dtype=torch.int64))
    0.01
    """
    return LEAST_ROWS / y_val.shape[1] if y_val.dtype == torch.int64 else LEAST_VALUE


class _Rates:
    """The learning rates at a cycle's end, each by the mean least loss of its members, gone ones included.

    Arguments:
        before, now: each member's least loss before the cycle and after it.
        present: the rates that are still under way.
        alike: losses below it are alike.
        gain: the share of a loss that a cycle must bring.
    """

    def __init__(
        self,
        members: Sequence[Member],
        before: Sequence[float],
        now: Sequence[float],
        present: Collection[float],
        alike: float,
        gain: float,
    ) -> None:
        self._before, self._now = self._means(members, before, alike), self._means(members, now, alike)
        self._present, self._alike, self._gain = set(present), alike, gain

    def converged(self) -> set[float]:
        """Those to which the cycle brought less than the gain, or less than can be told."""
        return {
            lr
            for lr in self._present
            if self._before[lr] - self._now[lr] <= max(self._gain * self._before[lr], self._alike / 4)
        }

    def behind(self) -> set[float]:
        """Those far above the best, and those that have not caught up in twice the steps that another needed."""
        best = min(self._now.values())
        gone = [loss for lr, loss in self._now.items() if lr not in self._present]
        finished = min(gone, default=math.inf)
        return {lr for lr in self._present if self._now[lr] > BEHIND * best or self._now[lr] >= finished}

    @staticmethod
    def _means(members: Sequence[Member], losses: Sequence[float], alike: float) -> dict[float, float]:
        by_rate: dict[float, list[float]] = {}
        for member, loss in zip(members, losses, strict=True):
            by_rate.setdefault(member.lr, []).append(max(loss, alike))
        return {lr: math.fsum(values) / len(values) for lr, values in by_rate.items()}


class _Members:
    """The members under way, and what is known of each so far, gone ones included."""

    def __init__(self, learners: Learners, x_val: Tensor, y_val: Tensor, watch: Callable[[Check], None]) -> None:
        self.learners = learners
        count = len(learners.members)
        self.present = list(range(count))  # numbers of the members that still learn, by position
        self.least = [math.inf] * count  # each member's least validation loss
        self.diverged: set[int] = set()
        self.results: dict[int, TrainedMember] = {}
        self._best_step = [0] * count
        self._x_val, self._y_val, self._watch = x_val, y_val, watch

    def check(self, candidates: bool) -> None:
        """Measure; of candidates keep the states that are the best yet."""
        learners = self.learners
        train_loss = learners.loss().tolist() if learners.steps else [math.nan] * len(self.present)
        sets = torch.tensor([member.rows for member in learners.members])
        val_loss = squared_error(learners.answer(self._x_val), self._y_val[sets]).tolist()
        better = []
        for position, n in enumerate(self.present):
            if not math.isfinite(val_loss[position]) or (learners.steps and not math.isfinite(train_loss[position])):
                self.diverged.add(n)
            elif candidates and val_loss[position] < self.least[n] and n not in self.diverged:
                self.least[n], self._best_step[n] = val_loss[position], learners.steps
                better.append(position)
        if better:
            learners.remember(better)
        self._watch(Check(learners.steps, tuple(self.present), tuple(train_loss), tuple(val_loss), learners.answer))

    def leave(self, ended: dict[int, EndOfTraining]) -> None:
        """Members whose training has ended."""
        if not ended:
            return
        learners, stay = self.learners, []
        for position, n in enumerate(self.present):
            if n not in ended:
                stay.append(position)
                continue
            state = learners.best(position)
            self.results[n] = TrainedMember(state, self.least[n], self._best_step[n], learners.steps, ended[n])
        self.present = [self.present[position] for position in stay]
        if stay:
            learners.keep(stay)
