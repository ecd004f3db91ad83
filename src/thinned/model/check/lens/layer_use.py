"""The classes `LayerUse`, a layer at its place in a network, and `LayerChain`, layers in a row."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from .calls import argument, number
from .layer_names import DROPOUTS, PROBABILITIES


@dataclass(eq=False)
class LayerUse:
    """A layer at one place of a network, or a function that acts as one."""

    made: ast.Call  # the call of the constructor, or of the function
    name: str  # "Dense"
    before: LayerUse | None = None  # None at the start, and where the source does not say
    after: list[LayerUse] = field(default_factory=list)
    use: ast.AST | None = None  # the call on an input, if there is one
    elsewhere: bool = False  # whether something that is no known layer takes its result as well

    def behind(self, through: set[str]) -> LayerUse | None:
        """The layer before it, behind layers of these names."""
        layer = self.before
        while layer is not None and layer.name in through:
            layer = layer.before
        return layer

    def follow(self, before: LayerUse) -> None:
        """Stand behind a layer."""
        self.before = before
        before.after.append(self)

    @property
    def rate(self) -> float | None:
        """The rate of a dropout, where it is a number."""
        return number(argument(self.made, 0, ("rate", "p")))

    @property
    def draws(self) -> bool:
        """Whether it is a dropout whose rate is not 0."""
        return self.name in DROPOUTS and self.rate != 0

    @property
    def shared(self) -> str:
        """The axes along which a dropout has one draw, as they are written; "" if each unit has its own."""
        given = argument(self.made, 1, ("noise_shape", "broadcast_dims")) if self.name == "Dropout" else None
        written = "" if given is None else ast.unparse(given)
        return "" if written in ("None", "()", "[]") else written

    @property
    def makes_probabilities(self) -> bool:
        """Whether it is a softmax or sigmoid, or has one as its own activation."""
        given = argument(self.made, None, ("activation",))
        return self.name in PROBABILITIES or (
            isinstance(given, ast.Constant) and given.value in ("softmax", "sigmoid", "log_softmax")
        )


@dataclass(frozen=True)
class LayerChain:
    """Layers in a row, and the names of the model that ends with them."""

    layers: tuple[LayerUse | None, ...]  # None is one that is not known
    called: tuple[str, ...] = ()
    ends: bool = False  # whether the last one's result is the model's, or that of a `Sequential`
