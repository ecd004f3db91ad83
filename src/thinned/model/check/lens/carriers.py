"""Which names of a source file may hold some functions, directly or by way of other names: a wide, quick sieve.

Only the calls whose function has such a name in it are followed closely (`meanings.py`).
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator

from .passed import passed
from .remembered import remembered
from .source_file import Function, SourceFile, arguments

# Functions that give back the elements that they get.
SAME = {"list", "tuple", "set", "frozenset", "iter", "reversed", "sorted", "itertools.cycle", "collections.deque"}
# Functions that give back the function that they get, or one that does the same.
WRAPPERS = {"staticmethod", "torch.compile", "torch.vmap", "torch.func.vmap", "functools.cache", "copy.copy"}
WRAPPERS |= {f"torch.{name}" for name in ("jit.script", "jit.ignore", "compiler.disable", "compiler.allow_in_graph")}
# All functions that give back what they get, or something that has it in it.
KEEPING = SAME | WRAPPERS
KEEPING |= {"dict", "next", "enumerate", "zip", "vars", "getattr", "functools.partial", "itertools.chain"}
KEEPING_METHODS = {"import_module", "values", "items", "keys", "get", "pop", "popleft", "__getitem__"}


def carriers(file: SourceFile, sources: Iterable[ast.expr]) -> set[str]:
    """The names, and the names of attributes, to which the file gives an expression that has a source in it.

    >>> file = SourceFile("net.py", "a = [relu, drop]\\nfor f in a:\\n    f(x)\\ng = relu")
    >>> sorted(carriers(file, [node for node in file.nodes(ast.Name) if node.id == "drop"]))
    ['a', 'f']
    """
    loads: dict[str, list[ast.expr]] = defaultdict(list)
    for name in file.nodes(ast.Name):
        if isinstance(name.ctx, ast.Load):
            loads[name.id].append(name)
    for attribute in file.nodes(ast.Attribute):
        if isinstance(attribute.ctx, ast.Load):
            loads[attribute.attr].append(attribute)
    found: set[str] = set()
    todo = list(sources)
    while todo:
        for name_given in _given(file, todo.pop()):
            if name_given not in found:
                found.add(name_given)
                todo += loads[name_given]
    return found


def _given(file: SourceFile, node: ast.expr) -> Iterator[str]:
    """The names that an expression with this node in it may be given to."""
    below: ast.AST = node
    for above in file.above(node):
        match above:
            case ast.NamedExpr(target=target):
                yield target.id
            case ast.comprehension(target=target) | ast.For(target=target) | ast.AsyncFor(target=target):
                yield from _stored(target)
            case ast.keyword(arg=str(name)):
                yield name
            case ast.Call(
                func=ast.Attribute(value=holder, attr="append" | "appendleft" | "add" | "insert" | "extend" | "update")
            ):
                yield from _stored(holder)
            case ast.Call(func=ast.Name(id="setattr"), args=[_, ast.Constant(value=str(name)), _]):
                yield name
            case ast.Call() if not _gives(file, above, below):
                yield from (name for name, *_ in passed(file, above))
                return
            case ast.arguments():
                scope = next(file.above(above))
                if isinstance(scope, Function | ast.Lambda):
                    yield from (argument.arg for argument in arguments(scope))
            case ast.Return():
                function = file.function(above)
                if function is not None:
                    yield function.name
            case ast.Assign(targets=targets):
                for target in targets:
                    yield from _stored(target)
            case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
                yield from _stored(target)
        if isinstance(above, ast.stmt):
            return
        below = above


def _gives(file: SourceFile, call: ast.Call, part: ast.AST) -> bool:
    """Whether a call may give back the function that is in a part of it."""
    name = file.resolve(call.func) or ""
    if isinstance(call.func, ast.Call) and file.resolve(call.func.func) == "operator.attrgetter":
        return True
    if part is call.func:
        kept = isinstance(call.func, ast.Attribute) and call.func.attr in KEEPING_METHODS
        return kept or isinstance(call.func, ast.Call) or name.removeprefix("self.") in _own(file)
    return name in KEEPING


@remembered
def _own(file: SourceFile) -> frozenset[str]:
    """The names of the functions and methods of a file."""
    return frozenset(function.name for function in file.functions)


def _stored(target: ast.expr) -> Iterator[str]:
    """The last names in a target: `d` of `self.d`, `table` of `table["d"]`, all of a tuple."""
    match target:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            yield name
        case ast.Subscript(value=inner) | ast.Starred(value=inner):
            yield from _stored(inner)
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                yield from _stored(part)
