"""A forward pass that can be run again in parts: what each call of torch was given, and by which call it was made.

A `Trace` says what a model did; a `Replay` does some of it once more, on other numbers and with fresh noise.
It holds no activations: only functions, plain arguments, parameters, and who made what.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from ...nn.names import named_modules
from ..known.where import Where
from .draws import Draw
from .recorder import Event, followed, named_tensors, tensors_of

Module = torch.nn.Module


@dataclass(frozen=True, slots=True)
class Ref:
    """A tensor of the pass: the step that made it, and which of that step's tensors it is."""

    step: int
    item: int = 0


@dataclass(slots=True)
class Step:
    """One call of torch; or, without a function, a tensor that was there before: `name` "input", "parameter"."""

    name: str
    function: Callable[..., Any] | None
    args: tuple[Any, ...]  # with a Ref for every tensor whose maker is known
    kwargs: dict[str, Any]
    where: Where
    key: tuple[Any, ...]  # what it is known by in another run
    writes: bool = False  # into its first argument
    draws: bool = False
    shape: tuple[int, ...] = ()
    dtype: torch.dtype = torch.float32
    device: torch.device | str = "cpu"

    @property
    def refs(self) -> list[Ref]:
        return list(_refs((self.args, self.kwargs)))


class Replay:
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


def record(model: Module, *args: Any, **kwargs: Any) -> Replay:
    """Run the model once, as it stands, and keep it for replays. Modes and random state are the caller's business."""
    keeper = _Steps(model, (args, kwargs))
    result, _, _ = followed(model, args, kwargs, keeper)
    return Replay(keeper.steps, [ref for tensor in tensors_of(result) if (ref := keeper.ref(tensor)) is not None])


class _Steps:
    """Keeps of each call its function and arguments, with a `Ref` for every tensor whose maker is known."""

    def __init__(self, model: Module, example: Any) -> None:
        self.steps: list[Step] = []
        self._made: Any = WeakIdKeyDictionary()
        self._by_torch = {
            name for name, module in named_modules(model) if type(module).__module__.startswith("torch.nn.")
        }
        self._parameters = named_tensors(model)
        tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
        for identity, name in self._parameters.items():
            self._source("parameter", name, tensors[identity])
        for index, tensor in enumerate(tensors_of(example)):
            self._source("input", index, tensor)

    def _source(self, name: str, key: Any, tensor: Tensor) -> None:
        self._made[tensor] = Ref(len(self.steps))
        step = Step(name, None, (tensor,), {}, Where("", name, "", 0), (name, key))
        step.shape, step.dtype, step.device = tuple(tensor.shape), tensor.dtype, tensor.device
        self.steps.append(step)

    def ref(self, tensor: Tensor) -> Ref | None:
        found: Ref | None = self._made.get(tensor)
        return found

    def left(self, name: str, output: Any) -> None:
        pass

    def drew(self, draw: Draw, where: Where) -> None:
        pass  # code that torch's functions don't pass through can't be run again in parts

    def before(self, event: Event) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as they are before the call, by who made them."""
        given: tuple[tuple[Any, ...], dict[str, Any]] = self._named((tuple(event.args), dict(event.kwargs)))
        return given

    def after(self, event: Event, given: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        results = event.results
        if not results:
            return
        if not event.writes and any(results[0] is tensor for tensor in event.tensors):
            return  # dropout that is off gives back what somebody else made
        module, name, file, line = event.where
        # A module of torch's is the same one wherever it is called from: two branches of an `if`, for one.
        key = (name, module) if module in self._by_torch else (name, module, file, line)
        step = Step(name, event.function, given[0], given[1], event.where, key)
        step.writes, step.draws, step.shape = event.writes, bool(event.draws), tuple(results[0].shape)
        step.dtype, step.device = results[0].dtype, results[0].device
        for item, tensor in enumerate(results):
            if id(tensor) not in self._parameters:
                self._made[tensor] = Ref(len(self.steps), item)
        self.steps.append(step)

    def _named(self, value: Any) -> Any:
        """The arguments with every tensor that is known replaced by who made it."""
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
