"""Models whose noise depends on nothing but their settings and the shapes of their arguments, and what these are.

A forward written by a user may ask for anything: a global variable, the clock, the values in the rows. What torch's own
layers ask for is known. So of a model that is made of them alone one can tell whether it is what it was at an earlier
call.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import is_
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import nn as ours
from .._torch import any_global_hook, dispatch_modes, function_mode, innermost_transform

Module = torch.nn.Module

# Each row of their answer comes from the same row of their argument, as long as rows are on axis 0 of two or more.
_BY_ROWS: set[type[Module]] = {
    *(nn.Sequential, nn.Identity, nn.Linear, nn.PReLU, nn.GLU),
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign),
    *(nn.Tanh, nn.Tanhshrink, nn.Hardtanh, nn.Sigmoid, nn.LogSigmoid, nn.Hardsigmoid, nn.Hardswish),
    *(nn.Flatten, nn.Softmax, nn.LogSoftmax),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout),
    *(ours.Dropout, ours.Dropout1d, ours.Dropout2d, ours.Dropout3d, ours.AlphaDropout, ours.FeatureAlphaDropout),
    ours.GaussianDropout,
}
_CLASSES = {base for kind in _BY_ROWS for base in kind.__mro__}
_TENSORS = ("_parameters", "_buffers")
_LEFT_OUT = {"training", "_modules", "_p_data", *_TENSORS}
_PLAIN = (type(None), bool, int, float, str)
_code: tuple[object, list[Any]] = (object(), [])  # a name for the state of torch's code, and this state


def mark(model: Module, x: Any) -> Any:
    """What the noise of `model(x)` depends on, to compare with a later one; None for a model that may ask for more.

    It holds no module and no tensor.

    >>> net, x = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)), torch.ones(3, 2)
    >>> before = mark(net, x)
    >>> mark(net, x) == before
    True
    >>> net[1].p = 0.1
    >>> mark(net, x) == before
    False
    """
    if type(x) is not Tensor or x.layout is not torch.strided or x.ndim < 2:
        return None
    if not torch.amp.is_autocast_available(x.device.type):  # such as the device meta
        return None
    if any_global_hook() or dispatch_modes() or function_mode() or innermost_transform() is not None:
        return None
    found = list(_modules(model))
    kinds = {type(module) for module in found}
    if not kinds <= _BY_ROWS:
        return None
    rows = [_row(module) for module in found]
    if None in rows:
        return None
    device = x.device.type
    around = (
        (x.device, x.requires_grad, x.is_inference(), torch.is_inference_mode_enabled()),
        (torch.get_default_dtype(), torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)),
    )
    return rows, around, _code_now()


def _modules(model: Module) -> Iterator[Module]:
    """All modules, in the order of their names: one that has two names is there twice."""
    yield model
    if type(model) in _BY_ROWS:
        for child in model._modules.values():
            if child is not None:
                yield from _modules(child)


def _row(module: Module) -> Any:
    """What a module's noise, and the noise behind it, depends on; None where there is more than torch's settings."""
    own = vars(module)
    settings: list[Any] = []
    for name, value in own.items():
        if name in _LEFT_OUT or (isinstance(value, (dict, set)) and not value):  # tables of hooks, mostly
            continue
        plain = _plain(value)
        if plain is None or (name in ("start_dim", "dim") and not (isinstance(value, int) and _not_of_rows(value))):
            return None
        settings.append((name, *plain))
    for name in _TENSORS:
        for key, tensor in own[name].items():
            if tensor is not None and type(tensor) not in (Tensor, nn.Parameter):
                return None
            about = None if tensor is None else (tensor.dtype, tensor.device, tensor.layout, tuple(tensor.shape))
            settings.append((name, key, about))
    return ref(module), type(module), [(name, child is None) for name, child in own["_modules"].items()], settings


def _not_of_rows(axis: int) -> bool:
    return axis == -1 or axis > 0


def _plain(value: Any) -> tuple[Any, ...] | None:
    """A setting and its type, for 1 and True are equal; None for what may change by itself."""
    if type(value) in _PLAIN:
        return type(value), value
    if type(value) in (tuple, list) and all(type(each) in _PLAIN for each in value):
        return type(value), *((type(each), each) for each in value)
    return None


def _code_now() -> object:
    """A new name where somebody has put another function in the place of one of torch's."""
    global _code
    now = [value for owner in (functional, torch, *_CLASSES) for value in vars(owner).values()]
    name, before = _code
    if len(now) != len(before) or not all(map(is_, now, before)):
        name = object()
        _code = name, now
    return name
