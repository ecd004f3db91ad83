"""Which layer is called on which one's result, by the statements of a function, in their order."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from .by_name import assigned
from .calls import argument
from .layer_names import MODEL, acts_as, layer_name
from .layer_use import LayerUse
from .source_file import Function, SourceFile, dotted

Known = dict[str, LayerUse | None]  # the layer whose result a name holds


class FollowedLayers:
    """The layers that a function, or the file itself, calls on values.

    Of a branch or a loop the layers are found; a name that gets a value there is not known behind it.
    """

    def __init__(self, file: SourceFile, scope: Function | ast.Module) -> None:
        self._file = file
        self.found: list[LayerUse] = []
        self.returned: list[LayerUse] = []
        self.outputs: list[tuple[LayerUse, ast.Call]] = []  # what a `keras.Model(inputs, outputs)` gives
        self._block(scope.body, {})

    def _block(self, statements: list[ast.stmt], known: Known) -> None:
        for statement in statements:
            match statement:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    pass
                case ast.Assign(targets=targets, value=value):
                    self._assign(targets, value, known)
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    self._assign([target], value, known)
                case ast.Return(value=ast.expr() as value):
                    layer = self._result(value, known)
                    self.returned += [layer] if layer is not None else []
                case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                    self._take([item.context_expr for item in items], known)
                    _forget(known, (item.optional_vars for item in items))
                    self._block(body, known)
                case ast.If(test=test, body=body, orelse=other):
                    self._take([test], known)
                    self._branches([body, other], known)
                case ast.For() | ast.AsyncFor() | ast.While():
                    self._take([statement.test if isinstance(statement, ast.While) else statement.iter], known)
                    _forget(known, [statement])  # in the second round a name has what the first one gave it
                    self._branches([statement.body, statement.orelse], known)
                case ast.Try(body=body, handlers=handlers, orelse=other, finalbody=final):
                    self._branches([body, *(handler.body for handler in handlers), other, final], known)
                case _:
                    self._take([statement], known)
                    _forget(known, [statement])

    def _branches(self, bodies: list[list[ast.stmt]], known: Known) -> None:
        for body in bodies:
            self._block(body, dict(known))
        for body in bodies:
            if not (body and isinstance(body[-1], ast.Return | ast.Raise)):
                _forget(known, body)

    def _assign(self, targets: list[ast.expr], value: ast.expr, known: Known) -> None:
        layer = self._result(value, known)
        for target in targets:
            _forget(known, [target])
            if isinstance(target, ast.Name):
                known[target.id] = layer
            elif layer is not None:
                layer.elsewhere = True

    def _result(self, value: ast.expr, known: Known) -> LayerUse | None:
        """The layer whose result a value is."""
        if isinstance(value, ast.Name):
            return known.get(value.id)
        if isinstance(value, ast.Call):
            return self._called(value, known)
        self._take([value], known)
        return None

    def _called(self, call: ast.Call, known: Known) -> LayerUse | None:
        made = constructor(self._file, call.func)
        name = layer_name(self._file, made)
        if made is not None and name is not None and call.args:
            layer, given = LayerUse(made, name, use=call), call.args[0]
        elif (function := acts_as(self._file, call)) is not None:
            layer, given = LayerUse(call, function[0], use=call), function[1]
        else:
            self._unknown(call, known)
            return None
        before = self._result(given, known)
        self._take([*(part for part in call.args if part is not given), *call.keywords], known)
        if before is not None:
            layer.follow(before)
        elif layer.made is call:
            return None  # a function of something else
        self.found.append(layer)
        return layer

    def _unknown(self, call: ast.Call, known: Known) -> None:
        """Follow a call of something else. What it is given goes elsewhere, if it is no model's output."""
        outputs: list[ast.expr] = []
        if MODEL.match(self._file.resolve(call.func) or ""):
            given = argument(call, 1, ("outputs",))
            outputs = given.elts if isinstance(given, ast.List | ast.Tuple) else [given] if given is not None else []
        for output in outputs:
            layer = self._result(output, known)
            if layer is not None:
                self.outputs.append((layer, call))
        if not outputs:
            self._take(ast.iter_child_nodes(call), known)

    def _take(self, nodes: Iterable[ast.AST], known: Known) -> None:
        """Follow what is inside of other expressions. What they take of layers goes elsewhere."""
        left = [*nodes]
        while left:
            node = left.pop()
            layer = None
            if isinstance(node, ast.Name):
                layer = known.get(node.id)
            elif isinstance(node, ast.Call):
                layer = self._called(node, known)
            else:
                left += ast.iter_child_nodes(node)
            if layer is not None:
                layer.elsewhere = True


def _forget(known: Known, nodes: Iterable[ast.AST | None]) -> None:
    for node in nodes:
        for part in ast.walk(node) if node is not None else ():
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store | ast.Del):
                known[part.id] = None


def constructor(file: SourceFile, function: ast.expr) -> ast.Call | None:
    """The call that built the layer that is called: `Dense(4)` of `Dense(4)(x)`, or what is assigned to its name."""
    if isinstance(function, ast.Call):
        return function
    name, around = dotted(function) or "", file.method(function)
    if name.startswith("self."):
        places: list[ast.AST] = [around[0]] if around is not None else []
    else:
        inner = file.function(function)
        places = [*([inner] if inner is not None else []), file.tree] if isinstance(function, ast.Name) else []
    for place in places:
        given = assigned(file, place).get(name, [])
        if given:
            return given[0] if len(given) == 1 and isinstance(given[0], ast.Call) else None
    return None
