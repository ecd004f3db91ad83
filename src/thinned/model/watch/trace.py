"""One forward pass as a graph: every call of a torch function, who made it, from what, and what noise it drew.

Nothing of the model is changed or rewritten: the calls are seen by torch's own modes while the model runs as it is, so
control flow, hooks, functional calls and hand-written masks are all there.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from ..._torch import operators_module
from ...nn.names import named_modules
from ..known.functions import OPERATORS, WRITES, canonical, noisy
from .callsite import caller, callsite, is_plumbing, outermost, transparent
from .draws import Draw, DrawMode
from .generators import States, python_state
from .masks import Masks
from .running import Running

Module = torch.nn.Module

INPUT = -1  # stands for the example among the calls that made a call's arguments


@dataclass(slots=True)
class Call:
    """One call of a torch function that made a tensor."""

    index: int
    function: str  # its plain name: "linear", "relu", "add"
    module: str  # the qualified name of the innermost module that was running; "" is the model itself
    file: str  # where the user's code makes the call
    line: int
    inputs: tuple[int, ...]  # the calls that made its tensor arguments, INPUT for the example's own
    parameters: tuple[str, ...]  # which parameters and buffers of the model are among its arguments
    shape: tuple[int, ...]  # of its first tensor
    dtype: torch.dtype
    arguments: dict[str, Any]  # its arguments that are no tensors: by name where one was given, else "0", "1", ...
    writes: bool  # whether it wrote into its first argument
    seconds: float
    order: int  # its number among all calls of torch, those counted that made no tensor
    draws: list[Draw] = field(default_factory=list)
    p: float | None = None  # of a call that drops by p, or of a draw that was compared with a number
    training: bool | None = None  # of such a call: whether it was told to train
    applies: int | None = None  # of a call that thins by a mask made by hand: the call that drew it
    masked: float | None = None  # and the share of units that it made 0
    mask_shape: tuple[int, ...] = ()
    first: int | None = None  # the call that made the first tensor among its arguments; of a bias or weights, none


class Trace:
    """The calls of one forward pass, in order."""

    def __init__(
        self,
        calls: list[Call],
        outputs: tuple[int, ...],
        firsts: dict[str, int | None],
        running: Running,
        seconds: float,
    ) -> None:
        self.calls = calls
        self.outputs = outputs  # the calls that made the model's outputs; INPUT where an input came back
        self.firsts = firsts  # by module, the call that made what it returned, or the first tensor of a tuple or list
        self.ran = running.ran  # how often each module's forward ran
        self.loose = running.loose  # modules that ran and are not the model's own, by name
        self.python_draws = running.python_draws  # modules in whose code `random` or `numpy.random` drew
        self.seconds = seconds
        self._consumers: dict[int, list[Call]] = {}
        for call in calls:
            for source in dict.fromkeys(call.inputs):
                self._consumers.setdefault(source, []).append(call)

    def producers(self, call: Call) -> list[Call]:
        """The calls that made a call's tensor arguments; the example counts as none."""
        return [self.calls[index] for index in call.inputs if index != INPUT]

    def consumers(self, call: Call | int) -> list[Call]:
        """The calls that took a call's result; of INPUT, those that took the example."""
        return self._consumers.get(call if isinstance(call, int) else call.index, [])

    def of(self, module: str) -> list[Call]:
        """The calls that a module made itself, not through its children."""
        return [call for call in self.calls if call.module == module]


def trace(model: Module, *args: Any, **kwargs: Any) -> Trace:
    """Run `model(*args, **kwargs)` once, as it stands, and tell every call of a torch function in it.

    Modes, buffers and random state are the caller's business: `inspect` looks after them. A compiled model runs
    uncompiled.

    Cost: about 50 microseconds a call of torch, and the forward pass itself; twice that where `random` or
    `numpy.random` draws in it, for a second pass with the same numbers tells in which modules.

    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.ReLU())
    >>> [call.function for call in trace(net, torch.ones(1, 4)).calls]
    ['linear', 'relu']
    """
    before = States.now()
    found = _traced(model, args, kwargs, generators=False)
    if python_state() == before.python:
        return found
    before.put_back()
    return _traced(model, args, kwargs, generators=True)


@outermost
def _traced(model: Module, args: Any, kwargs: Any, *, generators: bool) -> Trace:
    recorder = _Recorder(model, (args, kwargs), generators=generators)
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "Using `torch.compile")  # of hooks that fire twice, which is no harm here
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.callback(register_module_forward_hook(recorder.left).remove)  # before the module is no longer running
        stack.enter_context(recorder.running.followed())
        stack.enter_context(DrawMode(recorder.drew))
        stack.enter_context(recorder)
        start = perf_counter()
        result = model(*args, **kwargs)
        seconds = perf_counter() - start
    outputs = dict.fromkeys(made for tensor in tensors_of(result) if (made := recorder.made_by(tensor)) is not None)
    return Trace(recorder.calls, tuple(outputs), recorder.firsts, recorder.running, seconds)


