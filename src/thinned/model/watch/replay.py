"""A forward pass that can be run again in parts: what each call of torch was given, and by which call it was made.

A `Trace` says what a model did; a tape keeps enough to do some of it once more, on other numbers and with fresh noise.
It holds no activations: only functions, plain arguments, parameters, and who made what.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from ..._torch import operators_module
from ...nn.names import named_modules
from ..known.functions import WRITES, canonical
from .callsite import caller, callsite, is_plumbing, outermost, transparent
from .draws import DrawMode
from .running import Running
from .trace import tensors_of

Module = torch.nn.Module


@dataclass(frozen=True, slots=True)
class Ref:
    """A tensor on the tape: the step that made it, and which of that step's tensors it is."""

    step: int
    item: int = 0


@dataclass(slots=True)
class Step:
    """One call of torch; or, without a function, a tensor that was there before: `name` "input", "parameter"."""

    name: str
    function: Callable[..., Any] | None
    args: tuple[Any, ...]  # with a Ref for every tensor of the tape
    kwargs: dict[str, Any]
    module: str
    file: str
    line: int
    key: tuple[Any, ...]  # what it is known by in another run
    writes: bool = False  # into its first argument
    draws: bool = False
    shape: tuple[int, ...] = ()
    dtype: torch.dtype = torch.float32
    device: torch.device | str = "cpu"

    @property
    def refs(self) -> list[Ref]:
        return list(_refs((self.args, self.kwargs)))


class Tape:
    """The steps of one forward pass, and its outputs."""

    def __init__(self, steps: list[Step], outputs: list[Ref]) -> None:
        self.steps = steps
        self.outputs = outputs
        self.consumers: dict[int, list[int]] = {}
        self._ways: dict[tuple[tuple[int, ...], int], list[int]] = {}
        for index, step in enumerate(steps):
            for source in dict.fromkeys(ref.step for ref in step.refs):
                self.consumers.setdefault(source, []).append(index)

    def between(self, bases: Iterable[int], end: int) -> list[int]:
        """The steps that have to run for `end` where the results of `bases` are given."""
        way = (tuple(bases), end)
        if way in self._ways:
            return self._ways[way]
        given, needed, stack = set(way[0]), set[int](), [end]
        while stack:
            index = stack.pop()
            if index not in given and index not in needed:
                needed.add(index)
                stack.extend(ref.step for ref in self.steps[index].refs)
        self._ways[way] = sorted(needed)
        return self._ways[way]

    def run(self, end: Ref, given: Mapping[int, Tensor], skip: Container[int] = ()) -> Tensor:
        """What `end` is where the steps of `given` have made these tensors; noise on the way is drawn anew.

        Steps in `skip` give back their first argument.
        """
        made: dict[int, list[Tensor]] = {step: [tensor] for step, tensor in given.items()}
        for index in self.between(given, end.step):
            step = self.steps[index]
            if step.function is None:
                made[index] = [step.args[0]]
                continue
            args, kwargs = _filled((step.args, step.kwargs), made)
            if index in skip:
                made[index] = [args[0]]
                continue
            if step.writes and isinstance(args[0], Tensor):
                args = (args[0].clone(), *args[1:])
            result = step.function(*args, **kwargs)
            made[index] = [args[0]] if result is None else list(tensors_of(result))
        return made[end.step][end.item]


@outermost
def record(model: Module, *args: Any, **kwargs: Any) -> Tape:
    """Run the model once, as it stands, and keep the tape. Modes and random state are the caller's business."""
    recorder = _Recorder(model, (args, kwargs))
    with ExitStack() as stack:
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(recorder.running.followed())
        stack.enter_context(DrawMode(recorder.drew))
        stack.enter_context(recorder)
        result = model(*args, **kwargs)
    return Tape(recorder.steps, [ref for tensor in tensors_of(result) if (ref := recorder.ref(tensor)) is not None])


class _Recorder(TorchFunctionMode):
    def __init__(self, model: Module, example: Any) -> None:
        super().__init__()
        self.running = Running(model)
        self.steps: list[Step] = []
        self._made: Any = WeakIdKeyDictionary()
        self._drew = False
        self._by_torch = {
            name for name, module in named_modules(model) if type(module).__module__.startswith("torch.nn.")
        }
        self._parameters: dict[int, str] = {}
        for name, module in named_modules(model):
            for own, tensor in (*module._parameters.items(), *module._buffers.items()):
                if tensor is not None and id(tensor) not in self._parameters:
                    self._parameters[id(tensor)] = f"{name}.{own}" if name else own
                    self._source("parameter", self._parameters[id(tensor)], tensor)
        for index, tensor in enumerate(tensors_of(example)):
            self._source("input", index, tensor)

    def _source(self, name: str, key: Any, tensor: Tensor) -> None:
        self._made[tensor] = Ref(len(self.steps))
        step = Step(name, None, (tensor,), {}, "", "", 0, (name, key), shape=tuple(tensor.shape), dtype=tensor.dtype)
        step.device = tensor.device
        self.steps.append(step)

    def ref(self, tensor: Tensor) -> Ref | None:
        found: Ref | None = self._made.get(tensor)
        return found

    def drew(self, _: Any) -> None:
        self._drew = True

    @transparent
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if is_plumbing(caller(1)) and type(func).__module__ != operators_module:
            return func(*args, **kwargs)
        name = canonical(func)
        given = self._named((tuple(args), dict(kwargs)))
        before, self._drew = self._drew, False
        result = func(*args, **kwargs)
        drew, self._drew = self._drew, before
        first = next(tensors_of(args), None)
        results = [first] if name == "setitem" and first is not None else list(tensors_of(result))
        if not results:
            return result
        writes = bool(WRITES.match(getattr(func, "__name__", ""))) or (results[0] is first and drew)
        if not writes and any(results[0] is tensor for tensor in tensors_of((args, kwargs))):
            return result  # dropout that is off gives back what somebody else made
        file, line = callsite(caller(1))
        module = self.running.name
        # A module of torch's is the same one wherever it is called from: two branches of an `if`, for one.
        where = () if module in self._by_torch else (file, line)
        step = Step(name, func, given[0], given[1], module, file, line, (name, module, *where))
        step.writes, step.draws, step.shape = writes, drew, tuple(results[0].shape)
        step.dtype, step.device = results[0].dtype, results[0].device
        for item, tensor in enumerate(results):
            if id(tensor) not in self._parameters:
                self._made[tensor] = Ref(len(self.steps), item)
        self.steps.append(step)
        return result

    def _named(self, value: Any) -> Any:
        """The arguments with every tensor of the tape replaced by who made it."""
        if isinstance(value, Tensor):
            return self._made.get(value, value)
        if type(value) in (tuple, list):
            return type(value)(self._named(inner) for inner in value)
        return {key: self._named(inner) for key, inner in value.items()} if type(value) is dict else value


def _filled(value: Any, made: Mapping[int, list[Tensor]]) -> Any:
    if isinstance(value, Ref):
        return made[value.step][value.item]
    if type(value) in (tuple, list):
        return type(value)(_filled(inner, made) for inner in value)
    return {key: _filled(inner, made) for key, inner in value.items()} if type(value) is dict else value


def _refs(value: Any) -> Iterable[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, (tuple, list)):
        for inner in value:
            yield from _refs(inner)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _refs(inner)
