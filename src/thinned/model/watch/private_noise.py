"""Noise for one thread alone: a model's draws come from generators that nothing else uses.

The generators of the process (torch's, on every device, those of `random` and `numpy.random`) are read, and neither
used nor put back: threads that draw meanwhile draw as ever, and no number is drawn twice.

No generator can be given to operators that drop inside of one kernel of a GPU: fused attention, and cuDNN's recurrent
layers. They run without noise here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from ...ops import placed
from .callsite import tool
from .draws import RATES
from .eager import eager
from .python_noise import PythonNoise, tables_of
from .torch_modes import ThreadMode, no_mode_left
from .torch_seeds import seeds_of

Module = torch.nn.Module

_this_thread = threading.local()
_aten = torch.ops.aten


class PrivateNoise:
    """Generators that begin as those of the process are now; inside other private noise, as those are now.

    Arguments:
        own: whether the model is a copy of ours, which nothing else uses.
    """

    def __init__(self, model: Module, outside: PrivateNoise | None = None, *, own: bool = True) -> None:
        self.own = own
        self.python: PythonNoise = PythonNoise(None if outside is None else outside.python)
        self._outside = outside
        self._tables = tables_of(model)
        self._seed: int | None = None
        self._generators: dict[torch.device, torch.Generator] = {}
        self._starts: dict[torch.device, Tensor] = {}
        self._given = False

    def generator(self, device: torch.device) -> torch.Generator:
        """The generator of a device, a copy of torch's own at the time of the first draw there."""
        if device not in self._generators:
            made = torch.Generator(device)
            if self._seed is not None:
                made.manual_seed(self._seed)
            else:
                made.set_state(_state(device) if self._outside is None else self._outside.generator(device).get_state())
            self._generators[device], self._starts[device] = made, made.get_state()
        return self._generators[device]

    def seed(self, number: int) -> None:
        """Begin all generators anew, each as its function for seeds would."""
        self.seed_torch(number)
        self.python.seed(number)

    def seed_torch(self, number: int) -> None:
        """As `torch.manual_seed` would."""
        self._seed = number
        for generator in self._generators.values():
            generator.manual_seed(number)

    def rewind(self) -> None:
        """Go back to the numbers with which all generators began."""
        for device, start in self._starts.items():
            self._generators[device].set_state(start)
        self.python.rewind()

    @contextmanager
    def given(self) -> Iterator[None]:
        """A context manager in which this thread draws from these generators."""
        if self._given:
            yield
            return
        with self.python.given(self._tables), _Generators(self):
            self._given = True
            try:
                yield
            finally:
                self._given = False

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
def private_noise(model: Module, *, own: bool = True) -> Iterator[PrivateNoise]:
    """A context manager in which `current` is new noise. Code that seeds, seeds it; draws are in `noise.given()`."""
    before = current()
    try:
        noise = _this_thread.noise = PrivateNoise(model, before, own=own)
        with seeds_of(noise):
            yield noise
    finally:
        _this_thread.noise = before


def seed(number: int) -> None:
    """Seed the noise of the run under way: the same model then has the same noise."""
    noise = current()
    assert noise is not None, "only inside `untouched` or `private_noise`"
    noise.seed(number)


def _state(device: torch.device) -> Tensor:
    """The state of torch's generator of a device, in whatever noise this thread is."""
    if device.type == "cpu":
        return torch.default_generator.get_state()
    module = torch.get_device_module(device)
    state: Tensor = module.get_rng_state() if device.type == "mps" else module.get_rng_state(device)
    return state


class _Generators(ThreadMode):
    """A dispatch mode that gives each random operator a private generator."""

    def __init__(self, noise: PrivateNoise) -> None:
        super().__init__()
        self._noise = noise

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags or _draws_nowhere(args, kwargs):
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


def _draws_nowhere(args: Any, kwargs: Any) -> bool:
    """Whether an operator runs on the device "meta", where nothing is drawn and no generator exists."""
    tensors = [value.is_meta for value in args if isinstance(value, Tensor)]
    return any(tensors) or (not tensors and str(kwargs.get("device")) == "meta")


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
        stack.enter_context(no_mode_left())
        stack.enter_context(tool())
        stack.enter_context(eager())
        stack.enter_context(placed.outside_streams())
        yield stack.enter_context(private_noise(model))
