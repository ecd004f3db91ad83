"""Functions of other files of the project that drop in both modes: `from .ops import drop`. Nothing is imported."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from .calls import DELIBERATE, FUNCTIONS, given, is_open, literal, number
from .mode import guarded
from .noisy_calls import noisy_calls
from .remembered import remembered
from .source_file import SourceFile, arguments, read

_DEEPEST = 4  # files that a name is followed through


class ForeignNoise(NamedTuple):
    """The dropout of a function of another file that drops in both modes, whoever calls it."""

    path: str
    line: int


@remembered
def foreign_noise(file: SourceFile) -> list[tuple[ast.Call, str, ForeignNoise]]:
    """The calls of a file that run a function of another file of the project that drops in both modes."""
    if not _modules_beside(file) and not any(name.startswith(".") for name in file.aliases.values()):
        return []
    calls = [(call, name) for call, name in file.calls if _is_of_project(file, name)]
    noises = {name: _looked_up(file.path, name, 0) for name in {name for _, name in calls}}
    return [(call, name.rpartition(".")[2], noise) for call, name in calls if (noise := noises[name]) is not None]


def _is_of_project(file: SourceFile, name: str) -> bool:
    """Whether a qualified name is one of a module that an import of this file finds beside it."""
    return name.startswith(".") or ("." in name and name.partition(".")[0] in _modules_beside(file))


@remembered
def _modules_beside(file: SourceFile) -> frozenset[str]:
    """The modules that a file imports by names, and that stand beside it or beside the packages that it is in."""
    firsts = {name.partition(".")[0] for name in file.aliases.values()} - {""}
    names: set[str] = set()
    for folder in _roots(Path(file.path)) if firsts else ():
        try:
            names |= firsts & _listed(folder, folder.stat().st_mtime_ns)
        except OSError:
            continue
    return frozenset(names)


@lru_cache(maxsize=64)
def _listed(folder: Path, changed: int) -> frozenset[str]:
    """The modules in a folder. `changed` is the time of its last change."""
    return frozenset(entry.name.removesuffix(".py") for entry in os.scandir(folder))


def _roots(path: Path) -> Iterator[Path]:
    """The folder of a file, and the one that holds its outermost package."""
    folder = path.parent
    yield folder
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        folder = folder.parent
    if folder != path.parent:
        yield folder


def _looked_up(path: str, name: str, depth: int) -> ForeignNoise | None:
    """The dropout of a function of the project, by the function's qualified name in a file."""
    parts = name.rpartition(".")
    pairs = [(parts[0], parts[2])]
    if "." in parts[0].lstrip("."):  # a static method: `.ops.Ops.drop`
        home, _, cls = parts[0].rpartition(".")
        pairs.append((home, f"{cls}.{parts[2]}"))
    for home, function in pairs if depth <= _DEEPEST else ():
        for module in _files(Path(path), home):
            noise = _offered(str(module), function, depth)
            if noise is not None:
                return noise
    return None


def _files(path: Path, home: str) -> Iterator[Path]:
    """The files that a module's name may mean: `.ops`, `..nn.ops`, `package.ops`, or `ops` beside the file."""
    level = len(home) - len(home.lstrip("."))
    parts = [part for part in home[level:].split(".") if part]
    folders = [*_roots(path)]
    if level:
        folders = [path.parents[level - 1]] if level <= len(path.parents) else []
    for folder in folders:
        whole = folder.joinpath(*parts)
        for each in (whole.parent / f"{whole.name}.py", whole / "__init__.py") if parts else (folder / "__init__.py",):
            if each.is_file():
                yield each


@lru_cache(maxsize=256)
def _text(path: str, changed: int) -> str:
    """A file of the project. `changed` is the time of its last change."""
    return read(Path(path)).text


@lru_cache(maxsize=256)
def _read(path: str, changed: int) -> SourceFile:
    return SourceFile(path, _text(path, changed))


def _offered(path: str, function: str, depth: int) -> ForeignNoise | None:
    """The dropout of a function that a file offers, its own or one that it imports. One name is followed, not all."""
    first, dot, rest = function.partition(".")
    try:
        changed = Path(path).stat().st_mtime_ns
        if first not in _text(path, changed):
            return None
        file = _read(path, changed)
        line = _own(file).get(function)
        if line is not None:
            return ForeignNoise(path, line)
        whole = file.aliases.get(first)
        if whole is None or not _is_of_project(file, whole):
            return None
        return _looked_up(path, f"{whole}{dot}{rest}", depth + 1)
    except (OSError, SyntaxError, RecursionError, MemoryError):
        return None


@remembered
def _own(file: SourceFile) -> dict[str, int]:
    """The functions and static methods of a file that drop whatever the mode is, and the line of the dropout."""
    found: dict[str, int] = {}
    for call, _, entry, whole, _ in noisy_calls(file, FUNCTIONS) if file.says("rop") else ():
        if entry.training is None or is_open(whole) or guarded(file, call) or file.silences(call.lineno, "THN101"):
            continue
        told, p = given(whole, entry.training), given(whole, entry.p)
        always = entry.training.default is True if told is None else literal(told, True)
        around = [*file.functions_around(call)]
        if len(around) != 1 or not always or number(p) == 0 or DELIBERATE.search(around[0].name):
            continue
        if isinstance(p, ast.Name) and p.id in {argument.arg for argument in arguments(around[0])}:
            continue  # the caller may pass 0 in evaluation
        above = next(file.above(around[0]))
        marks = {mark.id for mark in around[0].decorator_list if isinstance(mark, ast.Name)}
        if isinstance(above, ast.Module):
            found[around[0].name] = call.lineno
        elif isinstance(above, ast.ClassDef) and marks & {"staticmethod", "classmethod"}:
            found[f"{above.name}.{around[0].name}"] = call.lineno
    return found
