"""A model as it was: its modes, its buffers and every generator of random numbers, whatever runs in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from ..ops import placed
from . import generators

Module = torch.nn.Module


@contextmanager
def untouched(owner: str, model: Module) -> Iterator[None]:
    """Run what is inside the `with`, then put everything back, bit for bit, after an exception too.

    Put back: every module's `training`, every buffer (the same tensors with the same values), the states of torch's CPU
    and GPU generators, of `random` and of `numpy.random`, and where the model's sites are in an active stream. What a
    forward pass writes into plain attributes stays.

    Raises:
        TypeError: `model` is no module.
        ValueError: a lazy module that has not seen an input yet, which a forward pass would change for good.
    """
    if not isinstance(model, Module):
        raise TypeError(f"`{owner}`: `model` must be a torch.nn.Module. Got {type(model).__name__}. Pass the module.")
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
            raise ValueError(
                f"`{owner}`: `model` must have its parameters. Got {name!r}, which a lazy module makes at its first "
                "call. Run the model once first."
            )
    modules = list(model.modules())
    modes = [module.training for module in modules]
    buffers = [(module, dict(module._buffers)) for module in modules if module._buffers]
    values = {
        id(tensor): tensor.detach().clone() for _, own in buffers for tensor in own.values() if tensor is not None
    }
    with ExitStack() as stack:
        stack.enter_context(generators.kept())
        stack.enter_context(_outside_streams(modules))
        try:
            yield
        finally:
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode
            for module, own in buffers:
                module._buffers.clear()
                module._buffers.update(own)
                for kept in own.values():
                    if kept is not None:
                        _put_back(kept, values[id(kept)])


def _put_back(tensor: Tensor, value: Tensor) -> None:
    if tensor.shape == value.shape and tensor.equal(value):
        return  # left alone: a graph may have saved it
    with torch.no_grad():
        if tensor.shape != value.shape:
            tensor.resize_(value.shape)
        tensor.copy_(value)


@contextmanager
def _outside_streams(modules: list[Module]) -> Iterator[None]:
    """Let the layers draw outside of any stream, whose calls would count."""
    seats = [
        (module, {name: value for name, value in module.__dict__.items() if name.startswith("_seat")})
        for module in modules
    ]
    ambient, placed.ambient = placed.ambient, None
    for module, own in seats:
        for name in own:
            del module.__dict__[name]
    try:
        yield
    finally:
        placed.ambient = ambient
        for module, own in seats:
            module.__dict__.update(own)
