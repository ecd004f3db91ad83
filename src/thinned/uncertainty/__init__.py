"""How sure the trained model is: Monte-Carlo prediction, scores and calibration. `thinned` re-exports the functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .selective import threshold as threshold


def __getattr__(name: str) -> Any:
    if name == "threshold":
        from .selective import threshold

        return threshold
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
