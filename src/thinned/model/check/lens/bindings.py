"""What a source file binds to its names and attributes: by assignment, by a loop, by unpacking, by a default."""

from __future__ import annotations

import ast
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from .passed import passed
from .remembered import remembered
from .source_file import Function, SourceFile, dotted

Answer = TypeVar("Answer")
Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
_OWN = ("self", "cls")
EACH = None  # a step from a value to what is bound: to each element in turn; other steps are positions


class Binding(NamedTuple):
    """What a name may be: a value, or a part of it.

    In `for f, p in pairs`, `f` has the value `pairs` and the way `(EACH, 0)`: the first part of each element.
    """

    value: ast.expr
    way: tuple[int | None, ...] = ()


class AddedEntry(NamedTuple):
    """What a statement puts into a list or dictionary: `names["d"] = f`, or `names.append(f)`, which has no key."""

    key: ast.expr | None
    value: ast.expr
    all_of_it: bool = False  # whether it is the elements of the value: `names.extend(others)`


class Followed(dict[ast.expr, tuple[ast.expr, ...]]):
    """What expressions of the file have been found to stand for, and those that are being followed now."""

    def __init__(self) -> None:
        super().__init__()
        self.open = 0  # how many are being followed, one for another
        self.cut = 0  # how often a chain of names was too long to be followed
        self.held: dict[tuple[ast.AST, str], tuple[ast.expr, ...]] = {}  # what a name of a scope, or of a class, is
        self.held_open: set[tuple[ast.AST, str]] = set()
        self.known: dict[object, Any] = {}  # what is asked of the list or dictionary of a name at each of its uses
        self.known_open: set[object] = set()

    def once_for_all(self, question: object, answer: Callable[[], Answer]) -> Answer:
        """The answer to a question about a name, which is the same at each use. It may ask itself on the way."""
        if question in self.known:
            found: Answer = self.known[question]
            return found
        inner, cut = question in self.known_open, self.cut
        self.known_open.add(question)
        try:
            found = answer()
        finally:
            if not inner:
                self.known_open.discard(question)
        if not self.known_open and cut == self.cut:  # inside of another question some names stand for nothing yet
            self.known[question] = found
        return found


