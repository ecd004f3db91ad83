"""thinned: the dropout toolkit for PyTorch.

Every submodule is loaded when it is first used: `thinned.nn` needs torch, `thinned.noise` NumPy alone, and
`thinned.study` the extra of that name.

>>> import thinned
>>> thinned.noise.fold_in(1, 2) == thinned.noise.fold_in(1, 2)
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import model, nn, noise, ops, schedules, study
    from .model.check import check
    from .model.convert import convert, revert
    from .model.freeze import freeze, thaw
    from .model.guard import NoiseInEval, eval_guard
    from .model.inspect import inspect
    from .model.plan import Applied, Plan, apply, plan
    from .model.rates import disabled, rates, scale_rates, set_rates
    from .model.recalibrate import recalibrate_batchnorm
    from .model.schedule import Schedule
    from .model.shift import variance_shift
    from .nn.constraint import MaxNorm
    from .nn.stream import stream
    from .uncertainty.calibrate import calibrate
    from .uncertainty.networks import geometric_mean, thinned_networks, weight_scaling
    from .uncertainty.predict import predict
    from .uncertainty.prediction import Prediction
    from .uncertainty.predictor import Predictor

__version__ = "0.1.0"

_FUNCTIONS = {  # and the submodule that has it
    "Applied": "model.plan",
    "MaxNorm": "nn.constraint",
    "NoiseInEval": "model.guard",
    "Plan": "model.plan",
    "Prediction": "uncertainty.prediction",
    "Predictor": "uncertainty.predictor",
    "Schedule": "model.schedule",
    "apply": "model.plan",
    "calibrate": "uncertainty.calibrate",
    "check": "model.check",
    "convert": "model.convert",
    "disabled": "model.rates",
    "eval_guard": "model.guard",
    "freeze": "model.freeze",
    "geometric_mean": "uncertainty.networks",
    "inspect": "model.inspect",
    "plan": "model.plan",
    "predict": "uncertainty.predict",
    "rates": "model.rates",
    "recalibrate_batchnorm": "model.recalibrate",
    "revert": "model.convert",
    "scale_rates": "model.rates",
    "set_rates": "model.rates",
    "stream": "nn.stream",
    "thaw": "model.freeze",
    "thinned_networks": "uncertainty.networks",
    "variance_shift": "model.shift",
    "weight_scaling": "uncertainty.networks",
}
__all__ = [
    "Applied",
    "MaxNorm",
    "NoiseInEval",
    "Plan",
    "Prediction",
    "Predictor",
    "Schedule",
    "__version__",
    "apply",
    "calibrate",
    "check",
    "convert",
    "disabled",
    "eval_guard",
    "freeze",
    "geometric_mean",
    "inspect",
    "model",
    "nn",
    "noise",
    "ops",
    "plan",
    "predict",
    "rates",
    "recalibrate_batchnorm",
    "revert",
    "scale_rates",
    "schedules",
    "set_rates",
    "stream",
    "study",
    "thaw",
    "thinned_networks",
    "uncertainty",
    "variance_shift",
    "weight_scaling",
]


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"{__name__}.{_FUNCTIONS[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}. It has {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return __all__
