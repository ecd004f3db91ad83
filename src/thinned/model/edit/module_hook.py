"""Hooks that run a dropout on a module's output or input. They are copied and pickled with the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

Module = torch.nn.Module


class OutputHook:
    """A forward hook: runs a dropout on the module's output, or on the first tensor of a tuple or list."""

    def __init__(self, drop: Module, place: str) -> None:
        self.drop, self.place = drop, place

    def __call__(self, module: Module, inputs: Any, output: Any) -> Any:
        return dropped(self.drop, self.place, output)


class InputHook:
    """A forward pre-hook: runs a dropout on the module's first tensor, a positional argument or a named one."""

    def __init__(self, drop: Module, place: str) -> None:
        self.drop, self.place = drop, place

    def __call__(self, module: Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        return given(self.drop, self.place, args, kwargs)


def dropped(drop: Module, place: str, value: Any) -> Any:
    """The value, with dropout applied to its first tensor.

    Raises:
        TypeError: the value is no tensor, and no tuple or list with one.
    """
    if isinstance(value, (Tensor, PackedSequence)):
        return drop(value)
    if isinstance(value, (tuple, list)):
        for at, item in enumerate(value):
            if isinstance(item, (Tensor, PackedSequence)):
                changed = [*value[:at], drop(item), *value[at + 1 :]]
                return type(value)(*changed) if hasattr(value, "_fields") else type(value)(changed)
    raise TypeError(
        f"`apply`: the place {place!r} must hold a tensor, or a tuple or list with one. Got {type(value).__name__}. "
        "Put the dropout on a module inside, or on the input of what reads it."
    )


def given(drop: Module, place: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """A call's arguments, with dropout applied to the first tensor.

    Raises:
        TypeError: no argument is a tensor.
    """
    for at, value in enumerate(args):
        if isinstance(value, (Tensor, PackedSequence)):
            return (*args[:at], drop(value), *args[at + 1 :]), kwargs
    for name, value in kwargs.items():
        if isinstance(value, (Tensor, PackedSequence)):
            return args, {**kwargs, name: drop(value)}
    raise TypeError(
        f"`apply`: the place {place!r} must be given a tensor. Got {[type(value).__name__ for value in args]}. "
        "Put the dropout on the output of what comes before."
    )
