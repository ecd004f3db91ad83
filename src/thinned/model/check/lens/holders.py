"""Follows a model through a file: the names and attributes that hold it, and what each use does to its mode."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from .classes import acts_as_module, family
from .source_file import Function, SourceFile, arguments, dotted

# Methods and functions whose result is the model that they get.
MOVES = {
    "to",
    "cuda",
    "cpu",
    "float",
    "half",
    "double",
    "bfloat16",
    "type",
    "requires_grad_",
    "compile",
    "share_memory",
}
WRAPPERS = {
    *("torch.compile", "torch.nn.DataParallel", "torch.nn.parallel.DataParallel"),
    "torch.nn.parallel.DistributedDataParallel",
}
EXPORTS = {"torch.onnx.export", "torch.export.export", "torch.jit.trace"}
_WALKS = {"modules", "named_modules", "children", "named_children"}
_HARMLESS = {"load_state_dict", "state_dict", "parameters", "named_parameters", "buffers", "named_buffers"}
_HARMLESS |= {"zero_grad", "forward", "register_forward_hook", "register_forward_pre_hook", "get_parameter"}
_LOOKS = {"print", "len", "type", "id", "isinstance", "torch.save", "repr", "str"}
_MODES = {"eval", "train", "training"}
_PLAIN_BASES = {"object", "abc.ABC", "typing.Protocol", "typing.Generic", "ABC", "Protocol", "Generic"}


class HeldModel(NamedTuple):
    """A model that keeps the mode in which it was built, as far as the file shows.

    In `model = Net()`, `net = model.cuda()` and `y = net(x)`, the name is "model", and `runs` has the call of `net`.
    """

    name: str  # the first name that holds it: "model", "self.model"
    runs: list[ast.Call]  # its calls
    exports: list[ast.Call]  # the calls of exports that get it


def held(file: SourceFile, made: ast.expr, target: ast.expr, *, returned: bool = False) -> HeldModel | None:
    """Follow the model that a call makes and an assignment gives to a target.

    None if a name that holds it may hold another model too, or if a use may change the mode: a call of `eval` or
    `train`, a call of a function that gets the model, or code that this reading does not understand.
    """
    scopes, todo = {}, [target]
    while todo:
        name = dotted(holder := todo.pop())
        scope = _scope(file, holder)
        if name is None or scope is None:
            return None
        scopes[name] = scope
        for stored in _nodes(file, scope, name, ast.Store):
            value = _value(file, stored)
            core = None if value is None else peeled(file, value)
            nothing = isinstance(core, ast.Constant) and core.value is None
            if core is None or not (core is made or nothing or dotted(core) in scopes):
                return None
        for load in _nodes(file, scope, name, ast.Load):
            for alias in _targets(file, _whole(file, load)):
                if dotted(alias) not in (None, *scopes, *map(dotted, todo)):
                    todo.append(alias)
    found = HeldModel(dotted(target) or "", [], [])
    for name, scope in scopes.items():
        for load in _nodes(file, scope, name, ast.Load):
            returns = returned and isinstance(next(file.above(_whole(file, load))), ast.Return)
            if not returns and not _leaves_mode(file, load, scopes, found):
                return None
    return found


def peeled(file: SourceFile, value: ast.expr) -> ast.expr:
    """The expression that a chain of moves and wrappers begins with: `Net()` of `torch.compile(Net().cuda())`."""
    while isinstance(value, ast.Call):
        if file.resolve(value.func) in WRAPPERS and value.args:
            value = value.args[0]
        elif isinstance(value.func, ast.Attribute) and value.func.attr in MOVES:
            value = value.func.value
        else:
            break
    return value


def pairs(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The targets and values of an assignment; `a, b = f(), g()` has two."""
    if isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
        yield node.target, node.value
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            if (
                isinstance(target, ast.Tuple)
                and isinstance(node.value, ast.Tuple)
                and len(target.elts) == len(node.value.elts)
            ):
                yield from zip(target.elts, node.value.elts, strict=True)
            else:
                yield target, node.value


def _scope(file: SourceFile, holder: ast.expr) -> ast.AST | None:
    """Where a name is used: its function, the file, or a class. None for a name that cannot be followed."""
    if isinstance(holder, ast.Name):
        inner = next((above for above in file.above(holder) if isinstance(above, Function | ast.ClassDef)), None)
        if isinstance(inner, ast.ClassDef):
            return None
        wide = inner is None or any(
            isinstance(node, ast.Global | ast.Nonlocal) and holder.id in node.names for node in ast.walk(inner)
        )
        return file.tree if wide else inner
    found = file.method(holder)
    own = isinstance(holder, ast.Attribute) and dotted(holder) == f"self.{holder.attr}"
    return found[0] if own and found is not None and _is_service(file, found[0]) else None


def _is_service(file: SourceFile, cls: ast.ClassDef) -> bool:
    """Whether a class is no module, has only plain ancestors, and trains nothing: it holds models to use them."""
    for node in family(file, cls):
        if acts_as_module(file, node) or any(
            isinstance(part, ast.Attribute) and part.attr in ("backward", "optimizer") for part in ast.walk(node)
        ):
            return False
        for base in node.bases:
            name = file.resolve(base.value if isinstance(base, ast.Subscript) else base)
            if name not in _PLAIN_BASES and (name not in file.classes or name in file.aliases):
                return False
    return True


