"""From finished runs to the record of the answer: levels, baselines, differences, ranges and the network to take."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..error import StudyError
from ..record import Arm, BaselineResult, Difference, DivergedLevel, Estimate, LevelResult, Network, RateRange, Task
from ..search.chooser import PLAIN, Chooser
from ..trial.baseline import BaselineName
from ..trial.config import Config, Level
from ..trial.fold import Fold
from ..trial.outcome import Outcome, diverged
from .interval import Interval
from .power import rows_needed, seeds_needed, smallest_effect
from .simplest import Tried, simplest
from .speech import name
from .standing import ERRORS, NLL_TEMPERED, Answered, Standing, Trained, estimate, summed_up
from .together import SeedNetwork, combined, temperature_of
from .verdict import margin, runs

BESIDE: tuple[Arm, ...] = ("decay", "both", "input")
TITLES: dict[Task | Literal["next word"], dict[BaselineName, str]] = {
    "classification": {
        "constant": "the most frequent class",
        "linear": "logistic regression",
        "tree": "gradient boosting",
    },
    "regression": {"constant": "the mean", "linear": "linear regression", "tree": "gradient boosting"},
    "next word": {"constant": "a unigram model", "linear": "an interpolated bigram model"},
}


@dataclass(frozen=True)
class Conclusion:
    """What was found, without words."""

    diverged: list[DivergedLevel]
    levels: list[LevelResult]
    baselines: list[BaselineResult]
    differences: list[Difference]
    ranges: list[RateRange]
    best_p: float
    network: Network
    chosen: Trained  # the network's level
    plain: Trained
    noisy: Trained  # the level at `best_p`


def conclude(
    choosers: Sequence[Chooser],
    finished: Mapping[Config, Outcome],
    losses: Mapping[Config, float],
    folds: Mapping[int, Fold],
    baselines: Mapping[BaselineName, Mapping[int, Answered]],
    task: Task,
    metric: str,
) -> Conclusion | None:
    """The answer so far; None before p = 0 and a rate above it have two seeds in every outer split.

    A level of which a network diverged has no part in it.

    Raises StudyError: p = 0 diverged, or every rate above it, so that there is nothing to compare.
    """
    every = _all_trained(choosers, finished, folds)
    lost = {key for key, item in every.items() if any(map(diverged, item.runs))}
    apart = [_diverged(every[key]) for key in every if key in lost]
    trained = {key: item for key, item in every.items() if key not in lost}
    if not _comparable(trained):
        if not _comparable(every):
            return None
        raise StudyError(
            f"no answer: training diverged. {' '.join(said_of(one) for one in apart)} Nothing is left to compare. Pass "
            "lower learning rates as --lr, or leave --lr out: a range test then finds them."
        )
    plain = trained["dropout", 0.0]
    results = {key: summed_up(item, None if item is plain else plain, task, metric) for key, item in trained.items()}
    best_p = _best_p(choosers, trained)
    key = _simplest(trained, losses, folds, None)
    standings = _standings(baselines, folds, choosers)
    compared = _Compared(metric, task, results, trained)
    against = {level.p: level.against_plain for (arm, _), level in results.items() if arm == "dropout"}
    return Conclusion(
        diverged=apart,
        levels=list(results.values()),
        baselines=_baselines(standings, task, metric),
        differences=[*compared.levels(best_p, key), *compared.rivals(standings, key)],
        ranges=[
            RateRange(ps=list(found.ps), kind=found.kind, low=found.low, high=found.high)
            for found in runs(
                {p: found for p, found in against.items() if found is not None},
                margin(results["dropout", 0.0].metric.value),
            )
        ],
        best_p=best_p,
        network=_network(trained, losses, key, folds, metric),
        chosen=trained[key],
        plain=plain,
        noisy=trained["dropout", best_p],
    )


Key = tuple[Arm, float]  # the arm, and for dropout its p


def _all_trained(
    choosers: Sequence[Chooser], finished: Mapping[Config, Outcome], folds: Mapping[int, Fold]
) -> dict[Key, Trained]:
    """Every level that all outer splits have, dropout by p first."""
    by_split: list[dict[Key, tuple[Level, dict[int, Outcome]]]] = []
    for chooser in choosers:
        split: dict[Key, tuple[Level, dict[int, Outcome]]] = {}
        for level in chooser.levels():
            runs_of = {c.seed: finished[c] for c in chooser.configs(level) if c in finished}
            if len(runs_of) >= 2:
                split[level.key] = level, runs_of
        by_split.append(split)
    found: dict[Key, Trained] = {}
    for key in by_split[0]:
        if all(key in split for split in by_split):
            levels = tuple(split[key][0] for split in by_split)
            outcomes = tuple(split[key][1] for split in by_split)
            answers = tuple(
                {seed: Answered(run.val_output, run.test_output) for seed, run in split.items()} for split in outcomes
            )
            lrs = tuple(next(iter(split.values())).config.lr for split in outcomes)
            edge = any(chooser.at_edge(level) for chooser, level in zip(choosers, levels, strict=True))
            found[key] = Trained(levels, lrs, edge, outcomes, Standing(answers, folds))
    return dict(sorted(found.items(), key=lambda item: (item[0][0] != "dropout", item[0][1])))


def _diverged(item: Trained) -> DivergedLevel:
    networks = sum(map(diverged, item.runs))
    return DivergedLevel(name=name(item.level), lrs=sorted(set(item.lrs)), networks=networks, seeds=len(item.runs))


def _comparable(levels: Collection[Key]) -> bool:
    """Whether p = 0 is there, and a rate above it."""
    return ("dropout", 0.0) in levels and any(arm == "dropout" and p > 0 for arm, p in levels)


def said_of(one: DivergedLevel) -> str:
    """A level that diverged, in a sentence."""
    lrs = ", ".join(f"{lr:g}" for lr in one.lrs)
    return (
        f"{one.name} diverged at the learning rate {lrs}: {one.networks} of {one.seeds} networks fell apart, so it is "
        "neither compared nor chosen."
    )


def _best_p(choosers: Sequence[Chooser], trained: Mapping[Key, Trained]) -> float:
    """The rate above 0 that validation likes best: the mean over outer splits of the loss, relative to p = 0's."""

    def loss(p: float) -> float:
        ratios = [
            np.mean(list(chooser.losses(Level("dropout", p)).values()))
            / max(float(np.mean(list(chooser.losses(PLAIN).values()))), 1e-12)
            for chooser in choosers
        ]
        return float(np.mean(ratios))

    if len(choosers) == 1 and (p := choosers[0].p()) is not None and ("dropout", p) in trained:
        return p
    return min((p for arm, p in trained if arm == "dropout" and p > 0), key=lambda p: (loss(p), p))


