"""What is tuned: the places of a model or of a plan, their kinds, and how a trial's model is made."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ...frameworks import refuse_other_frameworks
from ...model.inspect.pattern import named
from ...model.plan.apply import Applied, apply
from ...model.plan.plan import Plan
from ...model.plan.saved_rates import save_rates
from ...model.rates.rate_places import RatePlace, RatePlaces
from ...model.rates.rates import set_rates
from ..error import StudyError
from .kinds import kind_of, kind_of_line
from .seeded import seeded

Build = Callable[[], torch.nn.Module]
Subject = torch.nn.Module | Plan | Build


@dataclass(frozen=True)
class Tunable:
    """The places whose p is tuned.

    `start` has the p of each place, by the name that `set_rates` takes; where a plan sets it, the plan's. `was` has it
    as it was before, 0 where the place is new. `kinds` has each place's kind.
    """

    subject: Subject
    plan: Plan | None
    start: dict[str, float]
    was: dict[str, float]
    kinds: dict[str, str]
    left_out: tuple[str, ...] = field(default=())  # places whose p can't be set, with the reason

    @classmethod
    def of(cls, subject: Subject, plan: Plan | None = None, kinds: Mapping[str, str] | None = None) -> Tunable:
        """The places of a model, of a plan, or of what a function builds.

        Arguments:
            plan: new places, which are put into the model.
            kinds: kinds of the caller's own, by pattern of names; the last that matches counts.

        Raises:
            StudyError: there is no place whose p can be set, or a pattern matches none.
            TypeError: `subject` is nothing of the three, or `plan` is no plan.
        """
        if plan is not None and not isinstance(plan, Plan):
            raise TypeError(
                f"`tune`: `plan` must be a Plan. Got {type(plan).__name__}. Make one with thinned.plan(model, example)."
            )
        if isinstance(subject, Plan):
            if plan is not None:
                raise StudyError("`tune`: there must be one plan. Got two. Pass a model, and `plan` beside it.")
            found = {line.where: line.p for line in subject.enabled}
            tuned = cls(subject, subject, found, found, {line.where: kind_of_line(line) for line in subject.enabled})
        else:
            tuned = cls(subject, plan, *_places(cls(subject, plan, {}, {}, {})._sample({})))
        if not tuned.start:
            why = f" Left out: {'; '.join(tuned.left_out)}." if tuned.left_out else ""
            raise StudyError(
                f"`tune`: there must be a place for dropout whose p can be set. Got none.{why} Pass "
                "plan=thinned.plan(model, example), which finds places."
            )
        return tuned._with(kinds or {})

    def model(self, rates: Mapping[str, float]) -> Any:
        """A trial's model with these rates: a copy, or a new one where a function builds it. For a plan, the plan."""
        if isinstance(self.subject, Plan):
            return self._planned(self.subject, rates)
        refuse_other_frameworks("tune", self.subject)
        if isinstance(self.subject, torch.nn.Module):
            model = copy.deepcopy(self.subject)
        elif callable(self.subject):
            model = self.subject()
        else:
            raise TypeError(
                "`tune`: the second argument must be a model, a plan, or a function that builds a model. Got "
                f"{type(self.subject).__name__}."
            )
        refuse_other_frameworks("tune", model)
        if not isinstance(model, torch.nn.Module):
            raise TypeError(
                f"`tune`: the function must build a torch.nn.Module. Got {type(model).__name__}. Return the model."
            )
        if self.plan is not None:
            apply(model, self.plan)
        if rates:
            set_rates(model, rates)
        return model

    def save(self, rates: Mapping[str, float], folder: Path) -> Path:
        """Write the rates: `plan.toml` for a plan alone, else `rates.toml`. The file that was written."""
        made = self._sample(rates)
        if isinstance(made, Plan):
            made.save(folder / "plan.toml")
            return folder / "plan.toml"
        own = Applied.of(made)
        if own is not None:
            own.plan.save(folder / "plan.toml")
        save_rates(made, folder / "rates.toml")
        return folder / "rates.toml"

    @property
    def title(self) -> str:
        if isinstance(self.subject, Plan):
            return f"a plan of {self.subject.model or 'a model'}"
        return type(self._sample({})).__name__

    def _sample(self, rates: Mapping[str, float]) -> Any:
        """A model to look at. The caller's generators stay where they are."""
        with seeded(0):
            return self.model(rates)

    def _with(self, kinds: Mapping[str, str]) -> Tunable:
        named_kinds = dict(self.kinds)
        for pattern, kind in kinds.items():
            names = [name for name in self.kinds if named(name, pattern)]
            if not names:
                raise StudyError(
                    f"`tune`: `kinds` must name places. {pattern!r} matches none of {', '.join(self.kinds)}."
                )
            named_kinds |= dict.fromkeys(names, kind)
        return replace(self, kinds=named_kinds)

    @staticmethod
    def _planned(plan: Plan, rates: Mapping[str, float]) -> Plan:
        for where, p in rates.items():
            plan = plan.changed(where, p=p)
        return plan


def _places(
    model: torch.nn.Module,
) -> tuple[dict[str, float], dict[str, float], dict[str, str], tuple[str, ...]]:
    """Rates, rates before a plan, and kinds by name, one name for each p; and what was left out."""
    places = RatePlaces("tune", model)
    applied = Applied.of(model)
    planned = {} if applied is None else {line.where: kind_of_line(line) for line in applied.plan.enabled}
    by_name = {places.aliases[where]: kind for where, kind in planned.items() if where in places.aliases}
    groups: dict[Any, list[RatePlace]] = {}
    left_out = []
    for place in places.by_name.values():
        if place.p is None or math.isnan(place.p) or (place.attribute is None and not place.calls):
            left_out.append(f"{place}, {place.why or 'whose p no source tells'}")
            continue
        groups.setdefault(place.name if place.attribute is None else place.attribute.key, []).append(place)
    start: dict[str, float] = {}
    was: dict[str, float] = {}
    kinds: dict[str, str] = {}
    for group in groups.values():
        found = [by_name.get(place.name) or kind_of(place, places.modules) for place in group]
        name = group[-1].name if len(group) > 1 else group[0].name
        start[name] = float(group[0].p or 0.0)
        was[name] = 0.0 if any(place.name in by_name for place in group) else start[name]
        kinds[name] = "attention" if "attention" in found else found[0]
    return start, was, kinds, tuple(left_out)
