"""How noise meets a tensor: keys, and the two operators that every layer is made of."""

from .call import check_floating, drop, gaussian
from .key import as_key, draw_key

__all__ = ["as_key", "check_floating", "draw_key", "drop", "gaussian"]
