"""Texts that source joins from pieces: `"drop" + "out"`, f-strings, `%`, `format`, `join`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, product

_MOST = 16  # texts that one expression may stand for
_ANY = ".*"
_FIELDS = re.compile(r"%[^a-zA-Z%]*[a-zA-Z]"), re.compile(r"\{[^{}]*\}")


def texts_of(node: ast.expr, known: Callable[[ast.expr], Iterable[str]]) -> Iterator[str]:
    """The texts that an expression makes of its parts; a part that is not known is `.*`, a pattern.

    Arguments:
        known: the texts that a part may stand for; none where they are not known.

    >>> def known(part): return [part.value] if isinstance(part, ast.Constant) else ()
    >>> list(texts_of(ast.parse("'drop' + end", mode="eval").body, known))
    ['drop.*']
    >>> list(texts_of(ast.parse("f'drop{end}'", mode="eval").body, known))
    ['drop.*']
    """
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield from _joined([_literal(part) or _some(known(_inner(part))) for part in parts])
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            yield from _joined([_some(known(left)), _some(known(right))])
        case ast.BinOp(op=ast.Mod(), left=left, right=right):
            given = right.elts if isinstance(right, ast.Tuple) else [right]
            yield from _filled(known(left), _FIELDS[0], [_some(known(part)) for part in given])
        case ast.Call(func=ast.Attribute(value=text, attr="format"), args=given, keywords=[]):
            yield from _filled(known(text), _FIELDS[1], [_some(known(part)) for part in given])
        case ast.Call(func=ast.Attribute(value=text, attr="join"), args=[ast.List() | ast.Tuple() as parts]):
            for between in known(text):
                pieces = [piece for part in parts.elts for piece in ([between], _some(known(part)))]
                yield from _joined(pieces[1:])


def _literal(node: ast.expr) -> list[str]:
    return [re.escape(node.value)] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def _inner(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.FormattedValue) else node


def _some(texts: Iterable[str]) -> list[str]:
    return [*islice(texts, _MOST)] or [_ANY]


def _joined(parts: list[list[str]]) -> Iterator[str]:
    for pieces in islice(product(*parts), _MOST):
        yield "".join(pieces)


def _filled(templates: Iterable[str], field: re.Pattern[str], given: list[list[str]]) -> Iterator[str]:
    """The templates with what is given in the place of their fields."""
    for template in islice(templates, _MOST):
        between = field.split(template)
        values = [*given, *[[_ANY]] * len(between)]
        parts = [[between[0]], *(piece for n, text in enumerate(between[1:]) for piece in (values[n], [text]))]
        yield from _joined(parts)
