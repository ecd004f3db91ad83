"""thinned: the dropout toolkit for PyTorch.

Every submodule is loaded when it is first used: `thinned.nn` needs torch, `thinned.noise` NumPy alone, and
`thinned.study` the extra of that name.

>>> import thinned
>>> thinned.noise.fold_in(1, 2) == thinned.noise.fold_in(1, 2)
True
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from .beside_tensorflow import load_triton
from .forked import PROCESS

if TYPE_CHECKING:  # generated from the table below (tests/house/test_public.py prints it)
    from . import interop as interop
    from . import model as model
    from . import nn as nn
    from . import noise as noise
    from . import ops as ops
    from . import schedules as schedules
    from . import study as study
    from . import uncertainty as uncertainty
    from .model.batch_norm.recalibrate import recalibrate_batchnorm as recalibrate_batchnorm
    from .model.batch_norm.shift import variance_shift as variance_shift
    from .model.check.check import check as check
    from .model.convert.convert import convert as convert
    from .model.convert.convert import revert as revert
    from .model.inspect.inspect import inspect as inspect
    from .model.plan.apply import Applied as Applied
    from .model.plan.apply import apply as apply
    from .model.plan.plan import Plan as Plan
    from .model.plan.planning import plan as plan
    from .model.plan.saved_rates import load_rates as load_rates
    from .model.plan.saved_rates import save_rates as save_rates
    from .model.quiet.disabled import disabled as disabled
    from .model.quiet.freeze import freeze as freeze
    from .model.quiet.freeze import thaw as thaw
    from .model.quiet.guard import NoiseInEval as NoiseInEval
    from .model.quiet.guard import eval_guard as eval_guard
    from .model.quiet.noise_left import NoiseLeft as NoiseLeft
    from .model.rates.rates import rates as rates
    from .model.rates.rates import scale_rates as scale_rates
    from .model.rates.rates import set_rates as set_rates
    from .model.rates.schedule import Schedule as Schedule
    from .nn.constraint import MaxNorm as MaxNorm
    from .nn.stream.stream import stream as stream
    from .uncertainty.calibrate import calibrate as calibrate
    from .uncertainty.networks import geometric_mean as geometric_mean
    from .uncertainty.networks import thinned_networks as thinned_networks
    from .uncertainty.networks import weight_scaling as weight_scaling
    from .uncertainty.predict import predict as predict
    from .uncertainty.prediction import Prediction as Prediction
    from .uncertainty.predictor import Predictor as Predictor
    from .uncertainty.selective import threshold as threshold

__version__ = "0.1.0"

# Every public name and where its home is; "" for a subpackage.
_HOMES = {
    "Applied": "model.plan.apply",
    "MaxNorm": "nn.constraint",
    "NoiseInEval": "model.quiet.guard",
    "NoiseLeft": "model.quiet.noise_left",
    "Plan": "model.plan.plan",
    "Prediction": "uncertainty.prediction",
    "Predictor": "uncertainty.predictor",
    "Schedule": "model.rates.schedule",
    "apply": "model.plan.apply",
    "calibrate": "uncertainty.calibrate",
    "check": "model.check.check",
    "convert": "model.convert.convert",
    "disabled": "model.quiet.disabled",
    "eval_guard": "model.quiet.guard",
    "freeze": "model.quiet.freeze",
    "geometric_mean": "uncertainty.networks",
    "inspect": "model.inspect.inspect",
    "interop": "",
    "load_rates": "model.plan.saved_rates",
    "model": "",
    "nn": "",
    "noise": "",
    "ops": "",
    "plan": "model.plan.planning",
    "predict": "uncertainty.predict",
    "rates": "model.rates.rates",
    "recalibrate_batchnorm": "model.batch_norm.recalibrate",
    "revert": "model.convert.convert",
    "save_rates": "model.plan.saved_rates",
    "scale_rates": "model.rates.rates",
    "schedules": "",
    "set_rates": "model.rates.rates",
    "stream": "nn.stream.stream",
    "study": "",
    "thaw": "model.quiet.freeze",
    "thinned_networks": "uncertainty.networks",
    "threshold": "uncertainty.selective",
    "uncertainty": "",
    "variance_shift": "model.batch_norm.shift",
    "weight_scaling": "uncertainty.networks",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}. It has {', '.join(__all__)}.")
    home = _HOMES[name]
    with PROCESS:  # a fork in the midst of an import would leave the module locked in the child
        if "tensorflow" in sys.modules:
            load_triton()
        module = importlib.import_module(f"{__name__}.{home or name}")
    return getattr(module, name) if home else module


def __dir__() -> list[str]:
    return __all__
