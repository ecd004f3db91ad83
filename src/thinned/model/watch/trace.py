"""One forward pass as a graph of calls: each call of a torch function, its module, its inputs, and its noise."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils.weak import WeakIdKeyDictionary

from ..known.functions import noisy
from ..known.where import Where
from .draws import Draw
from .masks import Masks
from .private_noise import current, private_noise
from .recorder import Event, followed, named_tensors, tensors_of
from .running import Running
from .shape import shape_of

Module = torch.nn.Module

INPUT = -1  # stands for the example in `Call.inputs`, as if a call had made it


@dataclass(slots=True)
class Call:
    """One call of a torch function that made a tensor.

    In `F.dropout(self.fc(x), 0.1)`, called with the example x, `linear` is call 0 with `inputs=(INPUT,)`, and `dropout`
    is call 1 with `inputs=(0,)` and `p=0.1`.
    """

    index: int
    function: str  # its plain name: "linear", "relu", "add"
    module: str  # the qualified name of the innermost module that was running; "" is the model itself
    file: str  # where the user's code makes the call
    line: int
    inputs: tuple[int, ...]  # the calls that made its tensor arguments; INPUT for a tensor of the example
    parameters: tuple[str, ...]  # which parameters and buffers of the model are among its arguments
    shape: tuple[int, ...]  # of the first tensor that it made
    dtype: torch.dtype
    arguments: dict[str, Any]  # its arguments that are no tensors: by name where one was given, else "0", "1", ...
    writes: bool  # whether it wrote into its first argument
    seconds: float
    order: int | None  # its number among all calls of torch, those included that make no tensor; None: no call drew
    draws: list[Draw] = field(default_factory=list)
    p: float | None = None  # the p of a call that drops; for a draw, the number that it was compared with
    training: bool | None = None  # the training flag of a call that drops
    applies: int | None = None  # for a call that applies a mask made by hand: the call that drew the mask
    masked: float | None = None  # for such a call: the share of non-zero units that it set to 0
    mask_shape: tuple[int, ...] = ()  # for such a call: as `Masks` finds it
    first: int | None = None  # the call that made the first tensor among its arguments; None for a parameter or buffer

    @property
    def where(self) -> Where:
        return Where(self.module, self.function, self.file, self.line)


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
        self.firsts = firsts  # by module: the call that made its output, or the first tensor in a tuple or list
        self.ran = running.ran  # how often each module's forward ran
        self.loose = running.loose  # modules that ran and are no submodules of the model, by name
        self.inside = running.inside  # by such a name: the submodule of the model in whose forward it ran
        self.python_draws = running.python_draws  # by module: how often `random` or `numpy.random` drew in its code
        self.seconds = seconds
        self._consumers: dict[int, list[Call]] = {}
        for call in calls:
            for source in dict.fromkeys(call.inputs):
                self._consumers.setdefault(source, []).append(call)

    def producers(self, call: Call) -> list[Call]:
        """The calls that made a call's tensor arguments, without INPUT."""
        return [self.calls[index] for index in call.inputs if index != INPUT]

    def consumers(self, call: Call | int) -> list[Call]:
        """The calls that have a call's result as an argument; for INPUT, those that have the example."""
        return self._consumers.get(call if isinstance(call, int) else call.index, [])

    def of(self, module: str) -> list[Call]:
        """The calls that a module made itself, not through its children."""
        return [call for call in self.calls if call.module == module]


def trace(model: Module, *args: Any, **kwargs: Any) -> Trace:
    """Run `model(*args, **kwargs)` once, as it is, and record every call of a torch function in it.

    Call it inside `untouched`: that runs a compiled model uncompiled, and puts modes, buffers and generators back. Or
    on a copy of the model, inside `unnoticed`.

    Cost: the forward pass, and about 50 microseconds for each call of torch.

    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.ReLU())
    >>> [call.function for call in trace(net, torch.ones(1, 4)).calls]
    ['linear', 'relu']
    """
    keeper = _Calls(model, (args, kwargs))
    with nullcontext() if current() is not None else private_noise(model, own=False):
        result, seconds, running = followed(model, args, kwargs, keeper)
    outputs = dict.fromkeys(made for tensor in tensors_of(result) if (made := keeper.made_by(tensor)) is not None)
    return Trace(keeper.calls, tuple(outputs), keeper.firsts, running, seconds)


