"""One line of a plan: a place in the model, the dropout that goes there, its p and the reason."""

from __future__ import annotations

from dataclasses import dataclass

from ...nn.variants import VARIANTS
from ...noise import PROBABILITY, check
from ..edit.anchor import Anchor, anchor

SET = "set p"  # the variant of a line that sets p of a dropout that the model has
# The layers that take one tensor and give one of its shape: they can stand at any place.
LAYERS = tuple(row.name for row in VARIANTS if row.keyed and row.where in ("activation", "residual branch"))


@dataclass(frozen=True, slots=True)
class PlanLine:
    """One line of a plan.

    Example: `PlanLine("output of 1", "Dropout", 0.5)` is a new dropout on the output of the module `1`;
    `PlanLine("p of drop", "set p", 0.1)` sets the attribute `p` of the module `drop`.

    Raises:
        ValueError: a value that its field does not allow; the message says which.
        TypeError: p is no number.
    """

    where: str  # the text of an anchor, see `edit/anchor.py`
    variant: str  # a class of thinned.nn, or "set p"
    p: float  # the probability that a unit is dropped, to start with
    shape: tuple[int, ...] = ()  # of the tensor that it acts on, with the example
    reason: str = ""  # why dropout goes there
    source: str = ""  # the publication that says so
    enabled: bool = True  # whether `apply` uses the line
    batch_first: bool = False  # of LockedDropout: whether the batch is the first axis of the sequence

    def __post_init__(self) -> None:
        owner = f"plan, {self.where}"
        check(PROBABILITY, owner, "p", self.p)
        place = anchor(self.where)
        if place.is_rate != (self.variant == SET) or self.variant not in (SET, *LAYERS):
            fitting = repr(SET) if place.is_rate else f"one of {', '.join(LAYERS)}"
            raise ValueError(f"`{owner}`: `variant` must be {fitting}. Got {self.variant!r}.")
        if self.batch_first and self.variant != "LockedDropout":
            raise ValueError(
                f"`{owner}`: `batch_first` must be left out where the variant is not LockedDropout. Got {self.variant}."
            )

    @property
    def anchor(self) -> Anchor:
        return anchor(self.where)
