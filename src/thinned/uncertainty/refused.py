"""Inputs and settings that `predict` can't take: told by name, before the model runs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..nn.names import named_modules

Module = torch.nn.Module


def check_input(value: Any) -> None:
    """Refuse a tensor whose rows can't be taken and repeated, wherever it stands in a model's arguments.

    Raises:
        TypeError: a packed sequence, or a nested, sparse or masked tensor, or of another class that computes by itself.
        ValueError: a tensor without numbers.
    """
    if isinstance(value, PackedSequence):
        raise TypeError(
            "`predict`: `x` must have rows on axis 0. Got a PackedSequence. Pass padded sequences and their lengths, "
            "and let the model's forward pack them."
        )
    if isinstance(value, (Mapping, tuple, list)):
        for inner in value.values() if isinstance(value, Mapping) else value:
            check_input(inner)
    elif isinstance(value, Tensor):
        _check_tensor(value)


def _check_tensor(x: Tensor) -> None:
    rule = "`predict`: `x` must hold plain tensors, with rows on axis 0."
    if x.is_nested:
        layout = "jagged" if x.layout == torch.jagged else "strided"
        raise TypeError(
            f"{rule} Got a nested tensor of layout torch.{layout}. Pass x.to_padded_tensor(0.0) and the lengths, or "
            "give its rows to a Predictor one by one: ask(row[None], first_row=number)."
        )
    if x.layout != torch.strided:
        dense = (
            "x.to_dense(), or let the model hold a matrix that belongs to no row, as the edges of a graph, in a buffer"
        )
        raise TypeError(f"{rule} Got a tensor of layout {x.layout}. Pass {dense}.")
    if x.is_meta:
        raise ValueError(f"{rule} Got one on the device meta, which has no numbers. Pass a tensor that holds them.")
    if computes_by_itself(x):
        raise TypeError(
            f"{rule} Got a {type(x).__name__}, whose class computes by itself. Pass a plain tensor of its values: "
            "get_data() of a masked tensor, full_tensor() of a DTensor."
        )


def computes_by_itself(x: Tensor) -> bool:
    """Whether a tensor is of a class that holds its numbers in its own way, such as a masked tensor or a DTensor."""
    return type(x).__torch_dispatch__ is not Tensor.__torch_dispatch__


def check_numbers_are_there(model: Module) -> None:
    """Refuse a model with a parameter or buffer on the device meta.

    Raises:
        ValueError: there is one.
    """
    for name, module in named_modules(model):
        for own, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None and tensor.is_meta:
                raise ValueError(
                    f"`predict`: `model` must have its parameters. Got {f'{name}.{own}' if name else own!r} on the "
                    "device meta, which has no numbers. Load them: model.to_empty(device='cpu'), then load_state_dict; "
                    "or load_state_dict(..., assign=True)."
                )


def check_device(device: Any) -> None:
    """Refuse what names no device, and the device meta.

    Raises:
        ValueError: such a text.
        TypeError: neither a device nor a text or number.
    """
    if device is None:
        return
    rule = (
        f"`predict`: `device` must be a device that holds numbers. Got {device!r}. Pass 'cpu', 'cuda', or leave it out."
    )
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise (TypeError if isinstance(error, TypeError) else ValueError)(rule) from None
    if found.type == "meta":
        raise ValueError(rule)


def check_flag(name: str, value: Any, *, absent: bool = False) -> None:
    """Refuse what is neither True nor False, nor None where `absent` allows it.

    Raises:
        TypeError: another value, such as a text.
    """
    if not (isinstance(value, bool) or (absent and value is None)):
        raise TypeError(f"`predict`: `{name}` must be True or False. Got {value!r}. Pass one of the two.")


def check_sites(sites: Any) -> None:
    """Refuse what is no pattern and no list of patterns.

    Raises:
        TypeError: another value.
    """
    if sites is None or isinstance(sites, str):
        return
    if not isinstance(sites, Collection) or not all(isinstance(name, str) for name in sites):
        raise TypeError(
            f"`predict`: `sites` must be a pattern or a list of patterns. Got {sites!r}. Pass names as thinned.inspect "
            "has them, such as 'encoder.*'."
        )


def checked_memory(value: Any) -> int:
    """The bytes that a chunk may take.

    Raises:
        TypeError: no number.
        ValueError: below 1, or not finite.
    """
    rule = f"`predict`: `memory` must be a number of bytes, 1 or more. Got {value!r}. Pass 2**28 for 256 MiB."
    if isinstance(value, bool) or (not hasattr(value, "__index__") and not isinstance(value, float)):
        raise TypeError(rule)
    if not (math.isfinite(value) and value >= 1):
        raise ValueError(rule)
    return int(min(value, 2**60))


def checked_levels(levels: Any, owner: str = "predict") -> tuple[float, ...]:
    """The levels of quantiles, as numbers.

    Raises:
        TypeError: no numbers.
        ValueError: one outside [0, 1].
    """
    rule = f"`{owner}`: `levels` must be in [0, 1]. Got {levels!r}. Pass (0.05, 0.95) for 90 %."
    try:
        found = None if isinstance(levels, str) else tuple(float(level) for level in levels)
    except (TypeError, ValueError):
        found = None
    if found is None:
        raise TypeError(rule)
    if not all(0.0 <= level <= 1.0 for level in found):
        raise ValueError(rule)
    return found