def _nodes(file: SourceFile, scope: ast.AST, name: str, context: type[ast.expr_context]) -> Iterator[ast.expr]:
    """The uses of a name in a scope. An attribute of a class is used everywhere, but not by `self` of other classes."""
    if not isinstance(scope, ast.ClassDef):
        for node in ast.walk(scope):
            if not isinstance(node, ast.Name) or node.id != name or not isinstance(node.ctx, context):
                continue
            if not _is_another(file, node, scope):
                yield node
        return
    for attribute in file.nodes(ast.Attribute):
        if f"self.{attribute.attr}" == name and isinstance(attribute.ctx, context):
            found = file.method(attribute)
            others = dotted(attribute) == name and found is not None and not _related(file, scope, found[0])
            if not others:
                yield attribute


def _is_another(file: SourceFile, node: ast.Name, scope: ast.AST) -> bool:
    """Whether a name belongs to a function inside a scope: an argument or a local variable of the same name."""
    for above in file.above(node):
        if above is scope:
            return False
        if isinstance(above, Function | ast.Lambda) and (
            node.id in {argument.arg for argument in arguments(above)}
            or (isinstance(above, Function) and _binds(above, node.id))
        ):
            return True
    return False


def _binds(function: Function, name: str) -> bool:
    """Whether a function assigns a local variable of this name."""
    nodes = list(ast.walk(function))
    shared = any(isinstance(node, ast.Global | ast.Nonlocal) and name in node.names for node in nodes)
    return not shared and any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store) for node in nodes
    )


def _related(file: SourceFile, one: ast.ClassDef, other: ast.ClassDef) -> bool:
    return one in family(file, other) or other in family(file, one)


def _value(file: SourceFile, stored: ast.expr) -> ast.expr | None:
    """The expression that an assignment gives to a name; None for assignments of other kinds, as by a loop."""
    for above in file.above(stored):
        if isinstance(above, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            return next((value for target, value in pairs(above) if target is stored), None)
        if not isinstance(above, ast.Tuple):
            return None
    return None


def _targets(file: SourceFile, value: ast.expr) -> list[ast.expr]:
    """What an assignment gives this expression to; empty where it is not the whole value of one."""
    for above in file.above(value):
        if isinstance(above, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            return [target for target, given in pairs(above) if given is value]
        if not isinstance(above, ast.Tuple):
            return []
    return []


def _whole(file: SourceFile, node: ast.expr) -> ast.expr:
    """The outermost expression around a model that has the same model as its value: `m.to(d)` for the `m` in it."""
    while True:
        parent = next(file.above(node))
        above = next(file.above(parent), None)
        if (
            isinstance(parent, ast.Attribute)
            and parent.attr in MOVES
            and isinstance(above, ast.Call)
            and above.func is parent
        ):
            node = above
        elif isinstance(parent, ast.Call) and parent.func is not node and file.resolve(parent.func) in WRAPPERS:
            node = parent
        else:
            return node


def _leaves_mode(file: SourceFile, load: ast.expr, names: dict[str, ast.AST], found: HeldModel) -> bool:
    """Whether a use certainly does not change the model's mode. Calls and exports are noted in `found`."""
    node = _whole(file, load)
    parent = next(file.above(node))
    if isinstance(parent, ast.Call):
        name = file.resolve(parent.func) or ""
        if parent.func is node:
            found.runs.append(parent)
        elif name in EXPORTS:
            found.exports.append(parent)
        return parent.func is node or name in _LOOKS or name in EXPORTS
    if isinstance(parent, ast.Attribute):
        call = next(file.above(parent), None)
        if parent.attr == "forward" and isinstance(call, ast.Call) and call.func is parent:
            found.runs.append(call)
        return _leaves_part(file, parent)
    targets = _targets(file, node)
    if targets:
        return all(dotted(target) in names for target in targets)
    return isinstance(
        parent, ast.Expr | ast.Compare | ast.BoolOp | ast.UnaryOp | ast.If | ast.IfExp | ast.Assert | ast.FormattedValue
    ) and not (isinstance(parent, ast.IfExp) and parent.test is not node)


def _leaves_part(file: SourceFile, part: ast.Attribute) -> bool:
    """Whether the use of a model's attribute, such as `model.fc` or `model.modules`, leaves the modes as they are."""
    node: ast.expr = part
    while True:
        parent = next(file.above(node))
        if isinstance(node, ast.Attribute):
            called = isinstance(parent, ast.Call) and parent.func is node
            if node.attr in _MODES and (called or node.attr != "training" or not isinstance(node.ctx, ast.Load)):
                return False
            if called and node.attr in _WALKS:
                return _only_looks(file, parent)
            if called:
                return node.attr in _HARMLESS or node is not part
        if not isinstance(parent, ast.Attribute | ast.Subscript) or parent.value is not node:
            break
        node = parent
    if isinstance(parent, ast.Call):
        return (file.resolve(parent.func) or "").startswith("torch.") or file.resolve(parent.func) in _LOOKS
    if isinstance(parent, ast.For | ast.comprehension):
        return _only_looks(file, node)
    targets = _targets(file, node)
    scope = file.function(node) or file.tree
    return not any(_sets_mode(scope, dotted(target)) for target in targets)


def _only_looks(file: SourceFile, walked: ast.AST) -> bool:
    """Whether a loop over modules sets no mode. False where something else gets the modules."""
    parent = next(file.above(walked))
    if isinstance(parent, ast.comprehension):
        return not _sets_mode(next(file.above(parent)), None)
    return isinstance(parent, ast.For) and parent.iter is walked and not _sets_mode(parent, None)


def _sets_mode(scope: ast.AST, name: str | None) -> bool:
    """Whether code sets the mode of a module, or of the module that a name holds."""
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in _MODES
        and (node.attr != "training" or isinstance(node.ctx, ast.Store))
        and (name is None or dotted(node.value) == name)
        for node in ast.walk(scope)
    )
