"""Which Keras layer follows which in source code: in `Sequential`, by `add`, and where layers are called."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from .by_name import assigned, calls_by_name
from .calls import argument, number
from .remembered import remembered
from .source_file import Function, SourceFile, dotted

_LAYER = re.compile(r"^(?:tensorflow\.(?:python\.)?|tf_)?keras\.(?:api\.|src\.|_tf_keras\.)*layers\.(?:\w+\.)*(\w+)$")
_OURS = re.compile(r"^thinned\.interop\.keras\.(\w+)$")
_SEQUENTIAL = re.compile(r"^(?:tensorflow\.(?:python\.)?|tf_)?keras\.(?:\w+\.)*Sequential$")
MODEL = re.compile(r"^(?:tensorflow\.(?:python\.)?|tf_)?keras\.(?:\w+\.)*(?:Model|Functional)$")
ELEMENTWISE = {"Dropout", "AlphaDropout", "GaussianDropout"}
DROPOUTS = {*ELEMENTWISE, "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "LockedDropout"}
SHAPES = {"Flatten", "Reshape", "Permute", "RepeatVector"}
LINKS = {*SHAPES, "Activation", "Softmax"}


@dataclass
class LayerUse:
    """A layer at one place of a network."""

    made: ast.Call  # the call of the constructor
    name: str  # "Dense"
    before: LayerUse | None = None  # None at the start, and where the source does not say
    after: list[LayerUse] = field(default_factory=list)
    use: ast.AST | None = None  # the call on an input, if there is one

    def behind(self, through: set[str]) -> LayerUse | None:
        """The layer before it, behind layers of these names."""
        layer = self.before
        while layer is not None and layer.name in through:
            layer = layer.before
        return layer

    @property
    def draws(self) -> bool:
        """Whether it is a dropout whose rate is not 0."""
        return self.name in DROPOUTS and number(argument(self.made, 0, ("rate",))) != 0


@dataclass(frozen=True)
class LayerChain:
    """Layers in a row, and the names by which the file calls the model."""

    layers: tuple[LayerUse | None, ...]  # None is one that is not known
    called: str | None


def layer_name(file: SourceFile, call: ast.expr) -> str | None:
    """The name of the Keras layer that a call builds, ours in its place too: "Dropout"."""
    if not isinstance(call, ast.Call):
        return None
    name = file.resolve(call.func) or ""
    found = _LAYER.match(name) or _OURS.match(name)
    return found[1] if found else None


@remembered
def networks(file: SourceFile) -> tuple[LayerChain, ...]:
    """Every `Sequential`, and every chain of layers that are called on each other's results."""
    return (*_sequential(file), *_functional(file)) if file.says("keras") else ()


def applied(file: SourceFile) -> Iterator[LayerUse]:
    """Every layer of every network."""
    for network in networks(file):
        yield from (layer for layer in network.layers if layer is not None)


def trained(file: SourceFile, network: LayerChain) -> bool:
    """Whether the file compiles or fits the network by its name: then it is a model, not a part of one."""
    calls = calls_by_name(file, file.tree)
    return any(f"{network.called}.{method}" in calls for method in ("compile", "fit", "evaluate"))


def _linked(layers: list[LayerUse | None]) -> tuple[LayerUse | None, ...]:
    for first, second in pairwise(layers):
        if first is not None and second is not None:
            second.before = first
            first.after.append(second)
    return tuple(layers)


def _known(file: SourceFile, value: ast.expr) -> LayerUse | None:
    name = layer_name(file, value)
    return LayerUse(value, name) if name and isinstance(value, ast.Call) else None


def _sequential(file: SourceFile) -> Iterator[LayerChain]:
    for call, name in file.calls:
        if not _SEQUENTIAL.match(name):
            continue
        given = argument(call, 0, ("layers",))
        if given is not None and not isinstance(given, ast.List | ast.Tuple):
            continue
        layers = [_known(file, value) for value in (given.elts if given is not None else [])]
        called = _target(file, call)
        yield LayerChain(_linked(layers + (_added(file, call, called) if called else [])), called)


def _target(file: SourceFile, call: ast.Call) -> str | None:
    parent = next(file.above(call), None)
    if isinstance(parent, ast.Assign) and len(parent.targets) == 1:
        return dotted(parent.targets[0])
    return None


def _added(file: SourceFile, call: ast.Call, called: str) -> list[LayerUse | None]:
    """What `add` puts behind, in the block of the constructor; in a loop or a branch it is not known."""
    scope: ast.AST = file.function(call) or file.tree
    found: list[LayerUse | None] = []
    for node in calls_by_name(file, scope).get(f"{called}.add", []):
        if node.args and file.position(node) > file.position(call):
            inner = next((above for above in file.above(node) if isinstance(above, ast.For | ast.While | ast.If)), None)
            outside = inner is None or any(above is inner for above in file.above(call))
            found.append(_known(file, node.args[0]) if outside else None)
    return found


def _functional(file: SourceFile) -> Iterator[LayerChain]:
    for scope in (file.tree, *file.nodes(ast.FunctionDef)):
        by_name: dict[str, LayerUse | None] = {}
        found: list[LayerUse] = []
        for statement in _statements(scope):
            for value in (node for node in ast.iter_child_nodes(statement) if isinstance(node, ast.expr)):
                if not isinstance(statement, ast.Assign) or value is statement.value:
                    result = _result(file, value, by_name, found)
                    if isinstance(statement, ast.Assign):
                        for target in statement.targets:
                            by_name.update(dict.fromkeys(_names(target)))
                            if isinstance(target, ast.Name):
                                by_name[target.id] = result
        yield from (LayerChain((layer,), None) for layer in found)


def _statements(scope: ast.AST) -> Iterator[ast.stmt]:
    """The statements of a scope without those of functions in it; a branch or a loop counts as one that is unknown."""
    for statement in getattr(scope, "body", []):
        if not isinstance(statement, Function | ast.ClassDef):
            yield statement


def _names(target: ast.expr) -> Iterator[str]:
    return (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def _result(
    file: SourceFile, value: ast.expr, by_name: dict[str, LayerUse | None], found: list[LayerUse]
) -> LayerUse | None:
    """The layer whose result a value is."""
    if isinstance(value, ast.Name):
        return by_name.get(value.id)
    if not isinstance(value, ast.Call) or not value.args:
        return None
    made = constructor(file, value.func)
    before = _result(file, value.args[0], by_name, found)
    name = layer_name(file, made) if made is not None else None
    if made is None or name is None:
        return None
    layer = LayerUse(made, name, before, use=value)
    if before is not None:
        before.after.append(layer)
    found.append(layer)
    return layer


def constructor(file: SourceFile, function: ast.expr) -> ast.Call | None:
    """The call that built the layer that is called: `Dense(4)` of `Dense(4)(x)`, or what a class gives `self.dense`."""
    if isinstance(function, ast.Call):
        return function
    name, around = dotted(function) or "", file.method(function)
    if not name.startswith("self.") or around is None:
        return None
    given = assigned(file, around[0]).get(name, [])
    return given[0] if len(given) == 1 and isinstance(given[0], ast.Call) else None


def says_output(layer: LayerUse) -> bool:
    """Whether a layer makes probabilities: its own activation is softmax or sigmoid."""
    given = argument(layer.made, None, ("activation",))
    return isinstance(given, ast.Constant) and given.value in ("softmax", "sigmoid")
