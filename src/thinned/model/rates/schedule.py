"""`Schedule`: a model's p over the steps of its training, with one curve for each pattern, and a state to resume."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch

from ...noise import check
from ...schedules.curve import STEP, ByDepth, Curve, curve
from .assign import assign
from .held_places import HeldPlaces
from .patterns import matching_places

NUMBERED = re.compile(r"(.*\.)?\d+(?![^.:])")  # a name up to its last number: "blocks.3" of "blocks.3.drop_path1"


class Schedule:
    """Set a model's p by curves over steps: `schedule.step()` after each `optimizer.step()`.

    The constructor sets each named place to `curve(0)`, the p of the first training step. `step()` sets the p of the
    next step. A place whose p does not change is not touched. A compiled model with thinned's layers is not compiled
    again.

    Arguments:
        model: any module. What `thinned.convert` and `revert` put in another's place later is found again.
        schedules: by pattern, a curve of `thinned.schedules`, or a number for a constant. `ByDepth` counts the blocks
            among the places of its pattern, in the model's order. Places in one numbered module are in one block, such
            as "blocks.3.drop_path1" and "blocks.3.drop_path2". If several patterns match a place, the last one counts.
        example: as in `set_rates`. The model runs on it here, in the constructor, and not in later steps.

    Raises:
        TypeError: `model` is no module, `schedules` is no mapping, or a value is no curve and no number.
        ValueError: a pattern matches no place, or the p of a place can't be set, as in `set_rates`.

    Cost: about ten microseconds for each place in a step, and two for each module in a step that changes no p.

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
        self._held = HeldPlaces("Schedule", model, example)
        self._places = self._find()
        self._steps = 0
        self._set: dict[str, float] = {}
        self.go_to(0)
        self._held.places.inspection = None  # so that later steps don't run the example

    @property
    def steps(self) -> int:
        """The present step: how many steps of training are done."""
        return self._steps

    @property
    def p(self) -> dict[str, float]:
        """The present p of every place of the schedule, as the model has it.

        Raises:
            RuntimeError: a place is in the model no more: its plan was removed, or the module was replaced.
        """
        places, _ = self._held.now(self._places)
        return {name: math.nan if (p := places.by_name[name].p) is None else p for name in self._places}

    def __repr__(self) -> str:
        curves = ", ".join(f"{pattern!r}: {of!r}" for pattern, of in self.schedules.items())
        return f"Schedule({type(self.model).__name__}, {{{curves}}}) at step {self._steps}"

    def logs(self) -> dict[str, float]:
        """The present p by pattern, for a log: "p/" and the pattern, the mean of the pattern's places."""
        present = self.p
        return {
            f"p/{pattern}": sum(present[name] for name in names) / len(names) for pattern, names in self._named.items()
        }

    def at(self, step: int) -> dict[str, float]:
        """The p that every place has after `step` steps, to read or to plot. Nothing is set."""
        check(STEP, "Schedule", "step", step)
        return {name: place(step) for name, place in self._places.items()}

    def step(self) -> None:
        """Set the p of the next step. Call it after `optimizer.step()`."""
        self.go_to(self._steps + 1)

    def go_to(self, step: int) -> None:
        """Set the p of any step, and continue from there.

        Raises:
            RuntimeError: as `p`. A module that `convert` or `revert` has put in another's place is found again.
        """
        wanted = self.at(step)
        places, others = self._held.now(self._places)
        changes = wanted if others else {name: p for name, p in wanted.items() if p != self._set.get(name)}
        if changes:
            assign("Schedule", self.model, places, changes)
        self._set, self._steps = wanted, step

    def state_dict(self) -> dict[str, Any]:
        """The step, and the schedules as text, so that `load_state_dict` can refuse a state of other schedules."""
        return {"step": self._steps, "schedules": {pattern: repr(of) for pattern, of in self.schedules.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to the step of a `state_dict`: every place gets the p that it had then.

        Raises:
            ValueError: `state` is no `state_dict` of a schedule.
            ValueError: `state` belongs to other schedules.
        """
        mine = self.state_dict()
        if not {"step", "schedules"} <= set(state):
            raise ValueError(f"`Schedule`: `state` must be what state_dict() gave. Got {dict(state)!r}.")
        if state["schedules"] != mine["schedules"]:
            raise ValueError(
                f"`Schedule`: `state` must be of the same schedules, {mine['schedules']}. Got {state['schedules']}. "
                f"Make the schedule as it was, or go on with this one: schedule.go_to({state['step']})."
            )
        self._set = {}  # so that a p set by hand in the meantime is set again
        self.go_to(state["step"])

    def _find(self) -> dict[str, Curve]:
        """The curve of every place that a pattern names."""
        places: dict[str, Curve] = {}
        self._named: dict[str, list[str]] = {}
        for pattern, of in self.schedules.items():
            names = matching_places("Schedule", "schedules", pattern, self._held.places)
            self._named[pattern] = names
            places |= _by_depth(of, names) if isinstance(of, ByDepth) else dict.fromkeys(names, of)
        return places


def _by_depth(of: ByDepth, names: list[str]) -> dict[str, Curve]:
    blocks = {name: match[0] if (match := NUMBERED.match(name)) else name for name in names}
    order = list(dict.fromkeys(blocks.values()))
    return {name: of.block(order.index(block) + 1, len(order)) for name, block in blocks.items()}
