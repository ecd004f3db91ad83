"""A place in a model that draws noise, or could."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..known.where import Where

LAYER_DROP = "LayerDrop"  # the kind of a place where one number decides whether a layer runs


@dataclass(frozen=True)
class Place:
    """A place in a model that draws noise, or is configured to.

    A `nn.Dropout` at `encoder.drop` is a place with `name="encoder.drop"` and `kind="Dropout"`. A call of `F.dropout`
    in the forward of `encoder` is one with `name="encoder:dropout"` and `kind="dropout"`.
    """

    name: str  # matched by patterns: a dropout module's qualified name, or "module:function" for a call in a forward
    module: str  # the qualified name of the innermost module that runs there, "" for the model itself
    kind: str  # the module's class, or the function
    file: str  # the file of the user's code that makes the call
    line: int
    p: float | None  # configured: the probability that a unit is dropped; None where the place does not say
    measured: float | None  # the share of units that were dropped in training; None where nothing can be counted
    shape: tuple[int, ...]  # of the tensor that the noise acts on
    shared: tuple[int, ...]  # the axes of `shape` along which one draw is shared
    train_calls: int  # how often it drew noise in one forward pass in training mode
    eval_calls: int  # how often it drew noise in one forward pass in evaluation mode
    share: float | None  # the share of a training pass's time that its noise takes; None where it was not measured
    mode: str = ""  # the mode that its module was in before the inspection, "train" or "eval"; "" where it has none
    now: bool | None = (
        None  # whether it drew noise in the model's modes as they were; None where that was not looked at
    )

    @property
    def where(self) -> Where:
        return Where(self.module, self.kind, self.file, self.line)

    @property
    def active(self) -> str:
        """When it draws: "train", "eval", "both" or "never"."""
        return ("never", "train", "eval", "both")[bool(self.train_calls) + 2 * bool(self.eval_calls)]

    @property
    def follows_mode(self) -> bool:
        """Whether it draws in training mode and not in evaluation mode."""
        return self.active == "train"

    @property
    def remark(self) -> str:
        """What stands out: noise in evaluation, or a p that has no effect; "" for a place as it should be."""
        if self.eval_calls:
            return "draws in eval mode"
        if self.p and not self.train_calls:
            return "configured, never ran"
        return ""

    def row(self) -> dict[str, Any]:
        """All fields and properties, as plain values."""
        return {**asdict(self), "active": self.active, "follows_mode": self.follows_mode, "remark": self.remark}
