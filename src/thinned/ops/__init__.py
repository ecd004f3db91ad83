"""How is noise applied to a tensor? Keys, rates, and the operators `drop` and `gaussian` that the layers use."""

from .call import drop, gaussian
from .input import check_floating
from .key import as_key, draw_key
from .rate import Rate, as_rate, deviation, is_zero, realised, tracing

__all__ = [
    "Rate",
    "as_key",
    "as_rate",
    "check_floating",
    "deviation",
    "draw_key",
    "drop",
    "gaussian",
    "is_zero",
    "realised",
    "tracing",
]
