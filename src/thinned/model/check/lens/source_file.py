"""The class `SourceFile`: the syntax tree of a file, with the questions that rules ask. The file is never imported."""

from __future__ import annotations

import ast
import builtins
import io
import re
import tokenize
import unicodedata
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ....once import once
from ....regular_file import read_regular
from ..finding import Edit
from .tree import SyntaxTree

Function = ast.FunctionDef | ast.AsyncFunctionDef
Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Node = TypeVar("Node", bound=ast.AST)

# Longer names of things that libraries also offer under a shorter public name.
_PRIVATE = [
    (re.compile(r"^torch\.nn\.modules\.(\w+\.)?"), "torch.nn."),
    (re.compile(r"^timm\.(models\.)?layers\.(drop\.)?"), "timm.layers."),
    (re.compile(r"^torchvision\.ops\.(stochastic_depth|drop_block)\.(?=\w)"), "torchvision.ops."),
    (re.compile(r"^torch_geometric\.utils\._?dropout\."), "torch_geometric.utils."),
    (re.compile(r"^flash_attn\.flash_attn_interface\."), "flash_attn."),
    (re.compile(r"^xformers\.ops\.fmha\."), "xformers.ops."),
]
_LIBRARIES = (
    "torch.nn.",
    "torch_geometric.",
    "timm.",
    "torchvision.ops.",
    "flash_attn.",
    "xformers.",
)  # which these are of
# Packages of the world of torch.
_PACKAGES = (
    r"torch\w*|thinned|timm|transformers|lightning\w*|pytorch_\w+|flash_attn|xformers|peft|diffusers|fastai|accelerate"
    r"|monai|skorch|ignite|mm(cv|engine|det|seg|pretrain)|detectron2|sentence_transformers|keras|tf_keras|tensorflow|jax|flax|equinox|functorch"
)
_WORLD = re.compile(rf"({_PACKAGES})(\.|$)")
_MENTIONED = re.compile(rf"{_PACKAGES}|forward")
_NOQA = re.compile(r"#\s*noqa(?P<some>\s*:\s*(?P<codes>[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*))?", re.IGNORECASE)

_OF_NAMES = {"idna", "punycode"}  # of hosts; their time grows faster than the text


