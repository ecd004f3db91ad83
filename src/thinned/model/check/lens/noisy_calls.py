"""Finds the calls of functions that drop, under whatever name a file gives to the function."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from ...known.functions import Noisy
from .calls import EVERYTHING, WORDS, given, is_open
from .carriers import carriers
from .meanings import elements, guarded_value, meanings, whole_dict
from .remembered import remembered
from .source_file import SourceFile, dotted

# Functions that call the function that they get, with the arguments behind it.
_CALLERS = {"map", "torch.utils.checkpoint.checkpoint"}


class NoisyCall(NamedTuple):
    """A call of a function that drops.

    In `self.drop = partial(F.dropout, p=0.1)` and `y = self.drop(x)`, the call is `self.drop(x)`, the name is
    "torch.nn.functional.dropout", and `whole` is `F.dropout(x, p=0.1)`.
    """

    call: ast.Call
    name: str  # the qualified name of the function
    entry: Noisy
    whole: ast.Call  # the call with all its arguments: those of a `functools.partial`, those of `*args` and `**kwargs`
    sure: bool = True  # whether the call always calls this function, with the arguments that stand in it


class _Function(NamedTuple):
    """A function of the table, and the arguments that `functools.partial` binds."""

    name: str
    args: Sequence[ast.expr] = ()
    words: Sequence[ast.keyword] = ()


def noisy_calls(file: SourceFile, table: Mapping[str, Noisy]) -> Iterator[NoisyCall]:
    """Every call of a function of the table.

    Followed are names of imports, names and attributes that the file binds (by assignment, unpacking, a loop, a
    default), entries of lists and dictionaries, `getattr`, `functools.partial`, `operator.methodcaller`, `map`, and
    what a function of the file returns. So are `*args` and `**kwargs` whose contents the file shows.
    """
    if not file.says(*WORDS):
        return
    for plain in _plain(file):
        if plain.name in table:
            yield plain
    sources = set(_sources(file, table))
    names = carriers(file, sources) if sources else set()
    for call in file.nodes(ast.Call) if sources else ():
        function = call.args[0] if call.args and file.resolve(call.func) in _CALLERS else call
        made = isinstance(call.func, ast.Call)  # by methodcaller, attrgetter or getattr
        looked = function if made or function is not call else call.func
        if _has(looked, sources, names) and file.resolve(call.func) not in table:
            yield from _by_another_name(file, call, table)


@remembered
def _plain(file: SourceFile) -> list[NoisyCall]:
    """The calls of functions of any table by their own names."""
    return [
        NoisyCall(call, name, EVERYTHING[name], _with_splats(file, call, call.func, call.args, call.keywords))
        for call, name in file.calls_of(EVERYTHING)
    ]


@remembered
def rates(file: SourceFile) -> list[tuple[str, ast.expr]]:
    """Every p in the file: the qualified name of the function or layer that is called, and the expression for p."""
    told: dict[ast.expr, str] = {}
    for _, name, entry, whole, _ in noisy_calls(file, EVERYTHING):
        p = given(whole, entry.p)
        if p is not None:
            told.setdefault(p, name)
    return [(name, p) for p, name in told.items()]


def _has(node: ast.expr, sources: set[ast.expr], names: set[str]) -> bool:
    """Whether an expression has a source in it, or a name that may hold one."""
    return any(
        part in sources
        or (isinstance(part, ast.Name) and part.id in names)
        or (isinstance(part, ast.Attribute) and part.attr in names)
        or (isinstance(part, ast.Constant) and part.value in names)
        for part in ast.walk(node)
    )


def _by_another_name(file: SourceFile, call: ast.Call, table: Mapping[str, Noisy]) -> Iterator[NoisyCall]:
    plain = True
    called: list[tuple[ast.expr, Sequence[ast.expr], Sequence[ast.keyword]]] = []
    if file.resolve(call.func) in _CALLERS and call.args:
        plain = False
        own = ("use_reentrant", "preserve_rng_state")
        called = [(call.args[0], call.args[1:], [word for word in call.keywords if word.arg not in own])]
    else:
        for maker in meanings(file, call.func):
            if isinstance(maker, ast.Call) and file.resolve(maker.func) == "operator.methodcaller":
                plain = False
                if maker.args and call.args and isinstance(maker.args[0], ast.Constant):
                    method = ast.copy_location(ast.Attribute(call.args[0], str(maker.args[0].value), ast.Load()), call)
                    file.put(method, call)
                    called.append((method, maker.args[1:], maker.keywords))
        called = called or [(call.func, call.args, call.keywords)]
    for function, args, words in called:
        standing = list(_functions(file, function, table))
        for item in filter(None, standing):
            told = {word.arg for word in words}
            bound = [word for word in item.words if word.arg not in told]
            whole = _with_splats(file, call, call.func, [*item.args, *args], [*bound, *words])
            yield NoisyCall(call, item.name, table[item.name], whole, plain and len(standing) == 1)


def _functions(file: SourceFile, node: ast.expr, table: Mapping[str, Noisy]) -> Iterator[_Function | None]:
    """The functions of the table that an expression stands for; None for each other one."""
    for found in meanings(file, node):
        if isinstance(found, ast.Call) and found.args and file.resolve(found.func) == "functools.partial":
            for inner in _functions(file, found.args[0], table):
                if inner is None:
                    yield None
                else:
                    yield _Function(inner.name, [*inner.args, *found.args[1:]], [*inner.words, *found.keywords])
        else:
            name = _named(file, found, table)
            yield None if name is None else _Function(name)


def _named(file: SourceFile, node: ast.expr, table: Mapping[str, Noisy]) -> str | None:
    """The name in the table that an expression is; for a name with a part that is not known, the first that fits."""
    name = file.resolve(node)
    if name is None and isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call):
        imported = node.value
        if file.resolve(imported.func) == "importlib.import_module" and isinstance(imported.args[0], ast.Constant):
            name = f"{imported.args[0].value!s}.{node.attr}"
    if name is None or name in table:
        return name
    home, _, last = name.rpartition("functional.") if ".*" in name else ("", "", "")
    if "drop" not in last:
        return None
    return next((known for known in table if re.fullmatch(f"{re.escape(home)}functional.{last}", known)), None)


def _with_splats(
    file: SourceFile, call: ast.Call, function: ast.expr, args: Sequence[ast.expr], words: Sequence[ast.keyword]
) -> ast.Call:
    """A call with the contents of `*args` and `**kwargs` in their place, where the file shows them."""
    if args is call.args and words is call.keywords and not is_open(call):
        return call
    placed: list[ast.expr] = []
    for part in args:
        shown = _sequence(file, part.value) if isinstance(part, ast.Starred) else None
        placed += [part] if shown is None else shown
    named: list[ast.keyword] = []
    for word in words:
        inner = whole_dict(file, word.value) if word.arg is None else None
        if inner is None:
            named.append(word)
        else:
            named += [ast.keyword(str(name), value) for name, value in inner]
    if len(placed) == len(call.args) and all(map(lambda a, b: a is b, placed, call.args)) and named == call.keywords:
        return call
    return ast.Call(function, placed, named)


def _sequence(file: SourceFile, node: ast.expr) -> list[ast.expr] | None:
    """The elements of the one list or tuple that an expression stands for; None where they are not all known."""
    found = list(meanings(file, node))
    if guarded_value(file, node) or len(found) != 1 or not isinstance(found[0], ast.List | ast.Tuple):
        return None
    shown = list(elements(file, node))
    return None if any(isinstance(part, ast.Starred) for part in found[0].elts) else shown


def _sources(file: SourceFile, table: Mapping[str, Noisy]) -> Iterator[ast.expr]:
    """Where a file has a function of the table as a value, or a module that has it, or loads such a module by name."""
    spaces = _spaces(table)
    for node, name, whole in _spoken(file):
        if name is None or name in table or (whole and name in spaces):
            yield node


def _spaces(table: Mapping[str, Noisy]) -> set[str]:
    """The modules that have the functions of a table, and the packages of these."""
    spaces = {name.rpartition(".")[0] for name in table}
    return spaces | {part for name in spaces for part in (name.partition(".")[0], name.rpartition(".")[0]) if part}


@remembered
def _spoken(file: SourceFile) -> list[tuple[ast.expr, str | None, bool]]:
    """Where a file has a function of any table, uncalled, or a module of one: with its name, and if it is all of it.

    `F` is in `F.dropout` too, but not as the whole expression. There is no name where a module is loaded by one.
    """
    spaces = _spaces(EVERYTHING)
    short, last = ({name.rpartition(".")[2] for name in names} for names in (EVERYTHING, spaces))
    short |= {name for name, whole in file.aliases.items() if whole.rpartition(".")[2] in short}
    last |= {name for name, whole in file.aliases.items() if whole.rpartition(".")[2] in last}
    found: list[tuple[ast.expr, str | None, bool]] = [(node, None, True) for node in _written(file, "import_module")]
    first = file.imported.union(name.partition(".")[0] for name in (*EVERYTHING, *spaces))
    for text in sorted((short | last) - {"import_module"}):
        named, dotted_on = file.index.parents((ast.Name, text)), file.index.parents((ast.Attribute, text))
        for node, above in chain(named, dotted_on):
            if type(above) is ast.Call and above.func is node:
                continue
            whole = type(above) is not ast.Attribute or above.attr == "__dict__"
            if whole or text in short:
                if (dotted(node) or "").partition(".")[0] not in first:
                    continue
                name = file.resolve(node)  # most nodes need no such question
                if name in EVERYTHING or name in spaces:
                    found.append((node, name, whole))
    return found


def _written(file: SourceFile, text: str) -> Iterator[ast.Name | ast.Attribute]:
    """The names and the attributes of a file that are called so."""
    yield from file.index.within(file.tree, (ast.Name, text))
    yield from file.index.within(file.tree, (ast.Attribute, text))
