"""The stretches of a forward pass that somebody may run again in the backward pass, and which one is being run again.

A segment is known by an object that the forward pass and its repetition share:

- torch.utils.checkpoint, not reentrant: the checkpoint's frame. In the forward pass the saved-tensor hooks hold it; in
  the repetition, the Python frame of the hook that unpacks.
- an `autograd.Function`, and torch's reentrant checkpoint is one: its `ctx`. `forward` gets it as its first argument,
  and it is the node whose backward pass runs. (A `forward` without `ctx`, beside `setup_context`, cannot be told.)

None of that is torch's public interface. `require` says at once if this version of torch keeps it otherwise.
"""

from __future__ import annotations

import inspect
import sys
from functools import cache
from types import CodeType, FrameType
from typing import Any, NamedTuple

import torch
from torch.autograd.function import BackwardCFunction, Function
from torch.utils import checkpoint

from ..._torch import (
    CheckpointFrame,
    LackingName,
    checkpoint_hook,
    current_graph_task,
    forward_grad_enabled,
    pop_saved_hooks,
    push_saved_hooks,
    recomputation_hook,
    top_saved_hooks,
)


class Surroundings(NamedTuple):
    """The segments opened around a call, the one that is being repeated (None: none is known), and by which run.

    Within a repetition, only what was opened since it began.
    """

    opened: list[Any]
    repeated: Any
    run: object


def in_backward() -> bool:
    """Whether autograd's engine is running: what is called now repeats something."""
    return current_graph_task() >= 0


def plain() -> bool:
    """Whether nothing is about that could repeat the present call, or that it could be a repetition of."""
    return (
        current_graph_task() < 0
        and top_saved_hooks(True) is None
        # Off in the forward of an autograd.Function, unlike under no_grad. Off under inference_mode, too.
        and (forward_grad_enabled() or torch.is_inference_mode_enabled())
    )


def surroundings() -> Surroundings:
    hooked, repeating = _hooked()
    if not (repeating or in_backward() or not forward_grad_enabled()):
        return Surroundings(hooked, None, None)
    opened, repeated, run = _called(sys._getframe(1))
    return Surroundings(opened + hooked, repeated, run)


def repeats_in_order(segment: Any) -> bool:
    """Whether calls are repeated in their order: by torch's own checkpoint, which runs the same function again, and by
    an `autograd.Function` that says so, with an attribute of this function's name."""
    if isinstance(segment, CheckpointFrame):
        return True
    function = _function(segment)
    return function is checkpoint.CheckpointFunction or getattr(function, "repeats_in_order", False)


def _function(ctx: Any) -> type:
    kind: type = ctx._forward_cls
    return kind


def _called(frame: FrameType | None) -> Surroundings:
    """Up the Python stack, from the present call to the repetition that it is part of, if there is one."""
    codes = _codes()
    opened: list[Any] = []
    while frame is not None:
        code, caller = frame.f_code, frame.f_back
        if code is codes.backward:
            return Surroundings(opened, frame.f_locals["self"], current_graph_task())
        if code is codes.unpack:
            return Surroundings(opened, frame.f_locals["frame"], frame.f_locals["gid"])
        if caller is not None and caller.f_code is codes.forward:
            ctx = _first_argument(frame)
            # torch.compile's own function repeats parts of its graph, but never calls the layers again.
            if isinstance(ctx, BackwardCFunction) and _function(ctx).__name__ != "CompiledFunction":
                opened.append(ctx)
        frame = caller
    return Surroundings(opened, None, None)


def _first_argument(frame: FrameType) -> Any:
    code = frame.f_code
    names = code.co_varnames
    if code.co_argcount:
        return frame.f_locals.get(names[0])
    rest = frame.f_locals.get(names[code.co_kwonlyargcount]) if code.co_flags & inspect.CO_VARARGS else None
    return rest[0] if rest else None  # a decorator's `*args`


def _hooked() -> tuple[list[Any], bool]:
    """The checkpoints whose saved-tensor hooks are on torch's stack, down to a repetition's, and whether there is one.

    torch shows the top of the stack only, so all are taken off and put back.
    """
    pairs: list[Any] = []
    try:
        while (pair := top_saved_hooks(True)) is not None:
            pairs.append(pair)
            pop_saved_hooks()
    finally:
        for pair in reversed(pairs):
            push_saved_hooks(*pair)
    opened: list[Any] = []
    for pack, _ in pairs:
        function = inspect.unwrap(pack)  # torch wraps some of its hooks for torch.compile
        code = getattr(function, "__code__", None)
        if code is _codes().repack:
            return opened, True
        if code is _codes().pack:
            opened.append(function.__closure__[code.co_freevars.index("frame")].cell_contents)
    return opened, False


class _Codes(NamedTuple):
    pack: CodeType  # of a checkpoint's hook in the forward pass
    unpack: CodeType
    repack: CodeType  # of its hook in the repetition
    forward: CodeType  # calls an autograd.Function's forward
    backward: CodeType  # calls its backward


@cache
def _codes() -> _Codes:
    first, again = checkpoint_hook.__init__, recomputation_hook.__init__
    return _Codes(
        _inner(first, "pack_hook"),
        _inner(first, "unpack_hook"),
        _inner(again, "pack_hook"),
        Function.apply.__func__.__code__,  # type: ignore[attr-defined]
        BackwardCFunction.apply.__code__,
    )


def _inner(function: Any, name: str) -> CodeType:
    return next(part for part in function.__code__.co_consts if isinstance(part, CodeType) and part.co_name == name)


def require() -> None:
    """Raise a RuntimeError if this version of torch does not let recomputation be recognised."""
    try:
        codes = _codes()
        plain()
        _hooked()
        known = "frame" in codes.pack.co_freevars and "frame" in codes.unpack.co_freevars
        known = known and "gid" in codes.unpack.co_varnames and isinstance(CheckpointFrame, type)
    except (AttributeError, LackingName, StopIteration, TypeError):
        known = False
    if not known:
        raise RuntimeError(
            f"`stream`: torch must show which calls are recomputed. Got torch {torch.__version__}, which does so in "
            "another way than the versions that this one of thinned knows. Use a newer thinned, or pass key= to layers."
        )
