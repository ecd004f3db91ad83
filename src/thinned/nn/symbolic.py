"""Layers and functions met by `torch.fx`: each becomes one node of the graph, as torch's own do.

While `torch.fx.symbolic_trace` runs a model, values are proxies. A layer that meets one becomes a `call_module` node:
the traced model holds the layer itself, which follows `train()` and `eval()`. A function becomes a `call_function` node
with the arguments of the call. `training` is among them, so it is a constant of the graph, as for torch's functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile
from typing import Any

import torch
from torch.fx import Proxy

_OURS = __package__


def function_node(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """The node of a call of a function with these arguments, of which at least one is a proxy.

    Arguments:
        function: the public function that was called.
        arguments: all its arguments by name, tensors first.
    """
    positional = tuple(takewhile(lambda value: isinstance(value, Proxy | torch.Tensor), arguments.values()))
    named = dict(list(arguments.items())[len(positional) :])
    return _tracer(positional).create_proxy("call_function", function, positional, named)


def module_node(layer: torch.nn.Module, *inputs: Any, **named: Any) -> Any:
    """The node of a call of a layer. `named` are its further arguments, of which None are left out.

    Raises:
        TypeError: the layer can't be a node: it is the whole of the traced model, or its class has a forward of its
            own or it has hooks, which the traced model would run twice.
    """
    name, tracer = type(layer).__name__, _tracer([*inputs, *named.values()])
    hindrance = ""
    if not type(layer).forward.__module__.startswith(_OURS):
        hindrance = "a class with a forward of its own"
    elif layer._forward_hooks or layer._forward_pre_hooks:
        hindrance = "a layer with hooks"
    elif not hasattr(tracer, "path_of_module"):
        hindrance = f"a {type(tracer).__name__}, which knows no modules"
    elif layer is getattr(tracer, "root", None):
        hindrance = "the layer as the whole model; torch.nn.Sequential(layer) is one that can be traced"
    if hindrance:
        raise TypeError(
            f"`{name}`: torch.fx must be able to make the layer a node of the graph. Got {hindrance}. "
            "Make it a leaf of the torch.fx.Tracer, by is_leaf_module."
        )
    given = {key: value for key, value in named.items() if value is not None}
    return tracer.create_proxy("call_module", tracer.path_of_module(layer), inputs, given)


def _tracer(values: Iterable[Any]) -> Any:
    return next(value.tracer for value in values if isinstance(value, Proxy))
