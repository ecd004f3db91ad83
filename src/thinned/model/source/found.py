"""`Reading`: a call that drops, found by reading the source of a forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..known.functions import FUNCTIONS
from ..known.where import Where
from .value import Known

# The functions that users call themselves, with p as an argument.
CALLS = frozenset(FUNCTIONS) - {"stochastic_depth", "lstm", "gru", "rnn_tanh", "rnn_relu"}


@dataclass(frozen=True, slots=True)
class Reading:
    """A call that drops, as the source shows it.

    Line 12 of net.py is `F.dropout(x, self.rate)`, in the forward of a module `net` with `rate = 0.1`. Its reading is
    `Reading(Where("", "dropout", "net.py", 12), Known(0.1, net, "rate"))`.
    """

    where: Where  # its `module` is "": it stands for the module whose forward is read
    p: Any  # Known, or UNKNOWN
    built: str = ""  # the class of the dropout module that the forward builds and calls, such as "Dropout"; else ""

    @property
    def holder(self) -> Known | None:
        """The attribute that holds p, as a `Known`; None where no attribute holds it."""
        return self.p if isinstance(self.p, Known) and self.p.held else None

    @property
    def number(self) -> float | None:
        return self.p.number if isinstance(self.p, Known) else None
