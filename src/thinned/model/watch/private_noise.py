"""Noise for one thread alone: a model's draws come from generators that nothing else uses.

The generators of the process (torch's, on every device, those of `random` and `numpy.random`) are read, and neither
used nor put back, so that threads that draw meanwhile draw as ever.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from ...ops import placed
from .callsite import tool
from .draws import RATES, ThreadMode
from .eager import eager
from .python_noise import PythonNoise

Module = torch.nn.Module

_this_thread = threading.local()
_aten = torch.ops.aten


class PrivateNoise:
    """Generators that begin as those of the process are now. `draws` counts the draws of `random` and NumPy."""

    def __init__(self, model: Module) -> None:
        self.python = PythonNoise()
        self._tables = _tables(model)
        self._generators: dict[torch.device, torch.Generator] = {}
        self._starts: dict[torch.device, Tensor] = {}

    def generator(self, device: torch.device) -> torch.Generator:
        """The generator of a device, a copy of torch's own at the time of the first draw there."""
        if device not in self._generators:
            made = torch.Generator(device)
            if device.type == "cpu":
                made.set_state(torch.get_rng_state())
            else:
                module = torch.get_device_module(device)
                made.set_state(module.get_rng_state() if device.type == "mps" else module.get_rng_state(device))
            self._generators[device], self._starts[device] = made, made.get_state()
        return self._generators[device]

    def rewind(self) -> None:
        """Go back to the numbers with which all generators began."""
        for device, start in self._starts.items():
            self._generators[device].set_state(start)
        self.python.rewind()

    @contextmanager
    def given(self) -> Iterator[None]:
        """A context manager in which this thread draws from these generators."""
        with self.python.given(self._tables), _Generators(self):
            yield

    def of_torch(self) -> ThreadMode:
        """A context manager in which this thread draws torch's numbers from these generators."""
        return _Generators(self)

    @contextmanager
    def of_python(self) -> Iterator[None]:
        """A context manager in which this thread draws the numbers of `random` and NumPy from these generators."""
        with self.python.given(self._tables):
            yield


def current() -> PrivateNoise | None:
    """The noise of the run under way in this thread, if it is one that nothing outside may notice."""
    found: PrivateNoise | None = getattr(_this_thread, "noise", None)
    return found


@contextmanager
def private_noise(model: Module) -> Iterator[PrivateNoise]:
    """A context manager in which `current` is new noise. A draw takes it inside `noise.given()`."""
    before = current()
    noise = _this_thread.noise = PrivateNoise(model)
    try:
        yield noise
    finally:
        _this_thread.noise = before


def _tables(model: Module) -> list[dict[str, Any]]:
    """The globals of the modules in which the model's classes are written."""
    names = {type(module).__module__ for module in model.modules()}
    ours = {name for name in names if name.partition(".")[0] not in ("torch", "thinned")}
    return [vars(sys.modules[name]) for name in sorted(ours) if name in sys.modules]


class _Generators(ThreadMode):
    """A dispatch mode that gives each random operator a private generator."""

    def __init__(self, noise: PrivateNoise) -> None:
        super().__init__()
        self._noise = noise

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        arguments = func._schema.arguments
        names = [argument.name for argument in arguments]
        name = func._schema.name.partition("::")[2]
        if "generator" in names:
            if kwargs.get("generator") is None and len(args) <= names.index("generator"):
                kwargs = {**kwargs, "generator": self._noise.generator(_device(args, kwargs))}
            return func(*args, **kwargs)
        if name in _WITH_GENERATOR:
            overload = _WITH_GENERATOR[name](func)
            return overload(*args, **kwargs, generator=self._noise.generator(_device(args, kwargs)))
        if name in _LIKE:
            return self._like(name, func, args, kwargs)
        if name == "native_dropout":
            return self._dropout(*args, **kwargs)
        # Attention and recurrent layers that drop inside: their noise has no generator of its own, and is left out.
        args = [0.0 if name in RATES else value for name, value in zip(names, args, strict=False)]
        return func(*args, **{name: 0.0 if name in RATES else value for name, value in kwargs.items()})

    def _like(self, name: str, func: Any, args: Any, kwargs: Any) -> Tensor:
        words = {key: value for key, value in kwargs.items() if key not in ("low", "high")}
        made = torch.zeros_like(args[0], **words)
        values, generator = _values(made), self._noise.generator(made.device)
        if name == "rand_like":
            values.uniform_(generator=generator)
        elif name == "randn_like":
            values.normal_(generator=generator)
        else:
            bounds = [*args[1:], *(kwargs[key] for key in ("low", "high") if key in kwargs)]
            low, high = bounds if len(bounds) > 1 else (0, bounds[0])
            values.random_(int(low), int(high), generator=generator)
        return made

    def _dropout(self, x: Tensor, p: float, train: bool | None = True) -> tuple[Tensor, Tensor]:
        if train is False or p == 0.0:
            return x.clone(), torch.ones_like(x, dtype=torch.bool)
        share = torch.zeros_like(x, dtype=torch.float32)
        _values(share).bernoulli_(1.0 - p, generator=self._noise.generator(x.device))
        mask = share.bool()
        return x * mask * (1.0 / (1.0 - p) if p < 1.0 else 0.0), mask


_WITH_GENERATOR: dict[str, Any] = {
    "rand": lambda _: _aten.rand.generator,
    "randn": lambda _: _aten.randn.generator,
    "randint": lambda func: _aten.randint.low_generator if "low" in func._overloadname else _aten.randint.generator,
    "randperm": lambda _: _aten.randperm.generator,
}
_LIKE = ("rand_like", "randn_like", "randint_like")


def _values(made: Tensor) -> Tensor:
    """The tensor to fill: of a nested tensor its values, as random operators do not take it."""
    return made.values() if made.is_nested else made


def _device(args: Any, kwargs: Any) -> torch.device:
    """The device on which an operator draws."""
    first = next((value for value in args if isinstance(value, Tensor)), None)
    if first is not None:
        return first.device
    device = torch.device(kwargs.get("device") or "cpu")
    if device.type != "cpu" and device.index is None:
        return torch.device(device.type, torch.get_device_module(device).current_device())
    return device


@contextmanager
def unnoticed(model: Module) -> Iterator[PrivateNoise]:
    """A context manager for runs of a model of our own: uncompiled, outside of streams, with private noise at hand."""
    with ExitStack() as stack:
        stack.enter_context(tool())
        stack.enter_context(eager())
        stack.enter_context(placed.outside_streams())
        yield stack.enter_context(private_noise(model))