def _simplest(
    trained: Mapping[Key, Trained], losses: Mapping[Config, float], folds: Mapping[int, Fold], split: int | None
) -> Key:
    """The level to take, by validation figures: of one outer split, or of all. The seeds are those that all have."""
    parts = {key: item.outcomes if split is None else item.outcomes[split : split + 1] for key, item in trained.items()}
    by_seed = {key: {seed: run for runs in part for seed, run in runs.items()} for key, part in parts.items()}
    seeds = sorted(set.intersection(*(set(found) for found in by_seed.values())))
    tried = {
        key: Tried(
            trained[key].level,
            tuple(losses[found[seed].config] for seed in seeds),
            float(np.mean([found[seed].val.nll for seed in seeds])),
        )
        for key, found in by_seed.items()
    }
    fold = folds[seeds[0]]
    level = simplest(list(tried.values()), len(fold.y_val), len(fold.y_train))
    return next(key for key, item in tried.items() if item.level == level)


def _standings(
    baselines: Mapping[BaselineName, Mapping[int, Answered]], folds: Mapping[int, Fold], choosers: Sequence[Chooser]
) -> dict[BaselineName, Standing]:
    """The baselines' answers, by outer split."""
    return {
        kind: Standing(
            tuple({seed: found[seed] for seed in chooser.seeds if seed in found} for chooser in choosers), folds
        )
        for kind, found in baselines.items()
    }


def _baselines(standings: Mapping[BaselineName, Standing], task: Task, metric: str) -> list[BaselineResult]:
    return [
        BaselineResult(
            name=kind,
            title=title(standing, task, kind),
            error=estimate(standing.estimate(ERRORS[task])),
            metric=estimate(standing.estimate(metric)),
            figures={n: standing.mean(n) for n in standing.shown if n != metric},
            nll=standing.mean("nll"),
        )
        for kind, standing in standings.items()
    ]


