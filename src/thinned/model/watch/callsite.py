"""Where in the user's code a call of torch was made.

Three kinds of frames of ours lie between a call and the user's code, and none of them is known by a file's name. Frames
of this package are skipped. A mode hands calls on: its method is marked `transparent`. The function that runs the
user's model is marked `outermost`: what called it does not belong to the forward pass.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

import torch

from ... import noise, ops

_Function = TypeVar("_Function", bound=Callable[..., Any])

_TRANSPARENT: set[CodeType] = set()
_OUTERMOST: set[CodeType] = set()

_OURS = __name__.partition(".")[0]
_PLUMBING = tuple(f"{package.__name__}." for package in (ops, noise))
# torch's own models, whose lines say more than the user's line that calls them.
_TRANSFORMER = torch.nn.modules.transformer.__name__
_CONTAINER = torch.nn.modules.container.__name__


def transparent(function: _Function) -> _Function:
    """Mark a mode's method: a call that it hands on is made by whoever called the method."""
    _TRANSPARENT.add(function.__code__)
    return function


def outermost(function: _Function) -> _Function:
    """Mark a function that runs the user's model: a forward pass ends there."""
    _OUTERMOST.add(function.__code__)
    return function


def callsite(frame: FrameType | None) -> tuple[str, int]:
    """The file and line of the first frame that is the user's, or torch's where torch is the model; else ("", 0)."""
    fallback = ("", 0)
    while frame is not None and frame.f_code not in _OUTERMOST:
        module = frame.f_globals.get("__name__") or ""
        file = frame.f_code.co_filename
        if module == _TRANSFORMER:
            return file, frame.f_lineno
        if module == _CONTAINER:
            fallback = fallback if fallback[0] else (file, frame.f_lineno)
        elif module.partition(".")[0] not in (_OURS, "torch") and not file.startswith("<"):
            return file, frame.f_lineno
        frame = frame.f_back
    return fallback


def is_plumbing(frame: FrameType | None) -> bool:
    """Whether the call serves our own operators: keys, and tables of numbers."""
    while frame is not None and frame.f_code in _TRANSPARENT:
        frame = frame.f_back
    return frame is not None and (frame.f_globals.get("__name__") or "").startswith(_PLUMBING)


def caller(depth: int) -> FrameType:
    """The frame `depth` calls up from the caller's own."""
    return sys._getframe(depth + 1)
