"""What a use of a model does to its mode: nothing, as a call or `model.to(d)`, or something that may change it."""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator

from .remembered import remembered
from .source_file import SourceFile, dotted

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


def targets_of(file: SourceFile, value: ast.expr) -> list[ast.expr]:
    """What an assignment gives this expression to; empty where it is not the whole value of one."""
    for above in file.above(value):
        if isinstance(above, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            return [target for target, given in pairs(above) if given is value]
        if not isinstance(above, ast.Tuple):
            return []
    return []


def whole(file: SourceFile, node: ast.expr) -> ast.expr:
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


def leaves_mode(
    file: SourceFile, load: ast.expr, names: Container[str | None], runs: list[ast.Call], exports: list[ast.Call]
) -> bool:
    """Whether a use certainly does not change the model's mode. Its calls and exports go to the lists."""
    node = whole(file, load)
    parent = next(file.above(node))
    if isinstance(parent, ast.Call):
        name = file.resolve(parent.func) or ""
        if parent.func is node:
            runs.append(parent)
        elif name in EXPORTS:
            exports.append(parent)
        return parent.func is node or name in _LOOKS or name in EXPORTS
    if isinstance(parent, ast.Attribute):
        call = next(file.above(parent), None)
        if parent.attr == "forward" and isinstance(call, ast.Call) and call.func is parent:
            runs.append(call)
        return _leaves_part(file, parent)
    targets = targets_of(file, node)
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
    targets = targets_of(file, node)
    scope = file.function(node) or file.tree
    return not any(_sets_mode(file, scope, dotted(target)) for target in targets)


def _only_looks(file: SourceFile, walked: ast.AST) -> bool:
    """Whether a loop over modules sets no mode. False where something else gets the modules."""
    parent = next(file.above(walked))
    if isinstance(parent, ast.comprehension):
        return not _sets_mode(file, next(file.above(parent)), None)
    return isinstance(parent, ast.For) and parent.iter is walked and not _sets_mode(file, parent, None)


def _sets_mode(file: SourceFile, scope: ast.AST, name: str | None) -> bool:
    """Whether code sets the mode of a module, or of the module that a name holds."""
    found = _modes_set(file, scope)
    return bool(found) if name is None else name in found


@remembered
def _modes_set(file: SourceFile, scope: ast.AST) -> set[str | None]:
    """The names of the modules whose mode code sets; None for modules without a name."""
    return {
        dotted(node.value)
        for attribute in _MODES
        for node in file.index.within(scope, (ast.Attribute, attribute))
        if attribute != "training" or isinstance(node.ctx, ast.Store)
    }
