"""Dropout at a call of a torch function inside a module's forward: `F.relu(x)` has no module to hang a hook on.

The instance's forward is called inside a `TorchFunctionMode` that counts the calls by name and acts on the one that was
meant. A `with` around the call, and not two hooks, because torch.compile follows a `with`, and an exception closes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, get_overridable_functions

from ..known.functions import canonical, noisy
from ..watch.callsite import transparent
from .anchor import Anchor
from .module_hook import dropped, given

Module = torch.nn.Module


@dataclass(slots=True)
class CallEdit:
    """What is done at one call: a dropout on its result or its first tensor, or another p among its arguments."""

    anchor: Anchor
    p: float  # of the arguments, where there is no dropout
    drop: Module | None


class Forward:
    """Stands before a module's own forward, on the instance."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.before = module.__dict__.get("forward")  # another that somebody put on the instance
        self.edits: dict[str, dict[int, list[CallEdit]]] = {}
        self.names: dict[Any, str] = {}  # of the functions that edits are for

    def edit(self, edit: CallEdit) -> None:
        self.edits.setdefault(edit.anchor.call, {}).setdefault(edit.anchor.number, []).append(edit)
        self.names.update(functions(edit.anchor.call))

    def rates(self) -> list[CallEdit]:
        """The edits that set a p, which is theirs to change."""
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
        """Give the module its own forward back; where somebody has wrapped this one since, do nothing any more."""
        self.edits = {}
        own = self.module.__dict__
        if own.get("forward") is self:
            if self.before is None:
                del own["forward"]
            else:
                own["forward"] = self.before


class _CountedCalls(TorchFunctionMode):
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
    """Every function of torch with this plain name. A table, because torch.compile cannot follow work on names."""
    every = (function for group in get_overridable_functions().values() for function in group)
    return {function: name for function in every if canonical(function) == name}