class SourceFile:
    """One file of Python source.

    Raises:
        SyntaxError: the text is no valid Python.

    >>> file = SourceFile("net.py", "import torch.nn.functional as F\\ny = F.dropout(x)  # noqa: THN101")
    >>> call = next(file.nodes(ast.Call))
    >>> file.resolve(call.func), file.position(call), file.silences(2, "THN101")
    ('torch.nn.functional.dropout', (2, 5), True)
    """

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.tree = parsed(text, path)
        # With their line ends; lines are counted as in Python. Behind the last line end is a line too.
        self.lines = [*io.StringIO(text, newline=""), *([""] if text.endswith(("\n", "\r")) or not text else [])]
        self.answers: dict[object, dict[tuple[object, ...], Any]] = {}  # of questions that are `remembered`
        self._stores: dict[str, dict[ast.AST, int]] = {}
        self._first: dict[tuple[ast.AST | None, str], str | None] = {}  # what a name means in a scope
        self._columns: dict[int, list[int]] = {}

    @once
    def index(self) -> SyntaxTree:
        """The nodes of the tree. No rule needs them where the text has none of the words that it looks for."""
        return SyntaxTree(self.tree)

    def says(self, *words: str) -> bool:
        """Whether the text has one of these words, or parts of words: a quick look, before the tree is asked.

        >>> SourceFile("net.py", "y = F.dropout(x)").says("manual_seed", "drop")
        True
        """
        return any(word in self._as_read for word in words)

    @once
    def _as_read(self) -> str:
        """The text with names as Python reads them: it takes a letter in bold, or of full width, for the plain one."""
        return self.text if self.text.isascii() else unicodedata.normalize("NFKC", self.text)

    # Positions

    def nodes(self, kind: type[Node]) -> Iterator[Node]:
        """All nodes of one type."""
        return iter(self.index.within(self.tree, kind))

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes that contain this node, from the innermost to the outermost."""
        return self.index.above(node)

    def parent(self, node: ast.AST) -> ast.AST:
        """The node that contains this node directly. StopIteration for the root."""
        return self.index.parent(node)

    def put(self, node: ast.AST, place: ast.AST) -> None:
        """Let a new node stand in the place of a node of the file, so that its names mean what they do there."""
        self.index.put(node, place)

    def function(self, node: ast.AST) -> Function | None:
        """The innermost `def` around the node."""
        return next(self.functions_around(node), None)

    def functions_around(self, node: ast.AST) -> Iterator[Function]:
        """Every `def` around the node, from the innermost to the outermost."""
        return (above for above in self.index.scopes(node) if isinstance(above, Function))

    def method(self, node: ast.AST) -> tuple[ast.ClassDef, Function] | None:
        """The class and the method that contain the node. A function inside a method counts as the method."""
        outer: Function | None = None
        for above in self.index.scopes(node):
            if isinstance(above, Function):
                outer = above
            elif isinstance(above, ast.ClassDef):
                return (above, outer) if outer is not None else None
        return None

    def position(self, node: ast.AST) -> tuple[int, int]:
        """The line and the column of a node, counted from 1, in characters."""
        return self._point(node.lineno, node.col_offset)  # type: ignore[attr-defined]

    def insert(self, line: int, column: int, text: str) -> Edit:
        """The edit that inserts `text` at a position."""
        return Edit(line, column, line, column, text)

    def end(self, node: ast.expr) -> tuple[int, int]:
        """The position directly after the expression."""
        return self._point(node.end_lineno or 0, node.end_col_offset or 0)

    def between(self, start: tuple[int, int], stop: tuple[int, int]) -> str:
        """The text from one position to another."""
        lines = self.lines[start[0] - 1 : stop[0]]
        lines[-1] = lines[-1][: stop[1] - 1]
        lines[0] = lines[0][start[1] - 1 :]
        return "".join(lines)

    def _point(self, line: int, offset: int) -> tuple[int, int]:
        text = self.lines[line - 1]
        if text.isascii():
            return line, 1 + offset
        if line not in self._columns:  # for each byte of the line the column of its character
            sizes = (len(sign.encode()) for sign in text)
            self._columns[line] = [column for column, size in enumerate(sizes, 1) for _ in range(size)]
        columns = self._columns[line]
        return line, columns[offset] if offset < len(columns) else len(text) + 1

    def segment(self, node: ast.expr) -> str:
        """The text of the expression."""
        return self.between(self.position(node), self.end(node))

    def can_edit(self, node: ast.expr) -> bool:
        """Whether the text at the node's position is the node. It is not inside of f-strings, before Python 3.12."""
        try:
            found = parsed(f"({self.segment(node)}\n)").body
        except SyntaxError:
            return False
        return len(found) == 1 and isinstance(found[0], ast.Expr) and ast.dump(found[0].value) == ast.dump(node)

    # Names

    @once
    def aliases(self) -> dict[str, str]:
        """The qualified name of each imported name, wherever the import is. `F = torch.nn.functional` counts as one."""
        found: dict[str, str] = {}
        for plain in self.nodes(ast.Import):
            found |= _imported(plain)
        stars = []
        for origin in self.nodes(ast.ImportFrom):
            found |= _imported(origin)
            stars += [origin.module] if any(alias.name == "*" for alias in origin.names) and origin.module else []
        found |= self._from_stars([star for star in stars if _WORLD.match(star)], found)
        for statement in self.tree.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Attribute | ast.Name):
                name = dotted(statement.value)
                first, _, rest = (name or "").partition(".")
                if first in found:
                    for target in statement.targets:
                        if isinstance(target, ast.Name):
                            found[target.id] = f"{found[first]}.{rest}".rstrip(".")
        return found

    def _from_stars(self, stars: list[str], known: dict[str, str]) -> dict[str, str]:
        """The names that only `from torch.nn import *` and the like can give: of classes by the module that has some.

        `Linear` is one of `torch.nn`, `dropout` of `torch.nn.functional`, where both give all their names.
        """
        if not stars:
            return {}
        own = self._bound | {*known, *dir(builtins)} | {node.name for node in self.functions} | {*self.classes}
        found = {}
        for name in {node.id for node in self.nodes(ast.Name)} - own:
            home = next((star for star in stars if star.endswith("functional") != name[:1].isupper()), stars[0])
            found[name] = f"{home}.{name}"
        return found

    def resolve(self, node: ast.expr) -> str | None:
        """The qualified name of a name or an attribute: `F.dropout` is "torch.nn.functional.dropout".

        A name that is defined in this file stays as it is. None for other expressions, and for names that are arguments
        or local variables of a function around the node.
        """
        name = dotted(node)
        if name is None:
            return None
        first, dot, rest = name.partition(".")
        if first not in self._bound:
            return _public(self.aliases.get(first, first) + dot + rest)
        place = self.index.scope(node), first
        if place not in self._first:
            self._first[place] = self._meaning(node, first)
        whole = self._first[place]
        return None if whole is None else _public(whole + dot + rest)

    def _meaning(self, node: ast.expr, name: str) -> str | None:
        """The qualified name of a name where a node stands; None for an argument or a local variable."""
        stored = self._stored(name)
        for scope in self.index.scopes(node):
            if isinstance(scope, Scope):
                if (scope, name) in self._local:
                    return self._local[scope, name]
                if scope in stored or any(argument.arg == name for argument in arguments(scope)):
                    return None
        return self.aliases.get(name, name)

    @once
    def _bound(self) -> set[str]:
        """The names that are bound anywhere. Most names of imports are not, and need no look at what is around them."""
        return self.index.stored.union(node.arg for node in self.nodes(ast.arg))

    def _stored(self, name: str) -> dict[ast.AST, int]:
        """How often each function or class gives a name a value, those inside of it included."""
        if name not in self._stores:
            self._stores[name] = Counter(
                scope
                for node in self.index.within(self.tree, (ast.Name, name))
                if isinstance(node.ctx, ast.Store)
                for scope in self.index.scopes(node)
            )
        return self._stores[name]

    @once
    def _local(self) -> dict[tuple[ast.AST, str], str]:
        """The local names of functions for what is imported, as `f` in `f = F.dropout`. They get no other value."""
        found: dict[tuple[ast.AST, str], str] = {}
        for node in self.nodes(ast.Assign):
            if isinstance(node.value, ast.Attribute | ast.Name):
                first, _, rest = (dotted(node.value) or "").partition(".")
                if first not in self.aliases:
                    continue
                for name in (target.id for target in node.targets if isinstance(target, ast.Name)):
                    for scope in (scope for scope in self.index.scopes(node) if isinstance(scope, Scope)):
                        given = any(argument.arg == name for argument in arguments(scope))
                        if self._stored(name)[scope] == 1 and not given:
                            found[scope, name] = f"{self.aliases[first]}.{rest}".rstrip(".")
        return found

    @once
    def imported(self) -> set[str]:
        """The names that may stand for what is imported, here or there."""
        return {*self.aliases, *(name for _, name in self._local)}

    def calls_of(self, names: Collection[str]) -> list[tuple[ast.Call, str]]:
        """Every call of one of these functions, by qualified name, and its name. Names without a dot are not found.

        Most calls can't be of one by their first or last name, and are not resolved.
        """
        imported, last = self.imported, {name.rpartition(".")[2] for name in names}
        first = imported.union(name.partition(".")[0] for name in names)
        found = []
        for call in self.nodes(ast.Call):
            function = call.func
            if type(function) is ast.Attribute:
                may = function.attr in last and (dotted(function) or "").partition(".")[0] in first
            else:
                may = type(function) is ast.Name and function.id in imported
            name = self.resolve(function) if may else None
            if name is not None and name in names:
                found.append((call, name))
        return found

    @once
    def calls(self) -> list[tuple[ast.Call, str]]:
        """Every call whose function has a qualified name, and this name."""
        named = ((call, self.resolve(call.func)) for call in self.nodes(ast.Call))
        return [(call, name) for call, name in named if name is not None]

    @once
    def classes(self) -> dict[str, ast.ClassDef]:
        """The classes of this file, by name."""
        return {node.name: node for node in self.nodes(ast.ClassDef)}

    @once
    def uses_torch(self) -> bool:
        """Whether the file concerns torch: it imports torch or a package around it, or has a class with a `forward`."""
        if not _MENTIONED.search(self._as_read):
            return False
        for node in self.tree.body:  # enough for most files
            if isinstance(node, ast.Import | ast.ImportFrom) and any(map(_WORLD.match, _imported(node).values())):
                return True
        return any(map(_WORLD.match, self.aliases.values())) or any(
            isinstance(next(self.above(node)), ast.ClassDef) for node in self.functions if node.name == "forward"
        )

    @once
    def functions(self) -> list[Function]:
        """Every function and method of this file."""
        return self.functions_in(self.tree)

    def functions_in(self, scope: ast.AST) -> list[Function]:
        """Every function and method in a scope, itself included."""
        return [*self.index.within(scope, ast.FunctionDef), *self.index.within(scope, ast.AsyncFunctionDef)]

    # Comments

    @once
    def _silenced(self) -> dict[int, set[str] | None]:
        """For each line with a `# noqa`: the codes that it names, or None if it silences all codes."""
        found = {}
        for token in tokenize.generate_tokens(io.StringIO(self.text, newline=None).readline):
            if token.type == tokenize.COMMENT and (match := _NOQA.search(token.string)):
                found[token.start[0]] = _codes(match)
        return found

    def silences(self, line: int, code: str) -> bool:
        """Whether a `# noqa` comment on this line silences this code."""
        if not _NOQA.search(self.lines[line - 1]):  # most lines: no need to know where comments are
            return False
        codes = self._silenced.get(line, set())
        return codes is None or code in codes


