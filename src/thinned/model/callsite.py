"""Where in the user's code a call of torch was made."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import FrameType

import torch

_TORCH = f"{Path(torch.__file__).parent}{os.sep}"  # not torchvision's
_OURS = str(Path(__file__).parents[1])
_PLUMBING = tuple(str(Path(_OURS) / folder) for folder in ("ops", "noise"))
# Modes of ours that hand a call on, and so stand between it and its caller.
_MODES = {str(Path(_OURS) / "model" / f"{name}.py") for name in ("call_hook", "override")}
# torch's own models, whose lines say more than the user's line that calls them.
_MODELS = tuple(f"{_TORCH}nn/modules/{name}.py" for name in ("transformer", "container"))
_SILENT = (_OURS, f"{_TORCH}nn/modules/module.py", f"{_TORCH}nn/functional.py", f"{_TORCH}overrides.py")


def callsite(frame: FrameType | None, end: str) -> tuple[str, int]:
    """The file and line of the first frame that is the user's, or torch's where torch is the model.

    `end` is the file at which the user's model was called; nothing beyond it belongs to the forward pass.
    """
    fallback = ("", 0)
    while frame is not None:
        file = frame.f_code.co_filename
        if file == end:
            break
        if file.startswith(_MODELS):
            fallback = fallback if fallback[0] else (file, frame.f_lineno)
            if file.endswith("transformer.py"):
                return file, frame.f_lineno
        elif not file.startswith((_TORCH, _OURS)) and not file.startswith("<"):
            return file, frame.f_lineno
        frame = frame.f_back
    return fallback


def is_plumbing(frame: FrameType | None) -> bool:
    """Whether the call serves our own operators: keys, and tables of numbers."""
    while frame is not None and frame.f_code.co_filename in _MODES:
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.startswith(_PLUMBING)


def caller(depth: int) -> FrameType:
    """The frame `depth` calls up from the caller's own."""
    return sys._getframe(depth + 1)
