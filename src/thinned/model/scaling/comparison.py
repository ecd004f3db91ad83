"""Measures the scaling of one place: its calls are run again on a tensor of ones, in training and at inference."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..known.operations import PROPORTIONAL, SCALED_DROPOUTS, SCALES, SHAPES
from ..watch.private_noise import seed
from ..watch.replay import Ref, Replay, Step
from .factors import LEAST, Scaling, Z
from .meeting import Meeting

RUNS = (24, 512)  # the least and the greatest number of runs in training
# Forgotten scaling changes the mean by the fraction p. The runs end when Z standard errors are less than SHARP * p.
SHARP = 0.25


class Comparison:
    """A meeting of noise and a tensor, and the two stretches of calls to compare: one in training, one at inference.

    Each stretch goes from `base`, the tensor before the noise, to a tensor of `cut`, after the noise and all scaling.
    Example, with `y = x * mask / q if self.training else x` between two linear layers: `base` is the result
    `x` of the first layer. `cut` is the pair of tensors that the second layer reads: the result of the division in
    training, and `x` itself at inference. `base` and `cut` are None where no such tensors are found.

    Steps are numbered as in the replays; `match` maps a step of the training replay to the same step at inference.
    """

    def __init__(
        self, training: Replay, inference: Replay, status: list[str], match: dict[int, int], meeting: Meeting
    ) -> None:
        self.training, self.inference, self.status, self.match = training, inference, status, match
        self.meeting = meeting
        # Other dropouts of torch between `base` and `cut` keep the mean. They are skipped, so that only the noise of
        # this meeting is measured.
        self.skip = {
            index
            for index, step in enumerate(training.steps)
            if step.draws and step.name in SCALED_DROPOUTS and status[index] == "data" and index != meeting.step
        }
        self.base = self._back(meeting.base)
        self.cut = self._cut(Ref(meeting.step)) if self.base is not None else None

    def sketch(self) -> tuple[Any, ...] | None:
        """A key of the code and the numbers of both stretches: places with equal keys need one measurement.

        None if the place cannot be measured, or is a dropout of torch with no other calls around it.
        """
        if self.base is None or self.cut is None:
            return None
        ours, theirs = self.cut
        there = Ref(self.match[self.base.step], self.base.item)
        step = self.training.steps[self.meeting.step]
        if theirs == there and ours.step == self.meeting.step and step.name in SCALED_DROPOUTS:
            return None  # a dropout of torch alone, which scales correctly
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
        """The two factors of this place.

        None if the noise is no multiplication by a mask, if it masks whole positions (an augmentation), or if the means
        agree after the next linear calls.
        """
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
        mean, kept, spread, runs = 0.0, 0.0, 0.0, 0  # statistics of the output's mean over the runs (Welford)
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
            # The error after RUNS[1] runs, estimated now. If it would still be too large to show forgotten scaling at
            # this p, more runs are of no use.
            hopeless = Z * error * math.sqrt(runs / RUNS[1]) > (1.0 - kept) * mean
            if runs >= RUNS[1] or sharp or hopeless:
                break
        source = self.training.steps[self.meeting.source]
        scaling = Scaling(source, mean, inference.double().mean().item(), kept, error, runs)
        if not 0.0 < kept < 1.0 or scaling.right:
            return scaling if 0.0 < kept < 1.0 else None
        if abs(scaling.training / kept - 1.0) < LEAST and self._positions(output):
            return None  # masking whole positions is an augmentation, which needs no scaling
        return None if self._agree_later(runs) else scaling

    def _back(self, base: Ref) -> Ref | None:
        """The nearest tensor before the noise that both replays have.

        The walk back from `base` passes only scalings by constants, reshapes and skipped dropouts. None if another call
        is in the way, or if the tensor found is not of floating point.
        """
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
        """The two tensors to compare: the one after the mask and all scaling in training, and its match at inference.

        The walk goes on from `ours` to the first call that both replays have; its arguments are the two tensors. None
        if another call is in the way.
        """
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
        """Whether another argument of a scaling call is a constant, or is made from the same draw."""
        if self.status[ref.step] == "constant":
            return True
        draws = [at for at in self.training.between((), ref.step) if self.training.steps[at].draws]
        return self.status[ref.step] == "noise" and draws == [self.meeting.source]

    def _train(self, end: Ref, x: Tensor) -> Tensor:
        """Run the calls from `base` to `end` in training, with `x` in place of `base` and fresh noise."""
        assert self.base is not None
        return self.training.run(end, {self.base.step: x}, self.skip)

    def _pure(self, base: Ref, end: Ref) -> bool:
        """Whether `end` at inference is made from `base` and constants only, without noise."""
        for index in self.inference.between([base.step], end.step):
            step = self.inference.steps[index]
            if step.draws or (step.function is None and step.name == "input"):
                return False
        return base.step == end.step or base.step in self._ancestors(end.step)

    def _ancestors(self, end: int) -> set[int]:
        """The steps at inference from whose results `end` is made."""
        found, stack = set[int](), [end]
        while stack:
            for ref in self.inference.steps[stack.pop()].refs:
                if ref.step not in found:
                    found.add(ref.step)
                    stack.append(ref.step)
        return found

    def _proportional(self, ones: Tensor, ours: Ref) -> bool:
        """Whether the noise multiplies its input: y(0) = 0, y(2 x) = 2 y(x), y(-x) = -y(x), exactly, with one mask."""
        assert self.base is not None
        results = []
        for value in (0.0, 1.0, 2.0, -1.0):
            seed(0)
            results.append(self._train(ours, ones * value).double())
        zero, one, two, minus = results
        return bool((zero == 0).all() and torch.equal(two, 2 * one) and torch.equal(minus, -one))

    @staticmethod
    def _positions(output: Tensor) -> bool:
        """Whether the mask drops whole positions: it is equal along the features and not equal along the positions."""
        if output.ndim < 3:
            return False
        kept = (output != 0).movedim(1 if output.ndim > 3 else -1, -1)
        shared = bool((kept == kept[..., :1]).all())
        positions = kept[..., 0].flatten(1)
        return shared and kept.shape[-1] > 1 and bool((positions != positions[:, :1]).any())

    def _agree_later(self, runs: int) -> bool:
        """Whether the means agree one or two calls later.

        Each of these calls must pass a mean on in proportion, as `linear` does. The means agree there where classic
        scaling multiplies the weights of the next layer, or the layer's output, by q.
        """
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
        """Whether the mean in training equals the output at inference, on a random input.

        Compared are the parts that depend on the input. Their ratio, by least squares, must be within 0.1 of 1.
        """
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
    """All arguments of a call, positional and named."""
    yield from step.args
    yield from step.kwargs.values()
