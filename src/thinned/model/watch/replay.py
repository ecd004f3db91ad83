"""A recorded forward pass that can be run again in parts: the calls of torch, each with its function and arguments.

A `Trace` describes what a model did. A `Replay` runs some of its calls again, on other numbers and with new noise. It
holds no tensor that a recorded call made: a later call refers to the call that made it, by a `Ref`.
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
from .shape import shape_of

Module = torch.nn.Module


@dataclass(frozen=True, slots=True)
class Ref:
    """Stands for a tensor of the pass: the step that made it, and the tensor's number among those of the step."""

    step: int
    item: int = 0


@dataclass(slots=True)
class Step:
    """One call of torch; or, with no function, a tensor that is there before the pass.

    For such a tensor, `name` is "input", or "parameter" for parameters and buffers.
    """

    name: str
    function: Callable[..., Any] | None
    args: tuple[Any, ...]  # with a Ref for each tensor that a step made
    kwargs: dict[str, Any]
    where: Where
    key: tuple[Any, ...]  # identifies the step in another run of the model
    writes: bool = False  # whether it writes into its first argument
    draws: bool = False
    shape: tuple[int, ...] = ()
    dtype: torch.dtype = torch.float32
    device: torch.device | str = "cpu"

    @property
    def refs(self) -> list[Ref]:
        return list(_refs((self.args, self.kwargs)))


class Replay:
    """The steps of one forward pass, and its outputs.

    For `y = F.dropout(F.linear(x, w))` the steps are 0: the parameter w, 1: the input x, 2: linear, 3: dropout, and
    `outputs` is `[Ref(3)]`. `run(Ref(3), {2: z})` is `F.dropout(z)`, with a new mask.
    """

    def __init__(self, steps: list[Step], outputs: list[Ref]) -> None:
        self.steps = steps
        self.outputs = outputs
        self.consumers: dict[int, list[int]] = {}  # by step: the steps that use its tensors
        self._ways: dict[tuple[tuple[int, ...], int], list[int]] = {}  # results of `between`, by its arguments
        for index, step in enumerate(steps):
            for source in dict.fromkeys(ref.step for ref in step.refs):
                self.consumers.setdefault(source, []).append(index)

    def between(self, bases: Iterable[int], end: int) -> list[int]:
        """The steps that must run for the step `end` where the results of the steps `bases` are given."""
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
        """Compute the tensor `end` again, with new noise.

        Arguments:
            end: the tensor to compute.
            given: tensors by the step whose result they replace; these steps do not run.
            skip: steps that do not run either, and whose result is their first argument.
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
    """Run the model once, as it is, and record the pass. The caller puts modes, buffers and generators back."""
    keeper = _Steps(model, (args, kwargs))
    result, _, _ = followed(model, args, kwargs, keeper)
    return Replay(keeper.steps, [ref for tensor in tensors_of(result) if (ref := keeper.ref(tensor)) is not None])


class _Steps:
    """A `Keeper` that records a `Step` for each call, with a `Ref` for each argument that an earlier step made."""

    def __init__(self, model: Module, example: Any) -> None:
        self.steps: list[Step] = []
        self._made: Any = WeakIdKeyDictionary()
        self._by_torch = {
            name for name, module in named_modules(model) if type(module).__module__.startswith("torch.nn.")
        }
        parameters = named_tensors(model)
        self._parameters = set(map(id, parameters.values()))
        for name, tensor in parameters.items():
            self._source("parameter", name, tensor)
        for index, tensor in enumerate(tensors_of(example)):
            self._source("input", index, tensor)

    def _source(self, name: str, key: Any, tensor: Tensor) -> None:
        self._made[tensor] = Ref(len(self.steps))
        step = Step(name, None, (tensor,), {}, Where("", name, "", 0), (name, key))
        step.shape, step.dtype, step.device = shape_of(tensor), tensor.dtype, tensor.device
        self.steps.append(step)

    def ref(self, tensor: Tensor) -> Ref | None:
        found: Ref | None = self._made.get(tensor)
        return found

    def left(self, name: str, output: Any) -> None:
        pass

    def drew(self, draw: Draw, where: Where) -> None:
        pass  # such a draw is outside of any call of a torch function, so no step can make it again

    def before(self, event: Event) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as they are before the call, with a `Ref` for each tensor that a step made."""
        given: tuple[tuple[Any, ...], dict[str, Any]] = self._named((tuple(event.args), dict(event.kwargs)))
        return given

    def after(self, event: Event, given: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        results = event.results
        if not results:
            return
        if not event.writes and any(results[0] is tensor for tensor in event.tensors):
            return  # dropout that is off returns its argument, which an earlier step made
        module, name, file, line = event.where
        # The key of a call inside a module of torch has no line: two branches of an `if` may call the same module.
        key = (name, module) if module in self._by_torch else (name, module, file, line)
        step = Step(name, event.function, given[0], given[1], event.where, key)
        step.writes, step.draws, step.shape = event.writes, bool(event.draws), shape_of(results[0])
        step.dtype, step.device = results[0].dtype, results[0].device
        for item, tensor in enumerate(results):
            if id(tensor) not in self._parameters:
                self._made[tensor] = Ref(len(self.steps), item)
        self.steps.append(step)

    def _named(self, value: Any) -> Any:
        """A value in which each tensor that a step made is replaced by its `Ref`."""
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
