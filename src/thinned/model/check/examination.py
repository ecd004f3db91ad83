"""A live model under examination: what the live half of a rule sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.nn import Module

    from ..inspect import Inspection


@dataclass(frozen=True)
class Examination:
    """A model, its example, and what `thinned.inspect` saw when it ran the one on the other."""

    model: Module
    inspection: Inspection  # .places, and the Traces .train and .eval
    example: tuple[Any, ...]
    keywords: dict[str, Any] = field(default_factory=dict)  # the example's keyword arguments
    modules: dict[str, Module] = field(init=False)  # by the names that places and calls have; "" is the model itself

    def __post_init__(self) -> None:
        from ...nn.names import named_modules

        object.__setattr__(self, "modules", dict(named_modules(self.model)))
