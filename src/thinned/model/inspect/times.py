"""How much of a forward pass's time its noise takes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from time import perf_counter
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..known.functions import DRAWS, FUNCTIONS, OPERATORS, canonical, noisy
from ..known.operations import INSIDE
from ..watch.callsite import caller, is_plumbing, transparent
from ..watch.private_noise import PrivateNoise
from ..watch.trace import Call, Trace

Module = torch.nn.Module


class Times:
    """The seconds of each call of torch in a forward pass, by `Call.order`, and those of the whole pass.

    The timed passes must draw the same random numbers as the traced one, so that they make the same calls. Where a call
    does more than drop, such as attention, the time of its noise is its time less that of the same call at p = 0.
    """

    def __init__(self, noisy_runs: Sequence[tuple[list[float], float]], quiet: list[float] | None) -> None:
        self._seconds, self.total = min(noisy_runs, key=lambda run: run[1])
        # With another number of calls, the model has made other calls at p = 0, and the two runs can't be compared.
        self._quiet = quiet if quiet is not None and len(quiet) == len(self._seconds) else None

    def share(self, trace: Trace, calls: Sequence[Call]) -> float | None:
        """The share of the pass's time that the noise of these calls takes: to make it and to apply it."""
        if not calls or not self.total or any(call.order is None for call in calls):
            return None
        if any(call.function in INSIDE and call.draws for call in calls):
            if self._quiet is None:
                return None
            numbers = [call.order for call in calls if call.order is not None]
            spent = sum(self._seconds[number] - self._quiet[number] for number in numbers)
        else:
            calls = [call for call in calls if call.function not in INSIDE]
            orders = {call.order for call in calls} | {call.order for draw in calls for call in _chain(trace, draw)}
            spent = sum(self._seconds[order] for order in orders if order is not None and order < len(self._seconds))
        return min(1.0, max(0.0, spent / self.total))


def timed(
    model: Module,
    args: Any,
    kwargs: Any,
    noise: PrivateNoise,
    drawing: Collection[int | None],
    *,
    quiet: bool = False,
) -> tuple[list[float], float]:
    """Run the model once, and time it: the seconds of each call of torch, and those of the whole pass.

    Arguments:
        noise: where the calls draw from.
        drawing: the numbers of the calls that draw; None among them if something draws outside of any call.
        quiet: sets p = 0 in the calls that do more than drop.
    """
    clock = _Clock(quiet, noise, drawing)
    with noise.given() if None in drawing else noise.of_python(), clock:
        start = perf_counter()
        model(*args, **kwargs)
        return clock.seconds, perf_counter() - start


class _Clock(TorchFunctionMode):
    """A function mode that times each call of torch."""

    def __init__(self, quiet: bool, noise: PrivateNoise, drawing: Collection[int | None]) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._quiet, self._noise = quiet, noise
        self._drawing = () if None in drawing else frozenset(drawing)

    @transparent
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = canonical(func)
        if name not in OPERATORS and is_plumbing(caller(1)):
            with self._noise.of_torch() if name == "randint" else nullcontext():
                return func(*args, **kwargs)
        if self._quiet and name in INSIDE:
            entry = noisy(name, args)
            if entry is not None:
                args, kwargs = entry.p.write(args, kwargs, 0.0)
        # By name too: at p = 0 in some calls, chance may decide otherwise, and other calls draw.
        draws = len(self.seconds) in self._drawing or name in FUNCTIONS or name in DRAWS
        with self._noise.of_torch() if draws else nullcontext():
            start = perf_counter()
            result = func(*args, **kwargs)
            self.seconds.append(perf_counter() - start)
        return result


def _chain(trace: Trace, draw: Call) -> list[Call]:
    """The calls from the draw of a mask made by hand to the call that applies it."""
    if draw.function not in DRAWS:
        return []
    met = next((call for call in trace.calls if call.applies == draw.index), None)
    if met is None:
        return []
    reached, calls = {draw.index}, []
    for call in trace.calls[draw.index + 1 : met.index + 1]:
        if reached.intersection(call.inputs):
            reached.add(call.index)
            calls.append(call)
    return calls
