"""How noise meets a tensor: keys, and the two operators that every layer is made of."""

from .call import check_floating, drop, gaussian
from .key import as_key, draw_key
from .law import Rate, as_rate, is_zero, realised

__all__ = ["Rate", "as_key", "as_rate", "check_floating", "draw_key", "drop", "gaussian", "is_zero", "realised"]
