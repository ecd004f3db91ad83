"""How noise meets a tensor: keys, and the two operators that every layer is made of."""

from .call import check_floating, drop, gaussian
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
