"""Numbers of `random` and `numpy.random` for one thread alone: from generators of its own, while others draw as ever.

The functions of both modules belong to one generator of the process each. A thread in `PythonNoise.given` gets numbers
from copies of them. For this, the functions are replaced by functions that ask which thread calls.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, MethodType
from typing import Any

import numpy as np

_INSTANCE: Any = vars(random)["_inst"]  # the generator of the process, and NumPy's
_LEGACY: Any = vars(np.random.mtrand)["_rand"]
_PROCESS = {id(_INSTANCE): "plain", id(_LEGACY): "legacy"}
_this_thread = threading.local()
_lock = threading.Lock()
_replaced: dict[tuple[int, str], list[Any]] = {}  # by table and name: the table, the name, what stood there, how often


class PythonNoise:
    """Generators like those of the process at the time of the first draw. `draws` counts what has been drawn."""

    def __init__(self) -> None:
        self.draws = 0
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
        if self._plain is None:
            self.seed(0)
            assert self._plain is not None
            self._plain.setstate(_INSTANCE.getstate())
            self._legacy.set_state(_LEGACY.get_state())
            self._started = self._plain.getstate(), self._legacy.get_state()
        return getattr(self._plain if owner == "plain" else self._legacy, name)

    @contextmanager
    def given(self, tables: Iterable[dict[str, Any]] = ()) -> Iterator[None]:
        """A context manager in which this thread draws from these generators.

        `tables` are the globals of modules that may have imported the functions by name.
        """
        before = getattr(_this_thread, "noise", None)
        keys = _replace((vars(random), vars(np.random), *tables))
        _this_thread.noise = self
        try:
            yield
        finally:
            _this_thread.noise = before
            _put_back(keys)


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
            noise = getattr(_this_thread, "noise", None)
            return (original if noise is None else noise.method(owner, name))(*args, **kwargs)

        draw.__name__ = name
        _dispatchers[owner, name] = draw
    return _dispatchers[owner, name]


def _replace(tables: Iterable[dict[str, Any]]) -> list[tuple[int, str]]:
    keys = []
    with _lock:
        ours = set(map(id, _dispatchers.values()))
        for table in tables:
            for name, value in list(table.items()):
                key = id(table), name
                if id(value) in ours and key in _replaced:
                    _replaced[key][3] += 1
                    keys.append(key)
                    continue
                new = dispatcher(value)
                if new is not None:
                    table[name] = new
                    _replaced[key] = [table, name, value, 1]
                    keys.append(key)
        for name in ("random", "getrandbits"):  # methods of `random` that were imported by name ask these
            key = id(_INSTANCE), name
            if key in _replaced:
                _replaced[key][3] += 1
            else:
                vars(_INSTANCE)[name] = _dispatcher("plain", name, getattr(_INSTANCE, name))
                _replaced[key] = [vars(_INSTANCE), name, None, 1]
            keys.append(key)
    return keys


def _put_back(keys: Iterable[tuple[int, str]]) -> None:
    with _lock:
        for key in keys:
            table, name, value, count = _replaced[key]
            if count > 1:
                _replaced[key][3] = count - 1
                continue
            del _replaced[key]
            if value is None:
                table.pop(name, None)
            else:
                table[name] = value
