"""`thinned.study.tune`: p for each kind of place, by the caller's own training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...model.plan.plan import Plan
from ...replaced_file import replace_file
from ..answer.interval import Bounds, Interval, interval
from ..error import StudyError
from ..report.tuning_facts import TuningData
from .arms import WAS, ZERO, Arm
from .page import with_page
from .page_facts import Rivals, page_facts
from .result import PairedDifference, TriedArm, TuneResult
from .search import FIRST, MORE, Search
from .subject import Subject, Tunable
from .trainings import FitFunction, SeedTraining, Trainings

PS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7)
TUNED = "tuned"
LEAST = 4 * FIRST  # trainings: p = 0, the rates as they were, and two sets more


def tune(
    fit: FitFunction,
    model: Subject,
    *,
    plan: Plan | None = None,
    metric: str | None = None,
    direction: Literal["minimize", "maximize"] = "minimize",
    judge: str | None = None,
    budget: Any = None,
    seeds: int = 5,
    seed: int = 0,
    ps: Sequence[float] = PS,
    trials: int = 60,
    kinds: Mapping[str, str] | None = None,
    out: str | Path = "thinned-tune",
    watch: Callable[[SeedTraining], None] = lambda training: None,
) -> TuneResult:
    """Find p for each kind of place in a model (input, hidden, attention, ...) by your own training loop.

    Tried are p = 0, the rates as they are, these times 0.5, 1.5 and 2, and then each p of `ps` for each kind in turn.
    Every set of rates has the same seeds and the whole budget: short trainings would favour p = 0, which learns
    fastest. All sets have two seeds; the best four have two more. The best, p = 0 and the rates as they were are then
    trained on `seeds` other seeds, which alone decide what is said.

    Arguments:
        fit: `fit(model, rates, seed, budget)` trains the model and returns figures on validation rows: a number, or a
            mapping from names to numbers. The rates are set already; `rates` has them by place. The generators of
            torch, NumPy and Python are seeded. Nothing of the loop may depend on p beside the model.
        model: a model, of which each training gets a copy, as for fine-tuning; or a function that builds one, with new
            weights for each seed; or a plan, which is then what `fit` gets, to apply it to a model of its own.
        plan: new places for the model: the result of `thinned.plan`.
        metric: the name of the figure that decides; needed where there are several.
        direction: "minimize" or "maximize".
        judge: the figure by which the three are compared in the end. One of rows that no choice has seen, such as test
            rows, is the most honest. Default: `metric`.
        budget: what `fit` gets as such: steps or epochs, as the loop counts.
        seeds: how many seeds judge, 2 or more.
        seed: the first seed. The four from it on are the search's, the next `seeds` judge.
        ps: what is tried for each kind: the largest p of its places. The others keep their shares.
        trials: the most trainings of the first part of the search; at least 8.
        kinds: kinds of your own, by pattern of places: `{"encoder.*": "encoder"}`.
        out: the folder of `trials.db`, `rates.toml` or `plan.toml`, `tune.txt` and `report.html`, a page with figures.
            The same call goes on from there. It knows the model by its places, not its code: after a change of `fit`,
            name another.
        watch: called after each training.

    Returns a `TuneResult`; `print` shows the table. Its rates are the simplest of three (p = 0, as they were, tuned)
    that no other is seen to beat, by 95 % intervals of paired differences over seeds.

    A training that raises is one failed training with its reason; it is tried again by the next call. A figure that is
    no finite number is called diverged. Rates with such a training are never taken.

    Raises:
        StudyError: no place for dropout; a folder of another tuning; no or a wrong figure from `fit`; or p = 0 could
            not be trained, so that there is nothing to compare.
        TypeError: `model` or `plan` is something else, or `fit` can't be called.
        KeyboardInterrupt: Ctrl-C. What is finished is in `out`.

    Cost: at most `trials + 8 + 3 * seeds` trainings, one after another.

    >>> import tempfile, torch, thinned
    >>> net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.1))
    >>> def fit(model, rates, seed, budget):
    ...     return (rates["1"] - 0.3) ** 2 + seed / 1000
    >>> print(tune(fit, net, trials=12, out=tempfile.mkdtemp()).set_rates_line)
    thinned.set_rates(model, {'1': 0.3})
    """
    _check_fit(fit)
    options = TuneOptions(Path(out), metric, direction, judge, budget, seeds, seed, tuple(ps), trials)
    return tuned(fit, Tunable.of(model, plan, kinds), options, watch=watch)


@dataclass(frozen=True)
class TuneOptions:
    """See `tune` for what each means."""

    out: Path
    metric: str | None = None
    direction: Literal["minimize", "maximize"] = "minimize"
    judge: str | None = None
    budget: Any = None
    seeds: int = 5
    seed: int = 0
    ps: tuple[float, ...] = PS
    trials: int = 60

    def __post_init__(self) -> None:
        if self.direction not in ("minimize", "maximize"):
            raise StudyError(f"`tune`: `direction` must be 'minimize' or 'maximize'. Got {self.direction!r}.")
        if self.seeds < 2:
            raise StudyError(
                f"`tune`: `seeds` must be at least 2: one can't tell an effect from luck. Got {self.seeds}."
            )
        if not 0 <= self.seed < 2**31:
            raise StudyError(f"`tune`: `seed` must be a whole number from 0 to 2^31. Got {self.seed}.")
        if self.trials < LEAST:
            raise StudyError(f"`tune`: `trials` must be at least {LEAST}. Got {self.trials}.")
        for p in self.ps:
            if not 0 <= p < 1:
                hint = f" If {p:g} % was meant, pass {p / 100:g}." if 1 < p < 100 else ""
                raise StudyError(f"`tune`: `ps` must be in [0, 1). Got {p}.{hint}")
        if not any(self.ps):
            raise StudyError("`tune`: `ps` must have a rate above 0 to compare with 0. Got none.")

    @property
    def judges(self) -> range:
        """The seeds that judge: none of the search's."""
        return range(self.seed + FIRST + MORE, self.seed + FIRST + MORE + self.seeds)

    def shown(self) -> list[tuple[str, str]]:
        """What the caller may set, as text for the page."""
        return [
            ("budget of a training", "the loop's own" if self.budget is None else str(self.budget)),
            ("p of each kind", ", ".join(f"{p:g}" for p in self.ps)),
            ("most trainings", f"{self.trials} in the first part of the search"),
            ("seeds that judge", f"{self.seeds}, from {self.judges.start}"),
            ("seeds of the search", f"{FIRST} and {MORE} more, from {self.seed}"),
        ]


