"""One forward pass as a graph: every call of a torch function, who made it, from what, and what noise it drew."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils.weak import WeakIdKeyDictionary

from ..known.functions import noisy
from ..known.where import Where
from .draws import Draw
from .generators import States, python_state
from .masks import Masks
from .recorder import Event, followed, named_tensors, tensors_of
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

    Modes, buffers and random state are the caller's business, and that a compiled model runs uncompiled: `untouched`
    looks after all of them.

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


def _traced(model: Module, args: Any, kwargs: Any, *, generators: bool) -> Trace:
    keeper = _Calls(model, (args, kwargs))
    result, seconds, running = followed(model, args, kwargs, keeper, generators=generators)
    outputs = dict.fromkeys(made for tensor in tensors_of(result) if (made := keeper.made_by(tensor)) is not None)
    return Trace(keeper.calls, tuple(outputs), keeper.firsts, running, seconds)


class _Calls:
    """Keeps of each call what a graph needs: from which calls it was made, its plain arguments, its noise."""

    def __init__(self, model: Module, example: Any) -> None:
        self.calls: list[Call] = []
        self.firsts: dict[str, int | None] = {}
        self._parameters = named_tensors(model)
        self._made: Any = WeakIdKeyDictionary()
        self._masks = Masks()
        for tensor in tensors_of(example):
            self._made[tensor] = INPUT

    def made_by(self, tensor: Tensor) -> int | None:
        found: int | None = self._made.get(tensor)
        return found

    def left(self, name: str, output: Any) -> None:
        """A module is done. Which of its tensors a hook that takes the first one gets."""
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
                order=0,
                draws=[draw],
            )
        )

    def before(self, event: Event) -> tuple[int | None, Tensor | None]:
        """Which call made the first tensor among the arguments, and which units are not 0 of a tensor to be thinned."""
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
            shape=tuple(event.results[0].shape),
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
            # Dropout that is off gives its argument back, which is still what its own maker made.
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
    """The arguments that are no tensors, by name where one is known."""
    places = {str(place): value for place, value in enumerate(event.args)}
    code = getattr(event.function, "__code__", None)
    if code is not None:  # a Python function, which names its arguments
        places = dict(zip(code.co_varnames[: code.co_argcount], event.args, strict=False))
    named = {**places, **event.kwargs}
    return {name: value for name, value in named.items() if not any(True for _ in tensors_of(value))}
