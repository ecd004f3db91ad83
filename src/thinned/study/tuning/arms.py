"""The arms of a tuning: sets of rates that are tried, one p for each place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

ZERO, WAS, PLANNED = "p = 0", "as it was", "as the plan has it"
MULTIPLIERS = (0.5, 1.5, 2.0)
HIGHEST = 0.9  # no place gets a higher p by the multiplier


@dataclass(frozen=True)
class Arm:
    """A set of rates with its name. Arms of equal rates are one arm."""

    name: str
    rates: tuple[tuple[str, float], ...]

    @classmethod
    def of(cls, name: str, rates: Mapping[str, float]) -> Arm:
        return cls(name, tuple((place, round(float(p), 4)) for place, p in rates.items()))

    @property
    def key(self) -> str:
        """The rates as text: what tells one arm from another."""
        return json.dumps(self.rates)

    def by_place(self) -> dict[str, float]:
        return dict(self.rates)

    def by_kind(self, kinds: Mapping[str, str]) -> dict[str, float]:
        """The largest p of each kind."""
        found: dict[str, float] = {}
        for place, p in self.rates:
            found[kinds[place]] = max(found.get(kinds[place], 0.0), p)
        return found


def zero(start: Mapping[str, float]) -> Arm:
    return Arm.of(ZERO, dict.fromkeys(start, 0.0))


def as_it_was(was: Mapping[str, float]) -> Arm:
    return Arm.of(WAS, was)


def as_planned(start: Mapping[str, float]) -> Arm:
    return Arm.of(PLANNED, start)


def multiplied(start: Mapping[str, float]) -> Iterator[Arm]:
    """All rates times one number, as fastai's `drop_mult`. None where all of them are 0.

    >>> [arm.by_place() for arm in multiplied({"a": 0.1, "b": 0.3})]
    [{'a': 0.05, 'b': 0.15}, {'a': 0.15, 'b': 0.45}, {'a': 0.2, 'b': 0.6}]
    """
    if any(start.values()):
        for factor in MULTIPLIERS:
            yield Arm.of(f"all x {factor:g}", {place: min(p * factor, HIGHEST) for place, p in start.items()})


def of_kind(centre: Arm, start: Mapping[str, float], kinds: Mapping[str, str], kind: str, p: float) -> Arm:
    """`centre` with another p for one kind: the largest of its places. The others keep their shares as they were.

    >>> of_kind(zero({"a": 0.1, "b": 0.2}), {"a": 0.1, "b": 0.2}, {"a": "residual", "b": "residual"}, "residual", 0.4)
    Arm(name='residual 0.4', rates=(('a', 0.2), ('b', 0.4)))
    """
    highest = max(start[place] for place in start if kinds[place] == kind)
    rates = centre.by_place()
    for place in start:
        if kinds[place] == kind:
            rates[place] = p * (start[place] / highest if highest else 1.0)
    levels = Arm.of("", rates).by_kind(kinds)
    return Arm.of(", ".join(f"{name} {level:g}" for name, level in levels.items()), rates)
