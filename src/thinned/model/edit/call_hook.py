"""Dropout at a call of a torch function inside a module's forward: a call such as `F.relu(x)` has no module to hook.

On the instance, the module's forward is replaced by a `Forward`. This calls the forward inside a function mode, which
counts the calls by name and changes the ones that have an edit. A `with` encloses the forward, in place of two hooks,
because torch.compile can trace a `with`, and an exception leaves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, get_overridable_functions

from ..known.functions import ALIASES, canonical, noisy
from ..watch.callsite import transparent
from .anchor import Anchor
from .module_hook import dropped, given

Module = torch.nn.Module


@dataclass(slots=True)
class CallEdit:
    """A change of one call: a dropout on its result or on its first tensor, or another p among its arguments."""

    anchor: Anchor
    p: float  # the p that the call gets, where `drop` is None
    drop: Module | None  # the dropout; None to change the call's p


class Forward:
    """Replaces a module's forward on the instance, and calls it with the edits in effect."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.before = module.__dict__.get("forward")  # a forward that was set on the instance already
        self.edits: dict[str, dict[int, list[CallEdit]]] = {}  # by the function's plain name and the call's number
        self.names: dict[Any, str] = {}  # the plain names of the functions that have edits

    def edit(self, edit: CallEdit) -> None:
        self.edits.setdefault(edit.anchor.call, {}).setdefault(edit.anchor.number, []).append(edit)
        self.names.update(functions(edit.anchor.call))

    def rates(self) -> list[CallEdit]:
        """The edits that set the p of a call."""
        every = (edit for numbers in self.edits.values() for edits in numbers.values() for edit in edits)
        return [edit for edit in every if edit.drop is None]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "names": None}  # torch's functions do not all pickle

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, names={function: name for name in state["edits"] for function in functions(name)})

    @property
    def __wrapped__(self) -> Any:
        """The module's own forward, for whoever reads its signature."""
        return self.before or type(self.module).forward.__get__(self.module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _CountedCalls(self.edits, self.names, self.module.training):
            if self.before is not None:
                return self.before(*args, **kwargs)
            return type(self.module).forward(self.module, *args, **kwargs)

    def leave(self) -> None:
        """Put the former forward back. If other code has wrapped this object since, it stays, but without edits."""
        self.edits = {}
        own = self.module.__dict__
        if own.get("forward") is self:
            if self.before is None:
                del own["forward"]
            else:
                own["forward"] = self.before


class _CountedCalls(TorchFunctionMode):
    """The function mode of one forward: counts the calls of each function, and applies the edits."""

    def __init__(self, edits: dict[str, dict[int, list[CallEdit]]], names: dict[Any, str], training: bool) -> None:
        super().__init__()
        self.edits = edits
        self.names = names
        self.training = training
        self.counts: dict[str, int] = {}

    @transparent
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = self.names.get(func, "")
        if not name:
            return func(*args, **kwargs)
        number = self.counts.get(name, 0) + 1
        self.counts[name] = number
        edits = self.edits[name].get(number, [])
        for edit in edits:
            if edit.drop is not None and edit.anchor.what == "input":
                args, kwargs = given(edit.drop, str(edit.anchor), args, kwargs)
            elif edit.drop is None and self.training:
                entry = noisy(name, args)
                if entry is not None:
                    args, kwargs = entry.p.write(args, kwargs, edit.p)
        result = func(*args, **kwargs)
        for edit in edits:
            if edit.drop is not None and edit.anchor.what == "output":
                result = dropped(edit.drop, str(edit.anchor), result)
        return result


@cache
def functions(name: str) -> dict[Any, str]:
    """Every torch function with this plain name. They are listed beforehand: torch.compile can't trace `canonical`."""
    every = (function for group in get_overridable_functions().values() for function in group)
    known = ALIASES.get(name, name)
    return {function: name for function in every if canonical(function) == known}