def title(standing: Standing, task: Task, kind: BaselineName) -> str:
    """What another model is called."""
    return TITLES["next word" if standing.stretch else task][kind]


@dataclass(frozen=True)
class _Compared:
    """Differences of standings, as records."""

    metric: str
    task: Task
    results: Mapping[Key, LevelResult]
    trained: Mapping[Key, Trained]

    def levels(self, best_p: float, chosen: Key) -> list[Difference]:
        """The best rate above 0, the chosen level and the other arms, against each other and against p = 0."""
        plain: Key = ("dropout", 0.0)
        noisy: Key = ("dropout", best_p)
        pairs: list[tuple[Key, Key, str]] = [
            (noisy, plain, self.metric),
            (noisy, plain, "nll"),
            (noisy, plain, NLL_TEMPERED),
            (chosen, plain, self.metric),
            (chosen, plain, NLL_TEMPERED),
        ]
        for arm in BESIDE:
            pairs += [((arm, 0.0), noisy, self.metric), ((arm, 0.0), plain, self.metric)]
        pairs.append((("both", 0.0), ("decay", 0.0), self.metric))
        wanted = [(a, b, m) for a, b, m in dict.fromkeys(pairs) if a != b and a in self.trained and b in self.trained]
        if self.task == "regression":
            wanted = [(a, b, m) for a, b, m in wanted if m != NLL_TEMPERED]
        return [
            self._record(
                name(self.results[a]),
                name(self.results[b]),
                m,
                self.trained[a].standing.minus(self.trained[b].standing, m),
            )
            for a, b, m in wanted
        ]

    def rivals(self, standings: Mapping[BaselineName, Standing], chosen: Key) -> list[Difference]:
        """The baselines against the chosen level; the constant answer the other way round."""
        found = []
        mine, level = self.trained[chosen].standing, name(self.results[chosen])
        for kind, standing in standings.items():
            if mine.pairs(standing) < 2:
                continue
            other = title(standing, self.task, kind)
            if kind == "constant":
                found.append(self._record(level, other, self.metric, mine.minus(standing, self.metric)))
            else:
                found.append(self._record(other, level, self.metric, standing.minus(mine, self.metric)))
        return found

    @property
    def rows_a_unit(self) -> int:
        """Test rows a unit of an interval: more than one of a running text."""
        return max(next(iter(self.trained.values())).standing.stretch, 1)

    def _record(self, first: str, second: str, metric: str, found: Interval) -> Difference:
        units = rows_needed(found, abs(found.value)) if found.value else None
        return Difference(
            first=first,
            second=second,
            metric=metric,
            value=found.value,
            low=found.low,
            high=found.high,
            visible=smallest_effect(found),
            rows_needed=None if units is None else units * self.rows_a_unit,
            seeds_needed=seeds_needed(found, abs(found.value)) if found.value else None,
        )


def _network(
    trained: Mapping[Key, Trained],
    losses: Mapping[Config, float],
    key: Key,
    folds: Mapping[int, Fold],
    metric: str,
) -> Network:
    """The level to take away, its members together on the test rows, and what choosing by validation gives."""
    item = trained[key]
    level = item.level
    error, nll, temperature = _together(item, folds)
    return Network(
        arm=level.arm,
        p=level.p,
        p_input=level.p_input,
        weight_decay=level.weight_decay,
        lrs=sorted(set(item.lrs)),
        members=len(item.runs),
        temperature=temperature,
        error=error,
        nll=nll,
        chosen=_nested(trained, losses, folds, metric),
    )


def _nested(
    trained: Mapping[Key, Trained], losses: Mapping[Config, float], folds: Mapping[int, Fold], metric: str
) -> Estimate:
    """The metric where each outer split has its own choice of level."""
    splits = tuple(
        trained[_simplest(trained, losses, folds, index)].standing.splits[index]
        for index in range(len(next(iter(trained.values())).outcomes))
    )
    return estimate(Standing(splits, folds).estimate(metric))


def _together(item: Trained, folds: Mapping[int, Fold]) -> tuple[float | None, float | None, float]:
    """Error and NLL of the members' mean on the test rows, where all are new to all of them, and the temperature."""
    members = [SeedNetwork(folds[run.config.seed], run.val_output, run.test_output) for run in item.runs]
    temperature = temperature_of(members)
    if len(item.outcomes) > 1:
        return None, None, temperature
    return *combined(members, temperature), temperature
