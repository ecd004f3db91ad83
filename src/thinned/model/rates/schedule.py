"""A model's p over the steps of its training: one curve a pattern, a counter, and a state to resume from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from ...noise import check
from ...schedules.curve import STEP, ByDepth, Curve, curve
from .assign import assign
from .patterns import matching
from .rate_places import RatePlaces

NUMBERED = re.compile(r"(.*\.)?\d+(?![^.:])")  # a name up to its last number: "blocks.3" of "blocks.3.drop_path1"


class Schedule:
    """Set a model's p by curves over steps: `schedule.step()` after each `optimizer.step()`.

    Making one sets every named place to its curve's p at step 0, and `step()` to that of the next step: the first step
    of training has curve(0). Places whose p stays are not touched. Where the layers are thinned's, a compiled model is
    not compiled again.

    Arguments:
        model: an unmodified model, as it will be trained: `thinned.convert` it before.
        schedules: by pattern, a curve of `thinned.schedules`, or a number for a constant. `ByDepth` counts the blocks
            among the places of its pattern, in the model's order; places in the same numbered module, as
            "blocks.3.drop_path1" and "blocks.3.drop_path2" are, are in one block. Where patterns overlap the last one
            has the place.
        example: what the model is called with, as in `set_rates`. It is run once, here.

    Raises:
        TypeError, ValueError: as `set_rates`: a pattern that matches no place, a place that is out of rate_places.

    Cost: some ten microseconds a place for a step, next to nothing where no p changes.

    >>> import thinned
    >>> from thinned.schedules import ByDepth, EarlyDropout
    >>> layers = [torch.nn.Linear(4, 4), thinned.nn.Dropout(), torch.nn.Linear(4, 4), thinned.nn.Dropout()]
    >>> schedule = thinned.Schedule(torch.nn.Sequential(*layers), {"*": ByDepth(EarlyDropout(0.5, steps=4))})
    >>> schedule.p
    {'1': 0.25, '3': 0.5}
    >>> schedule.step()
    >>> schedule.p, schedule.at(1000)
    ({'1': 0.1875, '3': 0.375}, {'1': 0.0, '3': 0.0})
    """

    def __init__(self, model: torch.nn.Module, schedules: Mapping[str, Curve | float], *, example: Any = None) -> None:
        if not isinstance(schedules, Mapping):
            raise TypeError(
                "`Schedule`: `schedules` must be a mapping from patterns to curves. Got "
                f"{type(schedules).__name__}. Pass {{'*': thinned.schedules.EarlyDropout(0.1, steps=1000)}}."
            )
        self.model = model
        self.schedules = {pattern: curve(value) for pattern, value in schedules.items()}
        self._rate_places = RatePlaces("Schedule", model, example)
        self._places = self._find()
        self._steps = 0
        self._set: dict[str, float] = {}
        self.go_to(0)
        self._rate_places.inspection = None  # the example has shown that p follows

    @property
    def steps(self) -> int:
        """How many steps are over."""
        return self._steps

    @property
    def p(self) -> dict[str, float]:
        """What every place of the schedule has now."""
        return dict(self._set)

    def at(self, step: int) -> dict[str, float]:
        """What every place has after `step` steps: to be read or plotted, without setting anything."""
        check(STEP, "Schedule", "step", step)
        return {name: place(step) for name, place in self._places.items()}

    def step(self) -> None:
        """Go on to the next step. Call it when the optimiser has stepped."""
        self.go_to(self._steps + 1)

    def go_to(self, step: int) -> None:
        """Go to any step."""
        wanted = self.at(step)
        changes = {name: p for name, p in wanted.items() if p != self._set.get(name)}
        if changes:
            assign("Schedule", self.model, self._rate_places, changes)
        self._set, self._steps = wanted, step

    def state_dict(self) -> dict[str, Any]:
        """The step, and the schedules as text, by which a load notices that they are others."""
        return {"step": self._steps, "schedules": {pattern: repr(of) for pattern, of in self.schedules.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to the step of a `state_dict`: every place gets the p that it had then.

        Raises:
            ValueError: no `state_dict` of a schedule, or one of other schedules.
        """
        mine = self.state_dict()
        if not {"step", "schedules"} <= set(state):
            raise ValueError(f"`Schedule`: `state` must be what state_dict() gave. Got {dict(state)!r}.")
        if state["schedules"] != mine["schedules"]:
            raise ValueError(
                f"`Schedule`: `state` must be of the same schedules, {mine['schedules']}. Got {state['schedules']}. "
                f"Make the schedule as it was, or go on with this one: schedule.go_to({state['step']})."
            )
        self._set = {}  # whatever has been set by hand since
        self.go_to(state["step"])

    def _find(self) -> dict[str, Curve]:
        """The curve of every place that a pattern names."""
        places: dict[str, Curve] = {}
        for pattern, of in self.schedules.items():
            names = matching("Schedule", "schedules", pattern, self._rate_places)
            places |= _by_depth(of, names) if isinstance(of, ByDepth) else dict.fromkeys(names, of)
        return places


def _by_depth(of: ByDepth, names: list[str]) -> dict[str, Curve]:
    blocks = {name: match[0] if (match := NUMBERED.match(name)) else name for name in names}
    order = list(dict.fromkeys(blocks.values()))
    return {name: of.block(order.index(block) + 1, len(order)) for name, block in blocks.items()}
