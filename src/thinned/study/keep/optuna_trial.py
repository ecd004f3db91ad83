"""A run as a trial of Optuna and back. What `optuna-dashboard` shows of a study is decided here.

Parameters: arm, p, p_input, weight_decay, lr and seed. The value is the validation loss. Everything else that is a
number or a word is a user attribute. A unit that failed is one trial with state FAIL, its level as parameters.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from ..record import Arm
from ..trial.config import Config, Level, Unit
from ..trial.outcome import Figures, Outcome
from .arrays import RunArrays, unit_name

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

_DECAY, _LR, _SEED = 100.0, (1e-8, 100.0), 9999  # the ends of a plot's axis; a value beyond moves the end


def completed(unit: Unit, outcome: Outcome, arrays: str, study: str) -> FrozenTrial:
    """The trial of a finished run. A validation loss that is no number becomes infinity, the worst there is.

    Arguments:
        arrays: the name of the unit's file of arrays.
        study: the id of the study.
    """
    from optuna.trial import create_trial

    config, loss = outcome.config, outcome.val.loss
    params = _level_params(config.level) | {"lr": float(config.lr), "seed": int(config.seed)}
    facts = {
        "study": study,
        "unit": unit_name(unit),
        "arrays": arrays,
        "run": unit.configs().index(config),
        "runs": len(unit.lrs) * len(unit.seeds),
        "best_step": outcome.best_step,
        "steps": outcome.steps,
        "ended": outcome.ended,
        **{f"train_{name}": _plain(value) for name, value in asdict(outcome.train).items()},
        **{f"val_{name}": _plain(value) for name, value in asdict(outcome.val).items()},
        "seconds": _plain(outcome.seconds),
    }
    trial = create_trial(
        params=params,
        distributions=_distributions(params),
        value=math.inf if math.isnan(loss) else float(loss),
        user_attrs=facts | {"digest": _digest(params, facts)},
    )
    return _timed(trial, outcome.seconds)


def is_sound(trial: FrozenTrial, study: str) -> bool:
    """Whether a finished run's trial is of this study, its parameters and attributes as they were written."""
    facts = dict(trial.user_attrs)
    return facts.get("study") == study and facts.pop("digest", None) == _digest(trial.params, facts)


def _digest(params: dict[str, Any], facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps([params, facts], sort_keys=True).encode()).hexdigest()[:16]


def failed(unit: Unit, reason: str, study: str) -> FrozenTrial:
    """The one trial of a unit that failed."""
    from optuna.trial import TrialState, create_trial

    params = _level_params(unit.level)
    return create_trial(
        state=TrialState.FAIL,
        params=params,
        distributions=_distributions(params),
        user_attrs={
            "study": study,
            "unit": unit_name(unit),
            "reason": reason,
            "lrs": [float(lr) for lr in unit.lrs],
            "seeds": [int(seed) for seed in unit.seeds],
        },
    )


def outcome_of(trial: FrozenTrial, arrays: RunArrays) -> Outcome:
    """The finished run of a trial."""
    facts = trial.user_attrs
    return Outcome(
        config=Config(_level(trial.params), trial.params["lr"], trial.params["seed"]),
        best_step=facts["best_step"],
        steps=facts["steps"],
        ended=facts["ended"],
        curve=arrays.curve,
        train=Figures(*(float(facts[f"train_{name}"]) for name in ("error", "nll", "loss"))),
        val=Figures(*(float(facts[f"val_{name}"]) for name in ("error", "nll", "loss"))),
        val_output=arrays.val_output,
        test_output=arrays.test_output,
        seconds=float(facts["seconds"]),
    )


def unit_of(trials: Sequence[FrozenTrial]) -> Unit:
    """The unit of the trials of all its runs, in order."""
    params = [trial.params for trial in trials]
    return Unit(
        _level(params[0]),
        tuple(dict.fromkeys(values["lr"] for values in params)),
        tuple(dict.fromkeys(values["seed"] for values in params)),
    )


def failed_unit(trial: FrozenTrial) -> tuple[Unit, str]:
    """The unit of a failed trial, and why it failed."""
    facts = trial.user_attrs
    return Unit(_level(trial.params), tuple(facts["lrs"]), tuple(facts["seeds"])), facts["reason"]


def _level_params(level: Level) -> dict[str, Any]:
    numbers = {"p": level.p, "p_input": level.p_input, "weight_decay": level.weight_decay}
    return {"arm": level.arm} | {name: float(value) for name, value in numbers.items()}


def _level(params: dict[str, Any]) -> Level:
    return Level(params["arm"], params["p"], params["weight_decay"], params["p_input"])


def _distributions(params: dict[str, Any]) -> dict[str, BaseDistribution]:
    return {name: _distribution(name, value) for name, value in params.items()}


@cache
def _distribution(name: str, value: Any) -> BaseDistribution:
    """The axis that a plot of this parameter has."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if name == "arm":
        return CategoricalDistribution(get_args(Arm))
    if name == "lr":
        return FloatDistribution(min(_LR[0], value), max(_LR[1], value), log=True)
    if name == "seed":
        return IntDistribution(0, max(_SEED, value))
    return FloatDistribution(0.0, max(_DECAY, value) if name == "weight_decay" else 1.0)


def _timed(trial: FrozenTrial, seconds: float) -> FrozenTrial:
    """With the run's duration, ending now."""
    trial.datetime_complete = datetime.now()
    trial.datetime_start = trial.datetime_complete - timedelta(seconds=seconds if math.isfinite(seconds) else 0.0)
    return trial


def _plain(value: float) -> float | str:
    """JSON has no infinity and no nan; `float` reads their names."""
    return float(value) if math.isfinite(value) else str(float(value))
