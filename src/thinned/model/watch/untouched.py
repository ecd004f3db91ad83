"""`untouched`: a context manager that puts a model's modes and buffers back at its end, with noise of its own."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from ..._torch import is_wrapped
from ...forked import undone
from ...frameworks import refuse_other_frameworks
from ...nn.names import named_modules
from ...nn.site import stream_attributes
from ...ops import placed
from .callsite import tool
from .eager import eager
from .private_noise import private_noise
from .torch_modes import no_mode_left

Module = torch.nn.Module

_TORCHS = set(vars(Module()))  # attributes of every module: modes and buffers are put back separately


def check_module(owner: str, model: Any) -> None:
    if "keras" in sys.modules or not isinstance(model, Module):
        refuse_other_frameworks(owner, model)
    if not isinstance(model, Module):
        raise TypeError(f"`{owner}`: `model` must be a torch.nn.Module. Got {type(model).__name__}. Pass the module.")


def check_ready(owner: str, model: Any) -> None:
    """Check that `model` is a module whose parameters are there: its first forward pass changes it no more."""
    check_module(owner, model)
    named = [*named_modules(model)]
    tensors = (
        (f"{name}.{own}" if name else own, tensor)
        for name, module in named
        for own, tensor in (*module._parameters.items(), *module._buffers.items())
    )
    for name, tensor in tensors:
        if isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
            raise ValueError(
                f"`{owner}`: `model` must have its parameters. Got {name!r}, which a lazy module makes at its first "
                "call. Run the model once first."
            )


@contextmanager
def untouched(owner: str, model: Module, *, generators: bool = True) -> Iterator[None]:
    """Run the body of the `with` uncompiled, then put everything back, bit for bit, after an exception too.

    Put back are every module's `training`, every buffer (the same tensors with the same values), and the connection of
    sites to an active stream. Other values that a forward pass writes into plain attributes stay, with one exception: a
    tensor of a `torch.func` transform is of no use after the transform. So an attribute that holds such a tensor,
    directly or in a list, tuple or dictionary, gets its former value back.

    With `generators`, this thread draws from private noise, so that no generator of the process is moved or put back.
    Another thread sees the model's changes while they last; `stood_in` spares it them.

    Raises:
        TypeError: `model` is no module.
        ValueError: a lazy module that has not seen an input yet, which a forward pass would change for good.
    """
    check_ready(owner, model)
    modules = [module for _, module in named_modules(model)]
    modes = [module.training for module in modules]
    buffers = [(module, dict(module._buffers)) for module in modules if module._buffers]
    attributes = [_attributes(module) for module in modules]
    values = {
        id(tensor): tensor.detach().clone() for _, own in buffers for tensor in own.values() if tensor is not None
    }

    def put_back() -> None:
        for module, mode in zip(modules, modes, strict=True):
            if module.training != mode:
                module.training = mode
        for module, own in buffers:
            module._buffers.clear()
            module._buffers.update(own)
            for kept in own.values():
                if kept is not None:
                    _put_back(kept, values[id(kept)])
        for module, attribute in zip(modules, attributes, strict=True):
            _without_dead(module, attribute)

    with ExitStack() as stack:
        stack.enter_context(undone(put_back))
        stack.enter_context(no_mode_left())
        stack.enter_context(tool())
        stack.enter_context(eager())
        if generators:
            stack.enter_context(stack.enter_context(private_noise(model, own=False)).given())
        stack.enter_context(_outside_streams(modules))
        yield


def _attributes(module: Module) -> dict[str, tuple[Any, Any]]:
    """By name, a module's plain attributes: the value, and a shallow copy of it if it is a list or a dictionary."""
    return {
        name: (value, value.copy() if type(value) in (list, dict) else None)
        for name, value in [*vars(module).items()]
        if name not in _TORCHS
    }


def _without_dead(module: Module, before: dict[str, tuple[Any, Any]]) -> None:
    """Put back each attribute that holds a tensor of a transform and has changed since `before`."""
    own = vars(module)
    for name in [name for name in own if name not in _TORCHS]:
        value, (kept, inside) = own[name], before.get(name, (None, None))
        if value is kept and (inside is None or _same(value, inside)):
            continue
        if not _dead(value):
            continue
        if name not in before:
            del own[name]
            continue
        own[name] = kept
        if type(kept) is list:
            kept[:] = inside
        elif type(kept) is dict:
            kept.clear()
            kept.update(inside)


def _dead(value: Any, depth: int = 3) -> bool:
    """Whether a value is a tensor of a `torch.func` transform, or contains one, up to a depth."""
    if isinstance(value, Tensor):
        return is_wrapped(value)
    if not depth or not isinstance(value, (list, tuple, dict)):
        return False
    return any(_dead(inner, depth - 1) for inner in (value.values() if isinstance(value, dict) else value))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        one, other = [*one, *one.values()], [*other, *other.values()]
    return len(one) == len(other) and all(map(operator.is_, one, other))


def _put_back(tensor: Tensor, value: Tensor) -> None:
    if tensor.shape == value.shape and tensor.equal(value):
        return  # not written to: autograd may have saved it
    with torch.no_grad():
        if tensor.shape != value.shape:
            tensor.resize_(value.shape)
        tensor.copy_(value)


@contextmanager
def _outside_streams(modules: list[Module]) -> Iterator[None]:
    """Let the layers draw outside of an active stream, which would count their calls."""
    streams = [(module, stream_attributes(module)) for module in modules]

    def put_back() -> None:
        for module, own in streams:
            module.__dict__.update(own)

    with placed.outside_streams(), undone(put_back):
        for module, own in streams:
            for name in own:
                del module.__dict__[name]
        yield
