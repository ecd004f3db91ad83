"""Finds out from source code whether a line runs without gradients."""

from __future__ import annotations

import ast
from bisect import bisect_left
from itertools import accumulate

from .calls import literal
from .remembered import remembered
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
    set_here = _set_by_scope(file).get(scope)
    if set_here is None:
        return None
    lines, last = set_here
    before = bisect_left(lines, node.lineno)  # type: ignore[attr-defined]
    return last[before - 1] if before else None


@remembered
def _set_by_scope(file: SourceFile) -> dict[ast.AST, tuple[list[int], list[bool]]]:
    """For each scope with a `torch.set_grad_enabled(...)`: their lines, and what has been set last after each line."""
    found: dict[ast.AST, list[tuple[int, int, bool]]] = {}
    for order, (call, _) in enumerate(file.calls_of(_SET)):
        if call.args and isinstance(next(file.above(call)), ast.Expr):
            scope: ast.AST = file.function(call) or file.tree
            found.setdefault(scope, []).append((call.lineno, order, literal(call.args[0], False)))
    answer: dict[ast.AST, tuple[list[int], list[bool]]] = {}
    for where, each in found.items():
        each.sort()
        latest = accumulate(((order, off) for _, order, off in each), max)
        answer[where] = [line for line, _, _ in each], [off for _, off in latest]
    return answer
