"""One place in training and the same one at inference, and how each scales: a part of the model run again on ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..known.operations import PROPORTIONAL, SCALED_DROPOUTS, SCALES, SHAPES
from ..watch.generators import seed
from ..watch.replay import Ref, Replay, Step
from .factors import LEAST, Scaling, Z
from .meeting import Meeting

RUNS = (24, 512)  # how often a place is run again, at least and at most
SHARP = 0.25  # it is enough when Z standard errors are this part of p, which is what forgotten scaling shows


class Comparison:
    """One meeting, followed to the next call that both replays have."""

    def __init__(
        self, training: Replay, inference: Replay, status: list[str], match: dict[int, int], meeting: Meeting
    ) -> None:
        self.training, self.inference, self.status, self.match = training, inference, status, match
        self.meeting = meeting
        # torch's own dropouts on the way keep the mean: they are left out, to measure this place alone.
        self.skip = {
            index
            for index, step in enumerate(training.steps)
            if step.draws and step.name in SCALED_DROPOUTS and status[index] == "data" and index != meeting.step
        }
        self.base = self._back(meeting.base)
        self.cut = self._cut(Ref(meeting.step)) if self.base is not None else None

    def sketch(self) -> tuple[Any, ...] | None:
        """Code and numbers: what makes two places the same to measure. None where nothing can or need be measured."""
        if self.base is None or self.cut is None:
            return None
        ours, theirs = self.cut
        there = Ref(self.match[self.base.step], self.base.item)
        step = self.training.steps[self.meeting.step]
        if theirs == there and ours.step == self.meeting.step and step.name in SCALED_DROPOUTS:
            return None  # torch's own dropout with nothing around it
        if not self._pure(there, theirs):
            return None
        way = [self.training.steps[at] for at in self.training.between([self.base.step], ours.step)]
        back = [self.inference.steps[at] for at in self.inference.between([there.step], theirs.step)]
        code = tuple(
            (*step.where[1:], *(value for value in _plain(step) if isinstance(value, (int, float))))
            for step in (*way, *back)
        )
        return code, len(self.training.steps[self.base.step].shape)

    def measure(self) -> Scaling | None:
        """The two factors, or None where the noise is no mask, masks positions, or the means agree further on."""
        assert self.base is not None
        assert self.cut is not None
        base, (ours, theirs) = self.base, self.cut
        here = self.training.steps[base.step]
        ones = torch.ones(here.shape, dtype=here.dtype, device=here.device)
        there = self.match[base.step]
        if not self._proportional(ones, ours):
            return None
        inference = self.inference.run(theirs, {there: ones})
        if inference.shape != self._train(ours, ones).shape:
            return None
        mean, kept, spread, runs = 0.0, 0.0, 0.0, 0  # of the outputs' means, by Welford's updates
        while True:
            output = self._train(ours, ones)
            value, runs = output.mean(dtype=torch.float64).item(), runs + 1
            step = value - mean
            mean += step / runs
            spread += step * (value - mean)
            kept += (output.count_nonzero().item() / output.numel() - kept) / runs
            if runs < RUNS[0]:
                continue
            error = math.sqrt(spread / (runs - 1) / runs)
            sharp = Z * error < SHARP * (1.0 - kept) * mean
            # Where RUNS[1] would not show scaling forgotten at this p, what shows now is all that will.
            hopeless = Z * error * math.sqrt(runs / RUNS[1]) > (1.0 - kept) * mean
            if runs >= RUNS[1] or sharp or hopeless:
                break
        source = self.training.steps[self.meeting.source]
        scaling = Scaling(source, mean, inference.double().mean().item(), kept, error, runs)
        if not 0.0 < kept < 1.0 or scaling.right:
            return scaling if 0.0 < kept < 1.0 else None
        if abs(scaling.training / kept - 1.0) < LEAST and self._positions(output):
            return None  # whole positions masked, which is augmentation and is not scaled
        return None if self._agree_later(runs) else scaling

    def _back(self, base: Ref) -> Ref | None:
        """The first tensor before, through scaling by constants, that both replays have."""
        while base.step not in self.match:
            step = self.training.steps[base.step]
            data = [ref for ref in step.refs if self.status[ref.step] == "data"]
            other = self.status[base.step] == "data" and any(self.status[ref.step] == "noise" for ref in step.refs)
            plain = step.name in SCALES | SHAPES and not other
            if len(data) != 1 or data[0].item or not (plain or base.step in self.skip):
                return None
            base = data[0]
        return base if base.item == 0 and self.training.steps[base.step].dtype.is_floating_point else None

    def _cut(self, ours: Ref) -> tuple[Ref, Ref] | None:
        """The tensors to compare: after the mask and all scaling in training, and the same place at inference."""
        while True:
            consumers = self.training.consumers.get(ours.step, [])
            for index in consumers:
                if index in self.match:
                    there = self.inference.steps[self.match[index]].refs
                    slots = [slot for slot, ref in enumerate(self.training.steps[index].refs) if ref == ours]
                    if slots and slots[0] < len(there):
                        return ours, there[slots[0]]
            if ours in self.training.outputs:
                slot = self.training.outputs.index(ours)
                return (ours, self.inference.outputs[slot]) if slot < len(self.inference.outputs) else None
            if len(consumers) != 1:
                return None
            step = self.training.steps[consumers[0]]
            others = [ref for ref in step.refs if ref != ours and not self._belongs(ref)]
            plain = step.name in SCALES | SHAPES and not step.draws
            if others or not (plain or consumers[0] in self.skip):
                return None
            ours = Ref(consumers[0])

    def _belongs(self, ref: Ref) -> bool:
        """Whether a further factor is a constant, or comes from the same draw."""
        if self.status[ref.step] == "constant":
            return True
        draws = [at for at in self.training.between((), ref.step) if self.training.steps[at].draws]
        return self.status[ref.step] == "noise" and draws == [self.meeting.source]

    def _train(self, end: Ref, x: Tensor) -> Tensor:
        assert self.base is not None
        return self.training.run(end, {self.base.step: x}, self.skip)

    def _pure(self, base: Ref, end: Ref) -> bool:
        """Whether, at inference, `end` is made of `base` and constants alone, and nothing is drawn."""
        for index in self.inference.between([base.step], end.step):
            step = self.inference.steps[index]
            if step.draws or (step.function is None and step.name == "input"):
                return False
        return base.step == end.step or base.step in self._ancestors(end.step)

    def _ancestors(self, end: int) -> set[int]:
        found, stack = set[int](), [end]
        while stack:
            for ref in self.inference.steps[stack.pop()].refs:
                if ref.step not in found:
                    found.add(ref.step)
                    stack.append(ref.step)
        return found

    def _proportional(self, ones: Tensor, ours: Ref) -> bool:
        """Whether y(0) = 0, y(2 x) = 2 y(x) and y(-x) = -y(x), exactly, under one mask: noise that multiplies."""
        assert self.base is not None
        results = []
        for value in (0.0, 1.0, 2.0, -1.0):
            seed(0)
            results.append(self._train(ours, ones * value).double())
        zero, one, two, minus = results
        return bool((zero == 0).all() and torch.equal(two, 2 * one) and torch.equal(minus, -one))

    @staticmethod
    def _positions(output: Tensor) -> bool:
        """Whether a mask takes out all features of a position: equal along the features, not along the positions."""
        if output.ndim < 3:
            return False
        kept = (output != 0).movedim(1 if output.ndim > 3 else -1, -1)
        shared = bool((kept == kept[..., :1]).all())
        positions = kept[..., 0].flatten(1)
        return shared and kept.shape[-1] > 1 and bool((positions != positions[:, :1]).any())

    def _agree_later(self, runs: int) -> bool:
        """Whether the means agree behind the next linear call: classic scaling of weights, or of its output."""
        assert self.base is not None
        assert self.cut is not None
        base, (ours, _) = self.base, self.cut
        for _ in range(2):
            nexts = [at for at in self.training.consumers.get(ours.step, []) if at in self.match]
            if not nexts or self.training.steps[nexts[0]].name not in PROPORTIONAL:
                return False
            cut = self._cut(Ref(nexts[0]))
            if cut is None or not self._pure(Ref(self.match[base.step]), cut[1]):
                return False
            if self._agree(base, cut, runs):
                return True
            ours = cut[0]
        return False

    def _agree(self, base: Ref, cut: tuple[Ref, Ref], runs: int) -> bool:
        """Whether the slope of the mean in training over the output at inference is nearer 1 than not at all."""
        here = self.training.steps[base.step]
        for index in self.training.between([base.step], cut[0].step):
            step = self.training.steps[index]
            if step.function is None and step.name == "input":
                return False
        x = torch.randn(here.shape, dtype=torch.float32, device="cpu").to(here.device, here.dtype)
        there = self.match[base.step]
        zero = x * 0
        rest = self.inference.run(cut[1], {there: zero}).double()
        target = self.inference.run(cut[1], {there: x}).double() - rest
        mean = sum(self._train(cut[0], x).double() - self._train(cut[0], zero).double() for _ in range(runs)) / runs
        if not isinstance(mean, Tensor) or mean.shape != target.shape or not bool(target.any()):
            return False
        slope = float((mean * target).sum() / (target * target).sum())
        return abs(slope - 1.0) < 0.1


def _plain(step: Step) -> Iterator[Any]:
    yield from step.args
    yield from step.kwargs.values()
