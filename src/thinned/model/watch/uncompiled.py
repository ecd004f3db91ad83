"""Functions that torch.compile leaves alone, with what they call: a graph ends before them.

As `torch.compiler.disable`, which would load torch's compiler where it is written: 1 s more for every import of a tool.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..._torch import makes_no_graph

_Function = TypeVar("_Function", bound=Callable[..., Any])


def uncompiled(function: _Function) -> _Function:
    """Mark a function that is never compiled."""
    function._torchdynamo_disable = True  # type: ignore[attr-defined]
    return makes_no_graph(function, nor_below=True)