class Bindings:
    """The bindings of one file, by scope and name. None stands for a value that the source does not show."""

    def __init__(self, file: SourceFile) -> None:
        self._file: SourceFile = weakref.proxy(file)  # the file holds its bindings: no circle keeps the two
        self._names: dict[tuple[ast.AST, str], list[Binding | None]] = defaultdict(list)
        self._attributes: dict[tuple[ast.AST, str], list[Binding | None]] = defaultdict(list)
        self._entries: dict[tuple[ast.AST, str], list[AddedEntry | None]] = defaultdict(list)
        self.followed = Followed()
        self._open: set[tuple[str, ast.expr]] = set()
        self._shown: set[int] = set()  # targets whose values are known
        for node in file.nodes(ast.Assign):
            for target in node.targets:
                self._bind(target, node.value)
        for declared in file.nodes(ast.AnnAssign):
            if declared.value is not None:
                self._bind(declared.target, declared.value)
        for named in file.nodes(ast.NamedExpr):
            self._bind(named.target, named.value)
        loops: list[ast.For | ast.AsyncFor | ast.comprehension] = [*file.nodes(ast.For), *file.nodes(ast.AsyncFor)]
        for loop in (*loops, *file.nodes(ast.comprehension)):
            self._bind(loop.target, loop.iter, (EACH,))
        for grown in file.nodes(ast.AugAssign):
            self._enter(grown.target, AddedEntry(None, grown.value, True))
        for call in file.nodes(ast.Call):
            self._grow(call)
        targets: list[ast.Name | ast.Attribute] = [*file.nodes(ast.Name), *file.nodes(ast.Attribute)]
        for stored in targets:
            if isinstance(stored.ctx, ast.Store) and id(stored) not in self._shown:
                self._note(stored, None)
        for function in (*file.functions, *file.nodes(ast.ClassDef)):
            self._names[self.scope(next(file.above(function))), function.name].append(None)
        for scope in (*file.functions, *file.nodes(ast.Lambda)):
            for name, default in _arguments(scope).items():
                self._names[scope, name].append(None if default is None else Binding(default))
        for call in file.nodes(ast.Call):
            for name, getter, value, each in passed(file, call):
                self._names[getter, name].append(Binding(value, (EACH,) if each else ()))

    @contextmanager
    def once(self, question: str, node: ast.expr) -> Iterator[bool]:
        """Whether a question about a node is not being answered already: a list may be made of itself."""
        first = (question, node) not in self._open
        self._open.add((question, node))
        try:
            yield first
        finally:
            if first:
                self._open.discard((question, node))

    def of_place(self, place: tuple[ast.AST, str]) -> list[Binding | None]:
        """The bindings of a name in a scope."""
        return self._names[place]

    def place_of_name(self, node: ast.Name) -> tuple[ast.AST, str] | None:
        """The innermost scope that has bindings of a name, and the name. None where no scope of this file has one."""
        places = ((scope, node.id) for scope in self._around(node))
        return next((place for place in places if place in self._names), None)

    def of_attribute(self, cls: ast.ClassDef, name: str) -> list[Binding | None]:
        """The bindings of an attribute: by `self.name = ...` in the methods of a class, and in its body."""
        return [*self._attributes.get((cls, name), []), *self._names.get((cls, name), [])]

    def entries(self, node: ast.expr) -> list[AddedEntry | None]:
        """What the file puts into the list or dictionary that a name or attribute holds; None for other changes."""
        place = self._place(node)
        return self._entries.get(place, []) if place is not None else []

    def scope(self, node: ast.AST) -> ast.AST:
        """The function, class or file in which a statement binds its names."""
        kinds = Function | ast.Lambda | ast.ClassDef | ast.Module
        return next(above for above in (node, *self._file.above(node)) if isinstance(above, kinds))

    def _around(self, node: ast.AST) -> Iterator[ast.AST]:
        """The scopes whose names a node sees, from the innermost: a class is one for its own statements only."""
        inner = True
        for above in self._file.above(node):
            if isinstance(above, ast.ClassDef):
                if inner:
                    yield above
            elif isinstance(above, Function | ast.Lambda | Comprehension | ast.Module):
                yield above
            inner = inner and not isinstance(above, Function | ast.Lambda | ast.ClassDef)

    def _bind(self, target: ast.expr, value: ast.expr, way: tuple[int | None, ...] = ()) -> None:
        if isinstance(target, ast.Name | ast.Attribute):
            self._shown.add(id(target))
            self._note(target, Binding(value, way))
        elif isinstance(target, ast.Subscript):
            self._enter(target.value, None if way else AddedEntry(target.slice, value))
        elif isinstance(target, ast.Tuple | ast.List):
            for place, part in enumerate(target.elts):
                if isinstance(part, ast.Starred):
                    break
                self._bind(part, value, (*way, place))

    def _note(self, target: ast.Name | ast.Attribute, binding: Binding | None) -> None:
        if isinstance(target, ast.Attribute):
            found = self._file.method(target)
            if found is not None and dotted(target) == f"self.{target.attr}":
                self._attributes[found[0], target.attr].append(binding)
            return
        above = next(self._file.above(target))
        while isinstance(above, ast.Tuple | ast.List | ast.Starred):
            above = next(self._file.above(above))
        place = next(self._file.above(above)) if isinstance(above, ast.comprehension) else self.scope(target)
        self._names[place, target.id].append(binding)

    def _grow(self, call: ast.Call) -> None:
        if dotted(call.func) == "setattr" and len(call.args) == 3:
            found, name = self._file.method(call), call.args[1]
            if found is not None and dotted(call.args[0]) == "self" and isinstance(name, ast.Constant):
                self._attributes[found[0], str(name.value)].append(Binding(call.args[2]))
        elif isinstance(call.func, ast.Attribute):
            match call.func.attr, call.args:
                case (("append" | "add" | "appendleft"), [value]):
                    self._enter(call.func.value, AddedEntry(None, value))
                case "insert", [_, value]:
                    self._enter(call.func.value, AddedEntry(None, value))
                case (("extend" | "update"), [value]) if not call.keywords:
                    self._enter(call.func.value, AddedEntry(None, value, True))
                case (("update" | "setdefault" | "pop" | "popitem" | "clear" | "remove"), _):
                    self._enter(call.func.value, None)

    def _enter(self, holder: ast.expr, entry: AddedEntry | None) -> None:
        place = self._place(holder)
        if place is not None:
            self._entries[place].append(entry)

    def _place(self, holder: ast.expr) -> tuple[ast.AST, str] | None:
        """Where a name or attribute belongs: to the scope that binds it, or to its class."""
        if isinstance(holder, ast.Name):
            for scope in self._around(holder):
                if (scope, holder.id) in self._names or holder.id in _arguments(scope):
                    return scope, holder.id
        elif isinstance(holder, ast.Attribute) and dotted(holder.value) in _OWN:
            found = self._file.method(holder)
            return (found[0], f".{holder.attr}") if found is not None else None
        return None


def _arguments(scope: ast.AST) -> dict[str, ast.expr | None]:
    """The arguments of a function, with their defaults."""
    if not isinstance(scope, Function | ast.Lambda):
        return {}
    declared = scope.args
    placed = [*declared.posonlyargs, *declared.args]
    defaults: list[ast.expr | None] = [*[None] * (len(placed) - len(declared.defaults)), *declared.defaults]
    found = {argument.arg: default for argument, default in zip(placed, defaults, strict=True)}
    found |= {
        argument.arg: default for argument, default in zip(declared.kwonlyargs, declared.kw_defaults, strict=True)
    }
    return found | {argument.arg: None for argument in (declared.vararg, declared.kwarg) if argument is not None}


@remembered
def bindings(file: SourceFile) -> Bindings:
    """The bindings of a file."""
    return Bindings(file)