def silenced_by(line: str, code: str) -> bool:
    """Whether a line of source has a `# noqa` that silences this code.

    >>> silenced_by("y = f(x)  # noqa: THN101", "THN101"), silenced_by("y = f(x)  # noqa: THN101", "THN102")
    (True, False)
    """
    match = _NOQA.search(line)
    if match is None:
        return False
    codes = _codes(match)
    return codes is None or code in codes


def _codes(match: re.Match[str]) -> set[str] | None:
    return set(re.findall(r"[A-Z]+\d+", match["codes"].upper())) if match["some"] else None


def parsed(text: str, path: str = "<source>") -> ast.Module:
    """The syntax tree of a text. Python's warnings about the text are not shown.

    Raises:
        SyntaxError: the text is no valid Python, or is nested too deeply.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text, path)
        except (RecursionError, MemoryError):
            raise SyntaxError("can't be checked: it is nested too deeply", (path, 1, 1, "")) from None
        except ValueError as error:
            raise SyntaxError(f"can't be read: {error}", (path, 1, 1, "")) from None


def _imported(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """The qualified name of each name that an import gives.

    >>> _imported(ast.parse("import torch.nn").body[0]), _imported(ast.parse("from torch import nn as n").body[0])
    ({'torch': 'torch'}, {'n': 'torch.nn'})
    """
    if isinstance(node, ast.Import):
        named = [(alias.name.partition(".")[0], alias) for alias in node.names]
        return {alias.asname or first: alias.name if alias.asname else first for first, alias in named}
    start = "." * node.level + (f"{node.module}." if node.module else "")
    return {alias.asname or alias.name: f"{start}{alias.name}" for alias in node.names}


class Written(NamedTuple):
    """A file of source as it is written: its bytes, its text with line ends unchanged, and its encoding."""

    content: bytes
    text: str
    encoding: str


# What each encoding of source has as ASCII (PEP 263), with beginnings of what other encodings take for their own signs.
_ASCII = bytes(range(32, 127)) + b"\t\n\f\r \\n \\x41 \\u0041 +AGE- ~~ ~{ "


def read(path: Path) -> Written:
    """A file of source. This is the one place that opens any.

    Raises:
        OSError: it can't be read, is no regular file, or is too large.
        SyntaxError: the bytes are no text in the encoding that the file declares.
    """
    content = read_regular(path)
    try:
        lines = iter(re.split(rb"(?<=\n)|(?<=\r)(?!\n)", content, maxsplit=2))  # the encoding is said in the first two
        encoding, _ = tokenize.detect_encoding(lambda: next(lines, b""))
        if not _is_for_source(encoding):
            raise LookupError(f"{encoding} is no encoding for source, as ASCII is not itself in it")
        return Written(content, content.decode(encoding), encoding)
    except (UnicodeError, LookupError) as error:
        raise SyntaxError(f"can't be read as text: {error}", (str(path), 1, 1, "")) from None


@cache
def _is_for_source(encoding: str) -> bool:
    """Whether ASCII is itself in an encoding.

    >>> _is_for_source("shift_jis"), _is_for_source("unicode_escape"), _is_for_source("utf-16")
    (True, False, False)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the escapes
        try:
            return encoding not in _OF_NAMES and _ASCII.decode(encoding) == _ASCII.decode("ascii")
        except UnicodeError:
            return False