def tuned(
    fit: FitFunction,
    tunable: Tunable,
    options: TuneOptions,
    facts: Mapping[str, Any] | None = None,
    watch: Callable[[SeedTraining], None] = lambda training: None,
    data: TuningData | None = None,
) -> TuneResult:
    """`tune` with its options in one. `facts` are further settings that decide a figure, such as the data's digest.

    `data` is for the page alone.
    """
    settings = {
        "places": [f"{name} {p:.6g}" for name, p in tunable.start.items()],
        "metric": options.metric,
        "judge": options.judge,
        "direction": options.direction,
        "budget": repr(options.budget),
        "seed": options.seed,
    }
    metrics = options.metric, options.judge
    trainings = Trainings(
        options.out, settings | dict(facts or {}), fit, tunable, options.budget, metrics, options.direction, watch
    )
    try:
        sign = -1.0 if options.direction == "maximize" else 1.0
        search = Search(trainings, tunable, options.ps, options.trials, options.seed, sign)
        best = search.best()
        rivals = {ZERO: search.zero, WAS: search.was, TUNED: best}
        judged = {name: [trainings.run(arm, seed) for seed in options.judges] for name, arm in rivals.items()}
    finally:
        trainings.close()
    result = _result(tunable, search, rivals, judged, options.direction, options.out)
    result = with_page(result, page_facts(result, search, Rivals(rivals, judged), options.shown(), data))
    replace_file(options.out / "tune.txt", f"{result}\n".encode())
    return result