class _Calls:
    """A `Keeper` that records a `Call` for each call: the calls that made its arguments, plain arguments, noise."""

    def __init__(self, model: Module, example: Any) -> None:
        self.calls: list[Call] = []
        self.firsts: dict[str, int | None] = {}
        self._parameters = {id(tensor): name for name, tensor in named_tensors(model).items()}
        self._made: Any = WeakIdKeyDictionary()
        self._masks = Masks()
        for tensor in tensors_of(example):
            self._made[tensor] = INPUT

    def made_by(self, tensor: Tensor) -> int | None:
        found: int | None = self._made.get(tensor)
        return found

    def left(self, name: str, output: Any) -> None:
        """Record which call made a module's output: the tensor itself, or the first one in a tuple or list."""
        several = output if isinstance(output, (tuple, list)) and not isinstance(output, PackedSequence) else (output,)
        first = next((item for item in several if isinstance(item, (Tensor, PackedSequence))), None)
        tensor = first.data if isinstance(first, PackedSequence) else first
        self.firsts[name] = None if tensor is None else self.made_by(tensor)

    def drew(self, draw: Draw, where: Where) -> None:
        self.calls.append(
            Call(
                index=len(self.calls),
                function=where.function,
                module=where.module,
                file=where.file,
                line=where.line,
                inputs=(),
                parameters=(),
                shape=draw.shape,
                dtype=torch.float32,
                arguments={},
                writes=False,
                seconds=0.0,
                order=None,
                draws=[draw],
            )
        )

    def before(self, event: Event) -> tuple[int | None, Tensor | None]:
        """Find the call that made the first tensor among the arguments, and what `Masks.before` finds."""
        first = next((value for value in (*event.args, *event.kwargs.values()) if isinstance(value, Tensor)), None)
        source = None if first is None else self.made_by(first)
        return source, self._masks.before(event.ours or event.where.function, event.tensors)

    def after(self, event: Event, before: tuple[int | None, Tensor | None]) -> None:
        if not event.results:
            return
        first, alive = before
        name = event.ours or event.where.function
        call = self._add(event, name)
        call.first = first
        self._rate(call, event)
        values = (*event.args, *event.kwargs.values())
        applied = self._masks.after(name, call.index, values, event.tensors, alive, event.result)
        if applied is not None:
            call.applies, call.masked, call.mask_shape = applied.source, applied.dropped, applied.mask_shape
        for source, threshold in self._masks.thresholds.items():
            self.calls[source].p = threshold
        self._masks.thresholds.clear()

    def _add(self, event: Event, name: str) -> Call:
        inputs = (self._made.get(tensor) for tensor in event.tensors)
        parameters = (self._parameters.get(id(tensor)) for tensor in event.tensors)
        call = Call(
            index=len(self.calls),
            function=name,
            module=event.where.module,
            file=event.where.file,
            line=event.where.line,
            inputs=tuple(dict.fromkeys(index for index in inputs if index is not None)),
            parameters=tuple(dict.fromkeys(found for found in parameters if found is not None)),
            shape=shape_of(event.results[0]),
            dtype=event.results[0].dtype,
            arguments=_arguments(event),
            writes=event.writes,
            seconds=event.seconds,
            order=event.order,
            draws=event.draws,
        )
        self.calls.append(call)
        given = {id(tensor) for tensor in event.tensors}
        for tensor in event.results:
            # Dropout that is off returns its argument, whose maker stays the call that made it before.
            if (event.writes or id(tensor) not in given) and id(tensor) not in self._parameters:
                self._made[tensor] = call.index
        return call

    @staticmethod
    def _rate(call: Call, event: Event) -> None:
        if event.ours is None:
            entry = noisy(call.function, event.args)
            if entry is not None:
                call.p, call.training = entry.rate(event.args, event.kwargs)
            return
        call.training = True
        if event.where.function == "drop":
            level, _, shift, fill = event.args[2].tolist()
            call.p = level / 65536
            if (shift or fill) and not event.args[3]:
                call.function = "alpha_dropout"
        else:
            variance = float(event.args[2]) ** 2
            call.p = variance / (1 + variance) if variance != float("inf") else 1.0
        call.arguments = {"p": call.p}


def _arguments(event: Event) -> dict[str, Any]:
    """The arguments without tensors, by name where it is known, else by position: "0", "1", ..."""
    places = {str(place): value for place, value in enumerate(event.args)}
    code = getattr(event.function, "__code__", None)
    if code is not None:  # a Python function, which names its arguments
        places = dict(zip(code.co_varnames[: code.co_argcount], event.args, strict=False))
    named = {**places, **event.kwargs}
    return {name: value for name, value in named.items() if not any(True for _ in tensors_of(value))}
