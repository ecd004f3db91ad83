"""What the page of a tuning says: gathered from the search, the judging and the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..report.tuning_facts import (
    JudgedRates,
    KindCurve,
    Role,
    SeedFigures,
    SeenDifference,
    TriedRates,
    TunedKind,
    TunedPlace,
    TuningData,
    TuningFacts,
)
from .arms import PLANNED, Arm, of_kind
from .result import TuneResult
from .search import FIRST, Search
from .trainings import SeedTraining

ROUNDING = 2e-4  # by which rates that were rounded twice may differ
SWEPT = 2 / 3  # of the p that the longest curve has: fewer came together by chance


@dataclass(frozen=True)
class Rivals:
    """The three that are compared, with the trainings that judge."""

    arms: Mapping[str, Arm]
    judged: Mapping[str, Sequence[SeedTraining]]


def page_facts(
    result: TuneResult,
    search: Search,
    compared: Rivals,
    settings: Sequence[tuple[str, str]],
    data: TuningData | None,
) -> TuningFacts:
    """All that the page says. `settings` are those of the caller's, as text."""
    tunable, trainings = search.tunable, search.trainings
    tried = list(search.arms.values())
    return TuningFacts(
        title=result.title,
        headline=result.headline,
        taken=result.taken,
        line=result.set_rates_line,
        metric=trainings.metric,
        judge=trainings.judge,
        lower=result.direction == "minimize",
        common=FIRST,
        kinds=tuple(
            TunedKind(kind, _curves(kind, tried, search, result.tuned))
            for kind in dict.fromkeys(tunable.kinds.values())
        ),
        places=tuple(
            TunedPlace(name, tunable.kinds[name], was, result.tuned[name], result.rates[name])
            for name, was in tunable.was.items()
        ),
        tried=tuple(
            TriedRates(
                item.name,
                _role(arm, search),
                item.levels,
                _seeds(search.found(arm)),
                item.figure,
                item.final,
                item.note,
            )
            for arm, item in zip(tried, result.arms, strict=True)
        ),
        judged=tuple(_judged(compared)),
        differences=tuple(
            SeenDifference(
                item.first,
                item.second,
                item.interval.value,
                item.interval.low,
                item.interval.high,
                item.interval.seeds,
                item.verdict,
            )
            for item in result.differences
        ),
        notes=result.notes,
        settings=tuple(settings),
        data=data,
        folder=result.file.parent,
        rates_file=result.file.name,
        planned=result.planned,
    )


def _judged(compared: Rivals) -> Iterator[JudgedRates]:
    """Equal rates once, with all their names."""
    names: dict[str, list[str]] = {}
    for name, arm in compared.arms.items():
        names.setdefault(arm.key, []).append(name)
    for found in names.values():
        yield JudgedRates(tuple(found), _seeds(compared.judged[found[0]]))


def _seeds(found: Sequence[SeedTraining]) -> tuple[SeedFigures, ...]:
    return tuple(SeedFigures(item.seed, item.ended, item.figures, item.reason, item.seconds) for item in found)


def _role(arm: Arm, search: Search) -> Role:
    if arm.key == search.zero.key:
        return "zero"
    if arm.key == search.was.key:
        return "was"
    return "planned" if arm.name == PLANNED else "multiplied" if arm.name.startswith("all x ") else "kind"


def _curves(kind: str, tried: Sequence[Arm], search: Search, tuned: Mapping[str, float]) -> tuple[KindCurve, ...]:
    """Arms of equal p elsewhere, by the kind's p. First the curve that holds the tuned rates, or the longest."""
    kinds, start = search.tunable.kinds, search.tunable.start

    def elsewhere(rates: Mapping[str, float]) -> tuple[float, ...]:
        return tuple(round(p, 4) for place, p in rates.items() if kinds[place] != kind)

    groups: dict[tuple[float, ...], dict[float, int]] = {}
    for number, arm in enumerate(tried):
        level = arm.by_kind(kinds)[kind]
        by_share = of_kind(arm, start, kinds, kind, level).by_place()
        if all(abs(by_share[place] - p) < ROUNDING for place, p in arm.rates):
            groups.setdefault(elsewhere(arm.by_place()), {})[level] = number
    longest = max((len(levels) for levels in groups.values()), default=0)
    long = {key: levels for key, levels in groups.items() if len(levels) >= max(2, SWEPT * longest)}
    order = sorted(long, key=lambda key: (key != elsewhere(tuned), -len(long[key])))
    found = []
    for key in order:
        numbers = [number for _, number in sorted(long[key].items())]
        levels = tried[numbers[0]].by_kind(kinds)
        found.append(KindCurve(tuple(numbers), {name: p for name, p in levels.items() if name != kind}))
    return tuple(found)