def _result(
    tunable: Tunable,
    search: Search,
    rivals: Mapping[str, Arm],
    judged: Mapping[str, list[SeedTraining]],
    direction: Literal["minimize", "maximize"],
    out: Path,
) -> TuneResult:
    name, judge = search.trainings.metric, search.trainings.judge
    lost = {rival for rival, found in judged.items() if any(item.ended != "trained" for item in found)}
    notes = [_lost(rival, judged[rival]) for rival in rivals if rival in lost]
    sound = [rival for rival in rivals if rival not in lost]
    if not sound:
        raise StudyError(f"`tune`: nothing is left to compare. {' '.join(notes)}")
    differences = _differences({rival: (rivals[rival].key, judged[rival]) for rival in sound}, judge, direction)
    taken = _simplest({rival: rivals[rival].key for rival in sound}, differences)
    if rivals[TUNED].key == rivals[ZERO].key:
        notes.append("The search liked p = 0 best.")
    if rivals[TUNED].key == rivals[WAS].key != rivals[ZERO].key:
        notes.append("The search liked the rates as they were best.")
    every = {item.figures.get(name) for item in search.trainings.known.values() if item.seed == search.seed}
    if len(search.arms) > 2 and len(every) == 1:
        notes.append("All rates gave the very same figures: `fit` does not train the model that it is given.")
    if not search.whole:
        notes.append("The search ended at its most trainings: more `trials` would try more rates.")
    if tunable.left_out:
        notes.append(f"Left out: {'; '.join(tunable.left_out)}.")
    arms = [_tried(search, arm, tunable.kinds, direction) for arm in search.arms.values()]
    file = tunable.save(rivals[taken].by_place(), out)
    return TuneResult(
        title=tunable.title,
        taken=taken,
        rates=rivals[taken].by_place(),
        tuned=rivals[TUNED].by_place(),
        kinds=tunable.kinds,
        differences=differences,
        arms=tuple(arms),
        notes=tuple(notes),
        metric=name,
        direction=direction,
        file=file,
        planned=tunable.plan is not None and not isinstance(tunable.subject, Plan),
    )


def _differences(
    sound: Mapping[str, tuple[str, list[SeedTraining]]], judge: str, direction: Literal["minimize", "maximize"]
) -> tuple[PairedDifference, ...]:
    """Each pair of different rates once."""
    found: dict[frozenset[str], PairedDifference] = {}
    for first, second in ((WAS, ZERO), (TUNED, ZERO), (TUNED, WAS)):
        if first not in sound or second not in sound:
            continue
        (key, runs), (other, others) = sound[first], sound[second]
        if key != other and frozenset((key, other)) not in found:
            paired = _paired(runs, others, judge)
            found[frozenset((key, other))] = PairedDifference(first, second, judge, paired, direction)
    return tuple(sorted(found.values(), key=lambda item: item.first != TUNED))


def _simplest(sound: Mapping[str, str], differences: Sequence[PairedDifference]) -> str:
    """The first of the three that no other is seen to beat. `sound` has their rates: equal ones are beaten together."""
    beaten = {item.second for item in differences if item.verdict == "better"}
    beaten |= {item.first for item in differences if item.verdict == "worse"}
    lost = {sound[rival] for rival in beaten}
    return next((rival for rival, key in sound.items() if key not in lost), next(iter(sound)))


def _paired(first: Sequence[SeedTraining], second: Sequence[SeedTraining], metric: str) -> Interval:
    """Student's interval of paired differences over seeds: a figure has no rows, so both columns are the same.

    Where all differences are equal there is no scatter: then it is the exact bound for a share of other seeds that
    differ, by the difference's own size, or by the largest figure's where it is 0.
    """
    pairs = np.array([[item.figures[metric] for item in found] for found in (first, second)])
    gaps = pairs[0] - pairs[1]
    size = float(np.abs(pairs).max()) if pairs.any() and not gaps.any() else np.inf
    return interval([np.stack([gaps, gaps], axis=1)], Bounds(-size, size, float(len(gaps))))


def _lost(rival: str, found: Sequence[SeedTraining]) -> str:
    item = next(item for item in found if item.ended != "trained")
    return f"{rival}, seed {item.seed}, {item.ended}: {item.reason}. So these rates are not compared."


def _tried(search: Search, arm: Arm, kinds: Mapping[str, str], direction: str) -> TriedArm:
    found = search.found(arm)
    note = next((f"{item.ended}: {item.reason}" for item in found if item.ended != "trained"), "")
    early, late = search.loss(arm, first=True), search.loss(arm)
    sign = -1.0 if direction == "maximize" else 1.0
    return TriedArm(
        name=arm.name,
        levels=arm.by_kind(kinds),
        figure=None if early is None else sign * early,
        final=sign * late if late is not None and len(found) > FIRST else None,
        note=note,
    )


def _check_fit(fit: Any) -> None:
    if not callable(fit):
        raise TypeError(
            f"`tune`: `fit` must be a function. Got {type(fit).__name__}. Pass fit(model, rates, seed, budget)."
        )
