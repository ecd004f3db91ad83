"""Puts an expression in the place of another, with the parentheses that it needs to mean there what it should."""

from __future__ import annotations

import ast
import copy
import re
from typing import cast

from ..finding import Edit
from .source_file import SourceFile, parsed

_OLD = re.compile(r"\b_\b")


def rewritten(file: SourceFile, node: ast.expr, template: str) -> Edit:
    """The edit that replaces an expression by the template, in which `_` stands for the old expression.

    Parentheses are written around the old expression, around the new one, or around both, where Python would read the
    text in another way without them.

    >>> file = SourceFile("net.py", "f(p=a if b else c)")
    >>> rewritten(file, next(file.nodes(ast.IfExp)), "_ if d else 0").text
    '(a if b else c) if d else 0'
    """
    meant = _InPlaceOf(node).visit(_expression(template))
    old = file.segment(node)
    new = next(
        text
        for text in (_OLD.sub(lambda _: old, template), _OLD.sub(lambda _: f"({old})", template))
        if ast.dump(_expression(text)) == ast.dump(meant)
    )
    return Edit(*file.position(node), *file.end(node), new if _stands(file, node, meant, new) else f"({new})")


def _stands(file: SourceFile, node: ast.expr, meant: ast.expr, text: str) -> bool:
    """Whether the text means the same in the place of the node as alone: the expression around it is read as meant."""
    around = next(above for above in file.above(node) if not isinstance(above, ast.keyword | ast.Starred))
    if not isinstance(around, ast.expr):
        return True
    changed = copy.deepcopy(around, {id(node): meant})
    before = file.between(file.position(around), file.position(node))
    after = file.between(file.end(node), file.end(around))
    try:
        return ast.dump(_expression(before + text + after)) == ast.dump(changed)
    except SyntaxError:
        return False


class _InPlaceOf(ast.NodeTransformer):
    """Puts an expression in the place of the name `_`."""

    def __init__(self, node: ast.expr) -> None:
        self.node = node

    def visit_Name(self, name: ast.Name) -> ast.expr:
        return self.node if name.id == "_" else name


def _expression(text: str) -> ast.expr:
    """The expression that a text is, on as many lines as it likes.

    Raises:
        SyntaxError: the text is no expression.
    """
    (statement,) = parsed(f"({text}\n)").body
    return cast(ast.Expr, statement).value
