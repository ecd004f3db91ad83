"""Where in the user's code a call of torch was made.

Stack frames of ours lie between a call and the user's code. None of them is recognised by the name of a file:
- A frame of this package is recognised by the name of its module, and skipped.
- The method of a function mode is marked `transparent`: a call that it passes on belongs to the frame that called it.
- The function that runs the user's model is marked `outermost`: frames beyond it are not part of the forward pass.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, TypeVar

import torch

from ... import noise, ops

_Function = TypeVar("_Function", bound=Callable[..., Any])

_TRANSPARENT: set[CodeType] = set()
_OUTERMOST: set[CodeType] = set()

_OURS = __name__.partition(".")[0]
_PLUMBING = tuple(f"{package.__name__}." for package in (ops, noise))
# Modules of torch whose own lines say more than the user's line that calls the model.
_TRANSFORMER = torch.nn.modules.transformer.__name__
_GRAPH = "<eval_with_key>"  # the file of the code that torch.fx writes for a graph
_CONTAINER = torch.nn.modules.container.__name__


def transparent(function: _Function) -> _Function:
    """Mark a method of a function mode: a call that it passes on belongs to the frame that called the method."""
    _TRANSPARENT.add(function.__code__)
    return function


def outermost(function: _Function) -> _Function:
    """Mark a function that runs the user's model: the search for the user's frame ends there."""
    _OUTERMOST.add(function.__code__)
    return function


def ends_here(frame: FrameType) -> bool:
    """Whether a frame is that of a function marked `outermost`."""
    return frame.f_code in _OUTERMOST


def callsite(frame: FrameType | None) -> tuple[str, int]:
    """The file and line of the innermost frame of the user's code; ("", 0) where there is none.

    A frame in torch's transformer layers counts as the user's, and one in its containers, such as `Sequential`, where
    no other is found.
    """
    fallback = ("", 0)
    while frame is not None and frame.f_code not in _OUTERMOST:
        module = frame.f_globals.get("__name__") or ""
        file = frame.f_code.co_filename
        if module == _TRANSFORMER:
            return file, frame.f_lineno
        if module == _CONTAINER:
            fallback = fallback if fallback[0] else (file, frame.f_lineno)
        elif (module.partition(".")[0] not in (_OURS, "torch") and not file.startswith("<")) or file.startswith(_GRAPH):
            return file, frame.f_lineno
        frame = frame.f_back
    return fallback


class _Tools(threading.local):
    """How many tools of ours are at work on a model in this thread."""

    running = 0


_TOOLS = _Tools()


@contextmanager
def tool() -> Iterator[None]:
    """A context manager in which this thread works on a model as a tool of ours."""
    before = _TOOLS.running
    try:
        _TOOLS.running = before + 1
        yield
    finally:
        _TOOLS.running = before


def is_run_by_tool(frame: FrameType | None) -> bool:
    """Whether a tool of ours runs the model, which looks at noise itself.

    It is inside `untouched`, or it runs the model by a function that is marked `outermost`.
    """
    if _TOOLS.running:
        return True
    while frame is not None:
        if frame.f_code in _OUTERMOST:
            return True
        frame = frame.f_back
    return False


def is_plumbing(frame: FrameType | None) -> bool:
    """Whether a call is made by our own operators, to get a key or the numbers of a law, and not by the model."""
    while frame is not None and frame.f_code in _TRANSPARENT:
        frame = frame.f_back
    return frame is not None and (frame.f_globals.get("__name__") or "").startswith(_PLUMBING)


def caller(depth: int) -> FrameType:
    """The frame `depth` calls above the function that calls this one; at 0 the frame of that function."""
    return sys._getframe(depth + 1)
