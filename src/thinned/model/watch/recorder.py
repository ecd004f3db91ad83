"""Runs a model once and reports every call of torch to a `Keeper`, which decides what to record.

The model is not changed or rewritten. It runs as it is, and torch's function modes and dispatch modes see the calls. So
control flow, hooks, functional calls and masks made by hand are all seen.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..._torch import operators_module
from ...nn.names import named_modules
from ..known.functions import OPERATORS, WRITES, canonical
from ..known.where import Where
from .callsite import caller, callsite, is_plumbing, outermost, transparent
from .draws import Draw, DrawMode
from .private_noise import PrivateNoise, current
from .running import Running

Module = torch.nn.Module


@dataclass(slots=True)
class Event:
    """One call of a torch function. The fields from `result` on are set after the call."""

    function: Any
    where: Where  # with the function's canonical name
    ours: str | None  # for an operator of thinned: the function name in traces, such as "dropout"
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    tensors: list[Tensor]  # among the arguments
    order: int  # its number among all calls of torch by the model, calls that make no tensor included
    result: Any = None
    results: list[Tensor] = field(default_factory=list)  # the tensors that it made or wrote to
    draws: list[Draw] = field(default_factory=list)
    seconds: float = 0.0
    writes: bool = False  # whether it wrote into its first argument


class Keeper(Protocol):
    """Receives the reports of one forward pass, and records what it needs of them."""

    def before(self, event: Event) -> Any: ...  # before a call; the result is passed to `after`
    def after(self, event: Event, before: Any) -> None: ...  # after a call
    def drew(self, draw: Draw, where: Where) -> None: ...  # for a draw outside of any call of a torch function
    def left(self, name: str, output: Any) -> None: ...  # when a module's forward has ended


def followed(model: Module, args: Any, kwargs: Mapping[str, Any], keeper: Keeper) -> tuple[Any, float, Running]:
    """Run the model once, as it is, and report every call to the keeper.

    The caller has private noise for it, and puts modes and buffers back (`untouched`), or the model is a copy that
    nothing else uses (`unnoticed`).

    Returns: the model's answer, the seconds that the pass took, and which modules ran.
    """
    noise = current()
    assert noise is not None, "only inside `private_noise`"
    recorder = _Recorder(model, keeper, noise)
    with ExitStack() as stack:
        if not noise.own:
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "Using `torch.compile")  # of hooks that run twice: harmless here
        stack.enter_context(noise.given())
        stack.enter_context(recorder.running.followed())
        stack.enter_context(DrawMode(recorder.drew))
        stack.enter_context(recorder)
        start = perf_counter()
        result = _run(model, args, kwargs)
        return result, perf_counter() - start, recorder.running


@outermost
def _run(model: Module, args: Any, kwargs: Mapping[str, Any]) -> Any:
    return model(*args, **kwargs)


class _Recorder(TorchFunctionMode):
    """The function mode that reports the calls of one forward pass to a keeper."""

    def __init__(self, model: Module, keeper: Keeper, noise: PrivateNoise) -> None:
        super().__init__()
        python = noise.python
        self.running = Running(model, own=noise.own, draws=lambda: python.draws, left=self.left)
        self._keeper = keeper
        self._draws: list[Draw] | None = None  # of the call under way; None outside of any call
        self._order = 0

    def left(self, _: Module, output: Any) -> None:
        self._keeper.left(self.running.name, output)

    def drew(self, draw: Draw) -> None:
        """Take a draw that `DrawMode` reports: it belongs to the call under way, or to code outside of any call."""
        if self._draws is not None:
            self._draws.append(draw)
        else:  # a scripted module, or an operator called from C++
            name = draw.operator.partition("::")[2].rstrip("_")
            self._keeper.drew(draw, Where(self.running.name, name, *callsite(caller(1))))

    @transparent
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = canonical(func)
        ours = OPERATORS.get(name) if type(func).__module__ == operators_module else None
        outside, self._draws = self._draws, []
        try:
            if ours is None and is_plumbing(caller(1)):
                return func(*args, **kwargs)  # the draw of a key is no noise of the model
            return self._followed(func, name, ours, args, kwargs)
        finally:
            self._draws = outside

    def _followed(self, func: Any, name: str, ours: str | None, args: Any, kwargs: Any) -> Any:
        where = Where(self.running.name, name, *callsite(caller(2)))
        event = Event(func, where, ours, args, kwargs, list(tensors_of((args, kwargs))), self._order)
        first = event.tensors[0] if event.tensors else None
        version = _version(first)
        before = self._keeper.before(event)
        start = perf_counter()
        event.result = result = func(*args, **kwargs)
        event.seconds = perf_counter() - start
        self._order += 1
        assert self._draws is not None
        event.draws = self._draws
        event.results = [first] if name == "setitem" and first is not None else list(tensors_of(result))
        by_name = bool(WRITES.match(getattr(func, "__name__", "")))
        same = bool(event.results) and event.results[0] is first
        event.writes = by_name or (same and _written(event, _version(first), version))
        self._keeper.after(event, before)
        return result


def _written(event: Event, version: int | None, before: int | None) -> bool:
    """Whether a call that returned its first argument has written into it. Dropout that is off has not."""
    if version is None or before is None:
        return bool(event.draws) or bool(event.kwargs.get("inplace"))
    return version != before


def _version(tensor: Tensor | None) -> int | None:
    """How often a tensor has been written to; None where torch does not count writes."""
    return None if tensor is None or tensor.is_inference() else tensor._version


def named_tensors(model: Module) -> dict[str, Tensor]:
    """The model's parameters and buffers by name. A tensor that has several names is there once, under the first."""
    found: dict[int, tuple[str, Tensor]] = {}
    for name, module in named_modules(model):
        for own, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                found.setdefault(id(tensor), (f"{name}.{own}" if name else own, tensor))
    return dict(found.values())


def tensors_of(value: Any) -> Iterator[Tensor]:
    """The tensors in a nest of tuples, lists, dictionaries and dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from tensors_of(inner)
    elif isinstance(value, (tuple, list)):
        for inner in value:
            yield from tensors_of(inner)
    elif hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        for inner in value.__dataclass_fields__:
            yield from tensors_of(getattr(value, inner, None))