class _Recorder(TorchFunctionMode):
    def __init__(self, model: Module, example: Any, *, generators: bool) -> None:
        super().__init__()
        self.running = Running(model, generators=generators)
        self.calls: list[Call] = []
        self.firsts: dict[str, int | None] = {}
        self._parameters = {
            id(tensor): f"{name}.{key}" if name else key
            for name, module in named_modules(model)
            for key, tensor in (*module._parameters.items(), *module._buffers.items())
            if tensor is not None
        }
        self._made: Any = WeakIdKeyDictionary()
        self._masks = Masks()
        self._draws: list[Draw] | None = None  # of the call under way
        self._order = 0
        for tensor in tensors_of(example):
            self._made[tensor] = INPUT

    def made_by(self, tensor: Tensor) -> int | None:
        found: int | None = self._made.get(tensor)
        return found

    def left(self, module: Module, _: Any, output: Any) -> None:
        """A module is done. Which of its tensors a hook that takes the first one gets."""
        several = output if isinstance(output, (tuple, list)) and not isinstance(output, PackedSequence) else (output,)
        first = next((item for item in several if isinstance(item, (Tensor, PackedSequence))), None)
        tensor = first.data if isinstance(first, PackedSequence) else first
        self.firsts[self.running.name] = None if tensor is None else self.made_by(tensor)

    def drew(self, draw: Draw) -> None:
        """A draw that torch reports: of the call under way, or of code that torch's functions don't pass through."""
        if self._draws is not None:
            self._draws.append(draw)
        else:  # a scripted module, or an operator called from C++
            self._add(draw.operator.partition("::")[2].rstrip("_"), [], {}, [], None, 0.0, draws=[draw])

    @transparent
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = canonical(func)
        ours = OPERATORS.get(name) if type(func).__module__ == operators_module else None
        if ours is None and is_plumbing(caller(1)):
            outside, self._draws = self._draws, []  # the key is no noise of the model's
            try:
                return func(*args, **kwargs)
            finally:
                self._draws = outside
        name = ours or name
        tensors = list(tensors_of((args, kwargs)))
        given = {id(tensor): self.made_by(tensor) for tensor in tensors}
        alive = self._masks.before(name, tensors)
        outside, self._draws = self._draws, []
        start = perf_counter()
        try:
            result = func(*args, **kwargs)
            seconds = perf_counter() - start
            draws = self._draws
        finally:
            self._draws = outside
        order, self._order = self._order, self._order + 1
        results = [tensors[0]] if name == "setitem" and tensors else list(tensors_of(result))
        if results:
            call = self._add(name, tensors, self._arguments(func, args, kwargs), results, func, seconds, draws=draws)
            call.order = order
            first = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
            call.first = given.get(id(first))
            self._rate(call, name, ours, args, kwargs)
            applied = self._masks.after(name, call.index, (*args, *kwargs.values()), tensors, alive, result)
            if applied is not None:
                call.applies, call.masked, call.mask_shape = applied.source, applied.dropped, applied.mask_shape
            for source, threshold in self._masks.thresholds.items():
                self.calls[source].p = threshold
            self._masks.thresholds.clear()
        return result

    def _rate(self, call: Call, name: str, ours: str | None, args: Any, kwargs: Any) -> None:
        if ours is not None:
            call.training = True
            if name == "dropout":
                level, _, shift, fill = args[2].tolist()
                call.p = level / 65536
                if (shift or fill) and not args[3]:
                    call.function = "alpha_dropout"
            else:
                variance = float(args[2]) ** 2
                call.p = variance / (1 + variance) if variance != float("inf") else 1.0
            call.arguments = {"p": call.p}
            return
        entry = noisy(name, args)
        if entry is not None:
            call.p, call.training = entry.rate(args, kwargs)

    def _add(
        self,
        name: str,
        tensors: list[Tensor],
        arguments: dict[str, Any],
        results: list[Tensor],
        func: Any,
        seconds: float,
        *,
        draws: list[Draw],
    ) -> Call:
        inputs = (self._made.get(tensor) for tensor in tensors)
        parameters = (self._parameters.get(id(tensor)) for tensor in tensors)
        file, line = callsite(caller(2))
        writes = bool(WRITES.match(getattr(func, "__name__", ""))) or bool(arguments.get("inplace"))
        call = Call(
            index=len(self.calls),
            function=name,
            module=self.running.name,
            file=file,
            line=line,
            inputs=tuple(dict.fromkeys(index for index in inputs if index is not None)),
            parameters=tuple(dict.fromkeys(found for found in parameters if found is not None)),
            shape=tuple(results[0].shape) if results else draws[0].shape,
            dtype=results[0].dtype if results else torch.float32,
            arguments=arguments,
            writes=writes,
            seconds=seconds,
            order=self._order,
            draws=draws,
        )
        self.calls.append(call)
        given = {id(tensor) for tensor in tensors}
        for tensor in results:
            # Dropout that is off gives its argument back, which is still what its own maker made.
            if (writes or id(tensor) not in given) and id(tensor) not in self._parameters:
                self._made[tensor] = call.index
        return call

    @staticmethod
    def _arguments(func: Any, args: Any, kwargs: Any) -> dict[str, Any]:
        places = {str(place): value for place, value in enumerate(args)}
        code = getattr(func, "__code__", None)
        if code is not None:  # a Python function, which names its arguments
            names = code.co_varnames[: code.co_argcount]
            places = dict(zip(names, args, strict=False))
        return {name: value for name, value in {**places, **kwargs}.items() if not any(True for _ in tensors_of(value))}


def tensors_of(value: Any) -> Iterator[Tensor]:
    """The tensors in a nest of tuples, lists and mappings, and in dataclasses that are mappings too."""
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
