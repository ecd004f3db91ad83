"""Finds out from source code whether a line runs without gradients."""

from __future__ import annotations

import ast

from .calls import literal
from .source_file import Function, SourceFile

_OFF = {
    f"torch.{home}{name}" for home in ("", "autograd.", "autograd.grad_mode.") for name in ("no_grad", "inference_mode")
}
_SET = {f"torch.{home}set_grad_enabled" for home in ("", "autograd.", "autograd.grad_mode.")}


def without_gradients(file: SourceFile, node: ast.AST) -> bool:
    """Whether a node runs without gradients: in a `with`, under a decorator, or after `torch.set_grad_enabled(False)`.

    >>> file = SourceFile("net.py", "import torch\\ntorch.set_grad_enabled(False)\\ny = f(x)")
    >>> [without_gradients(file, statement) for statement in file.tree.body]
    [False, False, True]
    """
    for above in file.above(node):
        if isinstance(above, ast.With | ast.AsyncWith):
            kinds = [kind for item in above.items if (kind := _kind(file, item.context_expr)) is not None]
            if kinds:
                return kinds[-1]
        if isinstance(above, Function):
            for mark in above.decorator_list:
                if (kind := _kind(file, mark)) is not None:
                    return kind
        if isinstance(above, Function | ast.Module):
            switched = _switched(file, above, node)
            if switched is not None:
                return switched
    return False


def _kind(file: SourceFile, node: ast.expr) -> bool | None:
    """Whether a context manager or a decorator switches gradients off (True) or on (False); None for any other."""
    call = node if isinstance(node, ast.Call) else None
    name = file.resolve(call.func if call is not None else node)
    first = call.args[0] if call is not None and call.args else None
    if call is not None and call.keywords and first is None:
        first = call.keywords[0].value
    if name in _OFF:
        return not literal(first, False)
    if name in _SET and first is not None:
        return literal(first, False)
    return False if name in ("torch.enable_grad", "torch.autograd.enable_grad") else None


def _switched(file: SourceFile, scope: ast.AST, node: ast.AST) -> bool | None:
    """What the last `torch.set_grad_enabled(...)` in a scope before a node sets; None without one."""
    last: bool | None = None
    for call, name in file.calls:
        if name in _SET and call.args and call.lineno < node.lineno:  # type: ignore[attr-defined]
            statement = next(file.above(call))
            if isinstance(statement, ast.Expr) and (file.function(call) or file.tree) is scope:
                last = literal(call.args[0], False)
    return last
