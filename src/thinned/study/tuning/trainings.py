"""Trainings, one for each set of rates and seed: run by the caller's `fit`, and kept in Optuna's storage at once."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..error import StudyError
from ..keep.database import TrialDatabase
from ..keep.identity import HERE, StudyIdentity, found_in
from ..keep.lock import FolderLock
from .arms import Arm
from .seeded import seeded
from .subject import Tunable

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FitFunction = Callable[[Any, dict[str, float], int, Any], Any]
ONE = "figure"  # the name of a metric that `fit` returns as a number alone


@dataclass(frozen=True)
class SeedTraining:
    """One training: its figures, and how it ended.

    A training that raised is "failed"; one whose figure is no finite number is "diverged". `reason` says more.
    """

    arm: str
    rates: str  # `Arm.key`
    seed: int
    ended: Literal["trained", "failed", "diverged"]
    figures: dict[str, float]
    reason: str = ""
    seconds: float = 0.0


class Trainings:
    """What has been trained, in a folder. A training that is there is not run again; one that failed is.

    Arguments:
        out: the folder, made where it is not there.
        settings: what decides a figure beside rates and seed. A folder of other settings is refused.

    Raises StudyError: the folder holds something else, or another process writes to it.
    """

    def __init__(
        self,
        out: Path,
        settings: dict[str, Any],
        fit: FitFunction,
        tunable: Tunable,
        budget: Any,
        metrics: tuple[str | None, str | None],
        direction: str,
        watch: Callable[[SeedTraining], None],
    ) -> None:
        self._fit, self._tunable, self._budget, self._direction, self._watch = fit, tunable, budget, direction, watch
        self.metric, self.judge = metrics[0] or ONE, metrics[1] or metrics[0] or ONE
        self._given = metrics[0]
        identity = found_in(out)
        out.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(out, "Name another folder as `out`.")
        try:
            if identity is None:
                identity = StudyIdentity.new(out, HERE, settings)
                identity.write(out)
            else:
                identity.check(out, HERE, settings)
            self._database = TrialDatabase(out, None, identity)
            self._database.describe({})
            self.known = {(item.rates, item.seed): item for item in map(_read, self._database.trials())}
        except BaseException:
            self._lock.release()
            raise
        self.fresh = 0  # trained in this call

    def close(self) -> None:
        self._lock.release()

    def has(self, arm: Arm, seed: int) -> bool:
        item = self.known.get((arm.key, seed))
        return item is not None and item.ended != "failed"

    def run(self, arm: Arm, seed: int) -> SeedTraining:
        """A training's figures: those that are there, or new ones."""
        if not self.has(arm, seed):
            item = self._train(arm, seed)
            self._database.add([_trial(item, arm.by_kind(self._tunable.kinds), self.metric, self._direction)])
            self.known[arm.key, seed] = item
            self.fresh += 1
            self._watch(item)
        return self.known[arm.key, seed]

    def _train(self, arm: Arm, seed: int) -> SeedTraining:
        start = time.monotonic()
        rates = arm.by_place()
        with seeded(seed):
            model = self._tunable.model(rates)
            try:
                told = self._fit(model, dict(rates), seed, self._budget)
            except StudyError:
                raise
            except Exception as error:  # whatever it is, it is this training's alone
                reason = f"{type(error).__name__}: {error}".strip(": ").splitlines()[0]
                return SeedTraining(arm.name, arm.key, seed, "failed", {}, reason, time.monotonic() - start)
        figures = self._figures(told)
        lost = [name for name in (self.metric, self.judge) if not math.isfinite(figures[name])]
        reason = f"{lost[0]} is {figures[lost[0]]}" if lost else ""
        seconds = time.monotonic() - start
        return SeedTraining(arm.name, arm.key, seed, "diverged" if lost else "trained", figures, reason, seconds)

    def _figures(self, told: Any) -> dict[str, float]:
        """What `fit` returned, as numbers by name."""
        named = told if isinstance(told, Mapping) else {self.metric: told}
        try:
            figures = {str(name): float(value) for name, value in named.items()}
        except (TypeError, ValueError, RuntimeError):
            raise StudyError(
                f"`tune`: `fit` must return a number, or a mapping from names to numbers. Got {told!r:.80}. Return the "
                "figures on validation rows."
            ) from None
        if self._given is None and isinstance(told, Mapping):
            if len(figures) != 1:
                raise StudyError(
                    f"`tune`: one metric must decide. `fit` returned {', '.join(figures) or 'none'}. Pass `metric`."
                )
            figures[self.metric] = next(iter(figures.values()))
        missing = [name for name in (self.metric, self.judge) if name not in figures]
        if missing:
            raise StudyError(
                f"`tune`: `fit` must return {missing[0]!r}, which decides. It returned {', '.join(figures) or 'none'}."
            )
        return figures


def _trial(item: SeedTraining, levels: Mapping[str, float], metric: str, direction: str) -> FrozenTrial:
    from optuna.distributions import FloatDistribution
    from optuna.trial import TrialState, create_trial

    trained = item.ended == "trained"
    sign = -1.0 if direction == "maximize" else 1.0  # the record's study minimises
    facts = {
        "arm": item.arm,
        "rates": item.rates,
        "seed": item.seed,
        "ended": item.ended,
        "figures": {name: value if math.isfinite(value) else str(value) for name, value in item.figures.items()},
        "reason": item.reason,
        "seconds": item.seconds,
    }
    return create_trial(
        state=TrialState.COMPLETE if trained else TrialState.FAIL,
        value=sign * item.figures[metric] if trained else None,
        params={f"p of {kind}": p for kind, p in levels.items()},
        distributions={f"p of {kind}": FloatDistribution(0.0, 1.0) for kind in levels},
        user_attrs=facts,
    )


def _read(trial: FrozenTrial) -> SeedTraining:
    facts = trial.user_attrs
    figures = {name: float(value) for name, value in facts["figures"].items()}
    rates = json.dumps(json.loads(facts["rates"]))
    return SeedTraining(
        facts["arm"], rates, facts["seed"], facts["ended"], figures, facts["reason"], float(facts["seconds"])
    )
