"""What an expression of a source file may stand for, as far as the file alone shows it.

`drop` in `drop = F.dropout`, `f` in `for f in (F.relu, F.dropout)`, `table["drop"]` and `getattr(F, "dropout")` all
stand for `F.dropout`. A value that only one mode has, as in `f = F.dropout if self.training else g`, is left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence

from .bindings import EACH, AddedEntry, Binding, bindings
from .carriers import SAME, WRAPPERS
from .classes import family
from .mode import asks, guarded
from .remembered import remembered
from .source_file import Function, SourceFile, dotted
from .texts import texts_of
from .training_loops import called

_DEPTH = 32  # how many names deep an expression is followed
_MOST = 16  # how many values of one name are followed, without those that have a qualified name


def meanings(file: SourceFile, node: ast.expr) -> Sequence[ast.expr]:
    """The expressions that an expression may stand for. One that can't be followed stands for itself.

    >>> file = SourceFile("net.py", "for f, p in ((relu, 1), (drop, 2)):\\n    f(x)")
    >>> (call,) = file.nodes(ast.Call)
    >>> [ast.unparse(found) for found in meanings(file, call.func)]
    ['relu', 'drop']
    """
    found = bindings(file).followed
    if node not in found and found.open >= _DEPTH:
        found.cut += 1
    elif node not in found:
        found.open += 1
        found[node] = ()  # for a name that stands for itself in turn
        try:
            found[node] = tuple(dict.fromkeys(_meanings(file, node)))
        finally:
            found.open -= 1
    return found.get(node, ())


def _meanings(file: SourceFile, node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.NamedExpr(value=value):
            yield from meanings(file, value)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            if not asks(file, test):
                yield from meanings(file, body)
                yield from meanings(file, orelse)
        case ast.BoolOp(values=parts):
            if not any(asks(file, part) for part in parts):
                for part in parts:
                    yield from meanings(file, part)
        case ast.Name():
            yield from _name(file, node)
        case ast.Attribute():
            yield from _attribute(file, node)
        case ast.Subscript(value=holder, slice=key):
            found = list(parts_of(file, holder, key))
            yield from found or [node]
        case ast.Call():
            yield from _call(file, node)
        case _:
            yield node


def elements(file: SourceFile, node: ast.expr) -> Iterator[ast.expr]:
    """The elements that a loop over an expression may give, as far as they are shown."""
    with bindings(file).once("elements", node) as first:
        if first:
            yield from _elements(file, node)


def _elements(file: SourceFile, node: ast.expr) -> Iterator[ast.expr]:
    for held in (*meanings(file, node), *_grown(file, node)):
        match held:
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                for part in parts:
                    if isinstance(part, ast.Starred):
                        yield from elements(file, part.value)
                    else:
                        yield part
            case ast.Dict(keys=keys):
                yield from (key for key in keys if key is not None)
            case ast.ListComp(elt=part) | ast.SetComp(elt=part) | ast.GeneratorExp(elt=part):
                yield part
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                yield from elements(file, left)
                yield from elements(file, right)
            case ast.Call():
                yield from _iterated(file, held)


def parts_of(file: SourceFile, node: ast.expr, key: ast.expr | None) -> Iterator[ast.expr]:
    """What the entries of a list or dictionary may stand for: the one that a constant names, or else all of them."""
    wanted = None if key is None else constant(file, key)
    changes = bindings(file).entries(node)
    for held in meanings(file, node):
        match held:
            case ast.Dict() | ast.Call():
                space = _namespace(file, held)
                if space is not None and isinstance(wanted, str):
                    yield from _followed(file, _member(file, space, wanted, held))
                pairs = entries(file, held)
                for name, value in pairs or ():
                    if name == wanted or not isinstance(wanted, str | int):
                        yield from _followed(file, value)
            case ast.Attribute(value=space, attr="__dict__") if isinstance(wanted, str):
                yield from _followed(file, _member(file, space, wanted, held))
            case _:
                found = list(elements(file, held))
                whole = isinstance(wanted, int) and -len(found) <= wanted < len(found)
                for value in [found[wanted]] if whole and isinstance(wanted, int) else found:
                    yield from _followed(file, value)
    if changes:
        asked = "added", id(changes), key is None, wanted if isinstance(wanted, str | int | None) else repr(wanted)
        yield from bindings(file).followed.once_for_all(asked, lambda: _added(file, changes, key))


def _added(file: SourceFile, changes: Sequence[AddedEntry | None], key: ast.expr | None) -> tuple[ast.expr, ...]:
    """What is put into a list or dictionary under a key, or anywhere; of several with one qualified name the first."""
    return _first_of_each(
        file,
        (
            value
            for entry in changes
            if entry is not None
            and not entry.all_of_it
            and (entry.key is None or key is None or _same(file, entry.key, key))
            for value in _followed(file, entry.value)
        ),
    )


def _first_of_each(file: SourceFile, values: Iterable[ast.expr]) -> tuple[ast.expr, ...]:
    """The values, of several with one qualified name the first, and of those without one the first few."""
    answer: dict[object, ast.expr] = {}
    without = 0
    for value in values:
        name = file.resolve(value) or value
        if name is value and name not in answer:
            without += 1
            if without > _MOST:
                continue
        answer.setdefault(name, value)
    return tuple(answer.values())


def entries(file: SourceFile, node: ast.expr) -> list[tuple[object, ast.expr]] | None:
    """The keys and values of a dictionary that is written here; None where they are not all known."""
    found: list[tuple[object, ast.expr]] = []
    parts: list[tuple[ast.expr | None, ast.expr]]
    match node:
        case ast.Dict(keys=keys, values=values):
            parts = [*zip(keys, values, strict=True)]
        case ast.Call(func=ast.Name(id="dict"), args=args, keywords=words):
            parts = [(None, value) for value in args]
            parts += [(None if word.arg is None else ast.Constant(word.arg), word.value) for word in words]
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            parts = [(None, left), (None, right)]
        case _:
            return None
    for key, value in parts:
        name = None if key is None else constant(file, key)
        if key is None:
            inner = whole_dict(file, value)
            if inner is None:
                return None
            found += inner
        elif name is None:
            return None
        else:
            found.append((name, value))
    return [*dict(found).items()]


def whole_dict(file: SourceFile, node: ast.expr) -> list[tuple[object, ast.expr]] | None:
    """The keys and values of the one dictionary that an expression stands for, the same in both modes; else None."""
    with bindings(file).once("whole_dict", node) as first:
        if not first:
            return None
        place = bindings(file).place_of_name(node) if isinstance(node, ast.Name) else None
        if place is None:
            return _whole_dict(file, node)
        return bindings(file).followed.once_for_all(("whole_dict", place), lambda: _whole_dict(file, node))


def _whole_dict(file: SourceFile, node: ast.expr) -> list[tuple[object, ast.expr]] | None:
    if guarded_value(file, node):
        return None
    standing = list(meanings(file, node))
    found = entries(file, standing[0]) if len(standing) == 1 else None
    if found is None:
        return None
    known = dict(found)
    for change in bindings(file).entries(node):
        if change is None or _guarded(file, change.value):
            return None
        if change.all_of_it:
            more = whole_dict(file, change.value)
            if more is None:
                return None
            known.update(more)
        else:
            name = None if change.key is None else constant(file, change.key)
            if name is None:
                return None
            known[name] = change.value
    return [*known.items()]


def guarded_value(file: SourceFile, node: ast.expr) -> bool:
    """Whether some value of a name is given in one mode only, or is not shown."""
    if isinstance(node, ast.Name):
        place = bindings(file).place_of_name(node)
        return place is not None and _has_guarded(file, place)
    return isinstance(node, ast.Attribute) and any(_is_guarded(file, binding) for binding in _of_attribute(file, node))


@remembered
def _has_guarded(file: SourceFile, place: tuple[ast.AST, str]) -> bool:
    return any(_is_guarded(file, binding) for binding in bindings(file).of_place(place))


def _is_guarded(file: SourceFile, binding: Binding | None) -> bool:
    return binding is None or _guarded(file, binding.value)


def constant(file: SourceFile, node: ast.expr) -> object:
    """The value of an expression that stands for one constant; None for others."""
    found = list(meanings(file, node))
    match found:
        case [ast.Constant(value=value)]:
            return value
        case [ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(value)))]:
            return -value
    return None


@remembered
def _guarded(file: SourceFile, node: ast.expr) -> bool:
    return guarded(file, node)


def _followed(file: SourceFile, node: ast.expr) -> Iterator[ast.expr]:
    if not _guarded(file, node):
        yield from meanings(file, node)


def _bound(file: SourceFile, binding: Binding) -> Iterator[ast.expr]:
    """What is bound: the value, or the part of it to which the way leads."""
    place = bindings(file).place_of_name(binding.value) if isinstance(binding.value, ast.Name) and binding.way else None
    if place is None:
        yield from _led_to(file, binding)
    else:
        yield from bindings(file).followed.once_for_all(
            ("parts", place, binding.way), lambda: _first_of_each(file, _led_to(file, binding))
        )


def _led_to(file: SourceFile, binding: Binding) -> Iterator[ast.expr]:
    values = [binding.value]
    for place in binding.way:
        if place is EACH:
            values = [part for value in values for part in elements(file, value)]
        else:
            key = ast.Constant(place)
            values = [part for value in values for part in parts_of(file, value, key)]
    for value in values:
        yield from _followed(file, value)


def _name(file: SourceFile, node: ast.Name) -> Iterator[ast.expr]:
    place = bindings(file).place_of_name(node)
    if place is None or _is_hidden(file, place) or node.id in file.aliases:
        yield node
    if place is not None:
        yield from _held(file, place, bindings(file).of_place(place))


def _attribute(file: SourceFile, node: ast.Attribute) -> Iterator[ast.expr]:
    cls = _class(file, node)
    found = _of_class(file, cls, node.attr) if cls is not None else ()
    if cls is not None and found:
        yield from _held(file, (cls, f".{node.attr}"), found)
        return
    yield node
    for base in meanings(file, node.value):
        if isinstance(base, ast.Call) and file.resolve(base.func) == "importlib.import_module":
            yield ast.copy_location(ast.Attribute(base, node.attr, ast.Load()), node)
        elif isinstance(base, ast.Call):
            yield from (part for word in base.keywords if word.arg == node.attr for part in _followed(file, word.value))
        elif base is not node.value and file.resolve(base) is not None:
            yield _member(file, base, node.attr, node)


@remembered
def _is_hidden(file: SourceFile, place: tuple[ast.AST, str]) -> bool:
    """Whether a name has a value that the source does not show."""
    return None in bindings(file).of_place(place)


def _held(file: SourceFile, place: tuple[ast.AST, str], found: Sequence[Binding | None]) -> Sequence[ast.expr]:
    """What the values of a name or attribute stand for; of several with one qualified name the first."""
    known = bindings(file).followed
    if place in known.held:
        return known.held[place]
    inner, cut = place in known.held_open, known.cut  # a name may be given what it was: `drop = compile(drop)`
    known.held_open.add(place)
    try:
        answer: dict[object, ast.expr] = {}
        without = 0
        for binding in found:
            if binding is not None and not _guarded(file, binding.value):
                for value in _bound(file, binding):
                    name = file.resolve(value) or value
                    if name not in answer and name is value:
                        without += 1
                        if without > _MOST:
                            continue
                    answer.setdefault(name, value)
    finally:
        if not inner:
            known.held_open.discard(place)
    if not inner and cut == known.cut:
        known.held[place] = tuple(answer.values())
    return tuple(answer.values())


@remembered
def _of_class(file: SourceFile, cls: ast.ClassDef, name: str) -> Sequence[Binding | None]:
    """The bindings of an attribute of a class, and of its ancestors in this file."""
    return [binding for part in family(file, cls) for binding in bindings(file).of_attribute(part, name)]


def _of_attribute(file: SourceFile, node: ast.Attribute) -> Sequence[Binding | None]:
    """The bindings of an attribute of a class of this file."""
    cls = _class(file, node)
    return () if cls is None else _of_class(file, cls, node.attr)


def _class(file: SourceFile, node: ast.Attribute) -> ast.ClassDef | None:
    """The class of this file of which an expression is an attribute: `self.f`, `Net.f`, `type(self).f`."""
    name, method = dotted(node.value), file.method(node)
    own = name in ("self", "cls", "self.__class__") or (
        isinstance(node.value, ast.Call) and dotted(node.value.func) == "type"
    )
    if own and method is not None:
        return method[0]
    return file.classes.get(name or "") if name not in file.aliases else None


def _call(file: SourceFile, node: ast.Call) -> Iterator[ast.expr]:
    """What a call gives, where that is an expression of this file."""
    name, args = file.resolve(node.func) or "", node.args
    if name == "getattr" and len(args) > 1:
        for attribute in _texts(file, args[1]):
            yield from meanings(file, _member(file, args[0], attribute, node))
    elif name == "importlib.import_module" and args and isinstance(args[0], ast.Constant):
        yield node
    elif name in WRAPPERS and args:
        yield from meanings(file, args[0])
    elif name == "next" and args:
        for part in elements(file, args[0]):
            yield from _followed(file, part)
    elif isinstance(node.func, ast.Call) and file.resolve(node.func.func) == "operator.attrgetter" and args:
        for attribute in _texts(file, node.func.args[0]) if node.func.args else ():
            yield from meanings(file, _member(file, args[0], attribute, node))
    elif isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop", "__getitem__"):
        found = list(parts_of(file, node.func.value, args[0] if args else ast.Constant(-1)))
        yield from found or [node]
    else:
        function = called(file, node)
        returned = () if function is None else _returned(file, function)
        for value in returned:
            yield from _followed(file, value)
        if not returned:
            yield node


@remembered
def _returned(file: SourceFile, function: Function) -> tuple[ast.expr, ...]:
    """The values that a function returns, without those of functions inside it."""
    returns = file.index.within(function, ast.Return)
    return tuple(part.value for part in returns if part.value is not None and file.function(part) is function)


def _texts(file: SourceFile, node: ast.expr) -> Iterator[str]:
    """The texts that an expression stands for. A text with a part that is not known is a pattern: "dropout.*d"."""
    for found in meanings(file, node):
        yield from texts_of(found, lambda part: _texts(file, part))


def _member(file: SourceFile, space: ast.expr, name: str, place: ast.expr) -> ast.expr:
    """The expression `space.name`, in the place of another one."""
    made: ast.expr = space
    for part in name.split(".") if name.replace(".", "").isidentifier() else [name]:
        made = ast.copy_location(ast.Attribute(made, part, ast.Load()), place)
        file.put(made, place)
    return made


def _namespace(file: SourceFile, node: ast.expr) -> ast.expr | None:
    """`F` in `vars(F)`."""
    if isinstance(node, ast.Call) and dotted(node.func) == "vars" and node.args:
        return node.args[0]
    return None


def _iterated(file: SourceFile, call: ast.Call) -> Iterator[ast.expr]:
    """The elements of what a call gives to a loop."""
    name, args = file.resolve(call.func) or "", call.args
    if name in SAME or name == "itertools.chain":
        for held in args:
            yield from elements(file, held)
    elif name == "enumerate" and args:
        for part in elements(file, args[0]):
            yield ast.Tuple([ast.Constant(None), part], ast.Load())
    elif name == "zip":
        columns = [list(elements(file, held)) for held in args]
        for row in range(max(map(len, columns), default=0)):
            cells = [column[row] if row < len(column) else ast.Constant(None) for column in columns]
            yield ast.Tuple(cells, ast.Load())
    elif isinstance(call.func, ast.Attribute) and call.func.attr in ("values", "items", "keys"):
        for held in meanings(file, call.func.value):
            for key, value in entries(file, held) or ():
                if call.func.attr == "values":
                    yield value
                elif call.func.attr == "items":
                    yield ast.Tuple([ast.Constant(str(key)), value], ast.Load())
        for entry in bindings(file).entries(call.func.value):
            if entry is not None and entry.key is not None and call.func.attr != "keys":
                pair = ast.Tuple([entry.key, entry.value], ast.Load())
                yield entry.value if call.func.attr == "values" else pair


def _grown(file: SourceFile, node: ast.expr) -> Iterator[ast.expr]:
    """Lists of what other statements put into the list that a name or attribute holds."""
    for entry in bindings(file).entries(node):
        if entry is not None and entry.key is None and not _guarded(file, entry.value):
            yield ast.List([ast.Starred(entry.value) if entry.all_of_it else entry.value], ast.Load())


def _same(file: SourceFile, one: ast.expr, other: ast.expr) -> bool:
    found = constant(file, one), constant(file, other)
    return None in found or found[0] == found[1]
