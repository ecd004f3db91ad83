"""Which layer of Keras or Flax follows which in source code: in `Sequential`, by `add`, and where layers are called."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from .by_name import calls_by_name
from .calls import argument
from .followed_layers import FollowedLayers
from .layer_names import SEQUENTIAL, acts_as, layer_name
from .layer_use import LayerChain, LayerUse
from .network_classes import class_that_calls, instances, is_part, model_names
from .remembered import remembered
from .source_file import SourceFile, dotted


@remembered
def networks(file: SourceFile) -> tuple[LayerChain, ...]:
    """Every `Sequential`, and the layers that are called on each other's results."""
    return (*_sequential(file), *_called(file)) if file.says("keras", "flax") else ()


@remembered
def applied(file: SourceFile) -> tuple[LayerUse, ...]:
    """Every layer of every network."""
    return tuple(layer for network in networks(file) for layer in network.layers if layer is not None)


def trained(file: SourceFile, network: LayerChain) -> bool:
    """Whether the file trains the network by its name: then it is a model, not a part of one."""
    calls = calls_by_name(file, file.tree)
    optimizers = (*calls.get(".Optimizer", []), *calls.get(".ModelAndOptimizer", []))
    of_nnx = {dotted(call.args[0]) for call in optimizers if call.args}
    applied_by = {dotted(node) for node in file.index.within(file.tree, (ast.Attribute, "apply"))}
    return any(
        any(f"{name}.{method}" in calls for method in ("compile", "fit", "evaluate"))
        or name in of_nnx
        or (f"{name}.apply" in applied_by and file.says("optax"))
        for name in network.called
    )


def _sequential(file: SourceFile) -> Iterator[LayerChain]:
    for call, name in file.calls:
        if not SEQUENTIAL.match(name):
            continue
        given = argument(call, 0, ("layers",))
        parts = call.args if "nnx" in name else given.elts if isinstance(given, ast.List | ast.Tuple) else []
        if given is not None and not parts:
            continue
        layers = [_known(file, value) for value in parts]
        called = model_names(file, call)
        added = [_known(file, value) for name in called[:1] for value in _added(file, call, name)]
        yield LayerChain(_linked(layers + added), called, True)


def _known(file: SourceFile, value: ast.expr | None) -> LayerUse | None:
    """The layer that stands in a `Sequential`: a call that builds it, or a function."""
    if isinstance(value, ast.Call):
        name = layer_name(file, value)
        return LayerUse(value, name) if name else None
    function = acts_as(file, ast.Call(value, [value], [])) if isinstance(value, ast.Name | ast.Attribute) else None
    return LayerUse(ast.Call(value, [], []), function[0]) if function is not None and value is not None else None


def _linked(layers: list[LayerUse | None]) -> tuple[LayerUse | None, ...]:
    for first, second in pairwise(layers):
        if first is not None and second is not None:
            second.follow(first)
    return tuple(layers)


def _added(file: SourceFile, call: ast.Call, called: str) -> Iterator[ast.expr | None]:
    """What `add` puts behind, in the block of the constructor; in a loop or a branch it is not known."""
    scope: ast.AST = file.function(call) or file.tree
    for node in calls_by_name(file, scope).get(f"{called}.add", []):
        if node.args and file.position(node) > file.position(call):
            inner = next((above for above in file.above(node) if isinstance(above, ast.For | ast.While | ast.If)), None)
            outside = inner is None or any(above is inner for above in file.above(call))
            yield node.args[0] if outside else None


def _called(file: SourceFile) -> Iterator[LayerChain]:
    """Each layer that is called; and those whose result is a model's once more, with the names of the model."""
    for scope in (file.tree, *file.functions):
        layers = FollowedLayers(file, scope)
        yield from (LayerChain((layer,)) for layer in layers.found)
        yield from (LayerChain((layer,), model_names(file, model), True) for layer, model in layers.outputs)
        cls = class_that_calls(file, scope) if layers.returned else None
        if cls is not None and not is_part(file, cls):
            names = instances(file, cls.name)
            yield from (LayerChain((layer,), names, True) for layer in layers.returned)
