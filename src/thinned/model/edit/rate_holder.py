"""What holds a p: an attribute of an object, or only a call in the code."""

from __future__ import annotations

from typing import Any

import torch

from ..known.modules import KEEPS, rest
from ..known.where import Where
from .graph_rate import GraphRate
from .override import overridden, override, restore

Module = torch.nn.Module


class Attribute:
    """A p that an attribute holds: of a module, or of a configuration that modules share.

    `Attribute(net.drop, "p")` is the p of a `nn.Dropout`. With `complement=True` the attribute holds the keep
    probability, 1 - p; by default this is so for the name `keep_prob` alone.
    """

    def __init__(self, owner: Any, name: str, complement: bool | None = None) -> None:
        self.owner = owner
        self.name = name
        self.complement = name == KEEPS if complement is None else complement

    @property
    def key(self) -> tuple[int, str]:
        return id(self.owner), self.name

    @property
    def p(self) -> float:
        value = float(getattr(self.owner, self.name) or 0.0)
        return rest(value) if self.complement else value

    @p.setter
    def p(self, value: float) -> None:
        self.state = rest(value) if self.complement else value

    @property
    def state(self) -> Any:
        """The attribute's value itself, to be put back later."""
        return getattr(self.owner, self.name)

    @state.setter
    def state(self, value: Any) -> None:
        setattr(self.owner, self.name, value)

    def __str__(self) -> str:
        return f"{type(self.owner).__name__}.{self.name}"


class CallRate:
    """The p of one call. To set it is to override the call.

    For `F.dropout(x, 0.1)` at line 12 of net.py, in the forward of `net`, it is
    `CallRate(net, Where("", "dropout", "net.py", 12), 0.1)`. Its `p` is 0.1. After `p = 0.3` the call has an override,
    and after `p = 0.1` it has none again.
    """

    def __init__(self, module: Module, where: Where, constant: Attribute | float | None) -> None:
        self.module = module
        self.where = where  # its `module` is "": it stands for the module itself
        self.constant = constant  # the p in the source, or the attribute that it reads; None where only a run shows p

    @property
    def key(self) -> tuple[int, Where]:
        return id(self.module), self.where

    @property
    def own(self) -> float | None:
        """The p of the call without an override; None where only a run shows it."""
        return self.constant.p if isinstance(self.constant, Attribute) else self.constant

    @property
    def p(self) -> float | None:
        found = self.state
        return self.own if found is None else found

    @p.setter
    def p(self, value: float) -> None:
        self.state = None if value == self.own else value

    @property
    def state(self) -> float | None:
        """The p of the override, or None without one."""
        return overridden(self.module, self.where)

    @state.setter
    def state(self, value: float | None) -> None:
        if value is None:
            restore(self.module, self.where)
        else:
            override(self.module, self.where, value)


RateHolder = Attribute | CallRate | GraphRate


class Assignment:
    """Sets rates, and remembers the former ones to undo the changes."""

    def __init__(self) -> None:
        self.before: list[tuple[RateHolder, Any]] = []

    def assign(self, way: RateHolder, p: float) -> None:
        if way.p != p or self._is_held(way):
            self._note(way)
            way.p = p

    def release(self, call: CallRate) -> None:
        """Remove the override of a call, so that it has the p in its code again."""
        if call.state is not None or self._is_held(call):
            self._note(call)
            call.state = None

    def _is_held(self, way: RateHolder) -> bool:
        """Whether a p is to be noted although it does not change."""
        return False

    def _note(self, way: RateHolder) -> None:
        self.before.append((way, way.state))

    def undo(self) -> None:
        while self.before:
            way, state = self.before.pop()
            way.state = state
