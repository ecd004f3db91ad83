"""Compiled code run uncompiled, so that every call of torch is seen."""

from __future__ import annotations

import contextlib
from typing import Any

import torch

from ..._torch import compiler_loaded


def eager() -> contextlib.AbstractContextManager[Any]:
    """A context manager in which compiled models run uncompiled.

    Where the compiler is not loaded, nothing is compiled, and it is not loaded for this.
    """
    return torch.compiler.set_stance("force_eager") if compiler_loaded() else contextlib.nullcontext()