@lru_cache(maxsize=4096)
def _public(name: str) -> str:
    """The shorter name under which a library offers the same.

    >>> _public("torch.nn.modules.dropout.Dropout")
    'torch.nn.Dropout'
    """
    if name.startswith(_LIBRARIES):
        for pattern, public in _PRIVATE:
            name = pattern.sub(public, name, count=1)
    return name


def dotted(node: ast.expr) -> str | None:
    """A chain of names as text, such as "a.b.c"; None for any other expression.

    >>> dotted(ast.parse("self.attn.p", mode="eval").body), dotted(ast.parse("f().p", mode="eval").body)
    ('self.attn.p', None)
    """
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):  # most chains
        return f"{node.value.id}.{node.attr}"
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join((node.id, *reversed(parts))) if isinstance(node, ast.Name) else None


def first_call(node: ast.expr) -> tuple[ast.expr, list[str]]:
    """The first call in a chain of method calls, and the names of the methods, the last one first.

    >>> call, methods = first_call(ast.parse("Net(8).cuda().half()", mode="eval").body)
    >>> ast.unparse(call), methods
    ('Net(8)', ['half', 'cuda'])
    """
    methods = []
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call):
        methods.append(node.func.attr)
        node = node.func.value
    return node, methods


def arguments(scope: Scope) -> list[ast.arg]:
    """All arguments that a function declares."""
    named = scope.args
    starred = [argument for argument in (named.vararg, named.kwarg) if argument is not None]
    return [*named.posonlyargs, *named.args, *named.kwonlyargs, *starred]
