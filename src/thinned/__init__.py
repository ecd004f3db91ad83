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
    from . import nn, noise, ops, study
    from .nn.stream import stream

__version__ = "0.1.0"
__all__ = ["__version__", "nn", "noise", "ops", "stream", "study"]

_FUNCTIONS = {"stream": "nn.stream"}  # and the submodule that has it


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"{__name__}.{_FUNCTIONS[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}. It has {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return __all__
