"""Numbers of `random` and `numpy.random` for one thread alone: from generators of its own, while others draw as ever.

The functions of both modules belong to one generator of the process each. A thread in `PythonNoise.given` gets numbers
from copies of them. For this, the functions are replaced by functions that ask which thread calls.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, MethodType
from typing import Any

import numpy as np
import torch

from .replaced_functions import Replaced

_INSTANCE: Any = vars(random)["_inst"]  # the generator of the process, and NumPy's
_LEGACY: Any = vars(np.random.mtrand)["_rand"]
_PROCESS = {id(_INSTANCE): "plain", id(_LEGACY): "legacy"}
_this_thread = threading.local()
_of_all = 0


class PythonNoise:
    """Generators like those outside at the time of the first draw. `draws` counts what has been drawn.

    Outside are the generators of the process, or other private ones.
    """

    def __init__(self, outside: PythonNoise | None = None) -> None:
        self.draws = 0
        self._outside = outside
        self._plain: random.Random | None = None
        self._legacy: Any = None
        self._started: tuple[Any, Any] | None = None

    def seed(self, number: int) -> None:
        """As `random.seed` and `numpy.random.seed` would."""
        self._plain = random.Random(number)
        self._legacy = np.random.RandomState(number % 2**32)

    def rewind(self) -> None:
        """Go back to the numbers with which these generators began."""
        if self._started is not None:
            assert self._plain is not None
            self._plain.setstate(self._started[0])
            self._legacy.set_state(self._started[1])

    def method(self, owner: str, name: str) -> Any:
        """The method of this name of one of the generators."""
        if name not in _NO_DRAWS:
            self.draws += 1
        self._begin()
        return getattr(self._plain if owner == "plain" else self._legacy, name)

    def _begin(self) -> None:
        if self._plain is not None:
            return
        plain, legacy = _INSTANCE, _LEGACY
        if self._outside is not None:
            self._outside._begin()
            plain, legacy = self._outside._plain, self._outside._legacy
        self.seed(0)
        assert self._plain is not None
        self._plain.setstate(plain.getstate())
        self._legacy.set_state(legacy.get_state())
        self._started = self._plain.getstate(), self._legacy.get_state()

    @contextmanager
    def given(self, tables: Iterable[dict[str, Any]] = ()) -> Iterator[None]:
        """A context manager in which this thread draws from these generators.

        `tables` are the globals of modules that may have imported the functions by name.
        """
        before = getattr(_this_thread, "noise", None)
        try:
            _this_thread.noise = self
            with _REPLACED.inside((vars(random), vars(np.random), *tables), _ASKED):
                yield
        finally:
            _this_thread.noise = before


def draws_of_this_thread() -> int:
    """How often this thread has drawn from `random` and NumPy while some thread had `counted` or `given`."""
    return getattr(_this_thread, "draws", 0)


def draws_of_all_threads() -> int:
    """How often threads have drawn from the generators of the process meanwhile, by the functions of both modules."""
    return _of_all


@contextmanager
def counted(tables: Iterable[dict[str, Any]]) -> Iterator[None]:
    """A context manager in which draws are counted. `tables` are as in `PythonNoise.given`."""
    with _REPLACED.inside((vars(random), vars(np.random), *tables), _ASKED):
        yield


def tables_of(model: torch.nn.Module) -> list[dict[str, Any]]:
    """The globals of the modules in which the model's classes are written."""
    names = {type(module).__module__ for module in model.modules()}
    ours = {name for name in names if name.partition(".")[0] not in ("torch", "thinned")}
    return [vars(sys.modules[name]) for name in sorted(ours) if name in sys.modules]


def belongs_to_process(generator: Any) -> bool:
    """Whether a generator is the one whose methods are the functions of `random` or of `numpy.random`."""
    return id(generator) in _PROCESS


def dispatcher(value: Any) -> Any:
    """For a method of a generator of the process, a function that asks which thread calls; else None."""
    if not isinstance(value, (MethodType, BuiltinFunctionType)) or id(value.__self__) not in _PROCESS:
        return None
    return _dispatcher(_PROCESS[id(value.__self__)], value.__name__, value)


_NO_DRAWS = {"getstate", "setstate", "get_state", "set_state", "seed"}
_dispatchers: dict[tuple[str, str], Callable[..., Any]] = {}


def _dispatcher(owner: str, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    if (owner, name) not in _dispatchers:

        def draw(*args: Any, **kwargs: Any) -> Any:
            global _of_all
            noise = getattr(_this_thread, "noise", None)
            if name not in _NO_DRAWS:
                _this_thread.draws = getattr(_this_thread, "draws", 0) + 1
                _of_all += noise is None
            return (original if noise is None else noise.method(owner, name))(*args, **kwargs)

        draw.__name__ = name
        _dispatchers[owner, name] = draw
    return _dispatchers[owner, name]


_REPLACED = Replaced(dispatcher)
# Methods of `random` that were imported by name ask these two of the generator itself.
_ASKED = [
    (vars(_INSTANCE), name, _dispatcher("plain", name, getattr(_INSTANCE, name))) for name in ("random", "getrandbits")
]
