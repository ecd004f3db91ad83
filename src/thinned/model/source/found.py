"""What reading a forward finds: a call that drops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..known.functions import FUNCTIONS
from ..known.where import Where
from .value import Known

# The functions whose p is an argument of the call that people write.
CALLS = frozenset(FUNCTIONS) - {"stochastic_depth", "lstm", "gru", "rnn_tanh", "rnn_relu"}


@dataclass(frozen=True, slots=True)
class Reading:
    """A call that drops, as the source has it."""

    where: Where  # seen from the module whose forward it is: its own `module` is ""
    p: Any  # Known, or UNKNOWN
    built: str = ""  # the class of a module made in the forward

    @property
    def mask(self) -> bool:
        """Whether it is a mask made by hand, which no argument of p belongs to."""
        return self.where.function not in FUNCTIONS

    @property
    def holder(self) -> Known | None:
        """The attribute that p is read from."""
        return self.p if isinstance(self.p, Known) and self.p.held else None

    @property
    def number(self) -> float | None:
        return self.p.number if isinstance(self.p, Known) else None
