"""What holds a p: an attribute of some object, or nothing but the call in the code."""

from __future__ import annotations

from typing import Any

import torch

from ..known.modules import KEEPS, rest
from ..known.where import Where
from .override import overridden, override, restore

Module = torch.nn.Module


class Attribute:
    """A p that an object holds: a module, or a configuration that modules share.

    With `complement`, it holds the probability that a unit is kept; by default its name tells.
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
        """What is there, to be put back as it was."""
        return getattr(self.owner, self.name)

    @state.setter
    def state(self, value: Any) -> None:
        setattr(self.owner, self.name, value)

    def __str__(self) -> str:
        return f"{type(self.owner).__name__}.{self.name}"


class CallRate:
    """A p that only a call has."""

    def __init__(self, module: Module, where: Where, constant: Attribute | float | None) -> None:
        self.module = module
        self.where = where  # seen from the module: its own `module` is ""
        self.constant = constant  # what the source gives it; None where only a run tells

    @property
    def key(self) -> tuple[int, Where]:
        return id(self.module), self.where

    @property
    def own(self) -> float | None:
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
        return overridden(self.module, self.where)

    @state.setter
    def state(self, value: float | None) -> None:
        if value is None:
            restore(self.module, self.where)
        else:
            override(self.module, self.where, value)


RateHolder = Attribute | CallRate
