"""Reads [tool.thinned] in pyproject.toml: the rules and files of a check."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from ...regular_file import read_regular
from .registry import BY_CODE, ENTRIES, rule
from .rule import Rule

_LISTS = ("select", "ignore", "exclude")
_KEYS = (*_LISTS, "per-file-ignores")
# Folders that are never searched, because they hold no code of the user.
SKIPPED = {
    *(".venv", "venv", ".git", ".hg", ".svn", "build", "dist", "node_modules", "site-packages", "__pycache__"),
    *(".ipynb_checkpoints", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".tox", ".nox", ".eggs", "__pypackages__"),
}


class CheckError(ValueError):
    """A check cannot run: a path, an option or a setting is wrong."""


@dataclass(frozen=True)
class Settings:
    """The settings of a check: which rules are on, and for which files."""

    root: Path = Path()  # the folder to which patterns of paths are relative
    select: tuple[str, ...] = ("THN",)
    ignore: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    per_file_ignores: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def rules(self, kind: str, path: Path | None = None) -> list[Rule]:
        """The rules that are on, in order, for `kind`: "source" or "models". With `path`, those for this file."""
        ignored = list(self.ignore)
        if path is not None:
            ignored += [code for pattern, codes in self.per_file_ignores if self._fits(path, pattern) for code in codes]
        on = (entry.code for entry in ENTRIES if kind in entry.looks_at and chosen(entry.code, self.select, ignored))
        return [rule(code) for code in on]

    def excludes(self, path: Path) -> bool:
        """Whether a pattern of `exclude` matches the path or a folder above it, by its relative path or its name."""
        return any(self._fits(above, pattern) for above in (path, *path.parents) for pattern in self.exclude)

    def _fits(self, path: Path, pattern: str) -> bool:
        relative = path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()
        if not path.is_relative_to(self.root) or relative == ".":
            return False
        pattern = pattern.rstrip("/")
        return fnmatch(relative, pattern) or fnmatch(path.name, pattern)


def chosen(code: str, select: Iterable[str], ignore: Iterable[str]) -> bool:
    """Whether a code is on. The longest matching prefix decides; if two are equally long, `ignore` wins.

    >>> chosen("THN101", ["THN1"], []), chosen("THN101", ["THN"], ["THN1"]), chosen("THN101", ["THN101"], ["THN1"])
    (True, False, True)
    """

    def longest(prefixes: Iterable[str]) -> int:
        return max((len(prefix) for prefix in prefixes if code.startswith(prefix)), default=-1)

    return longest(select) > longest(ignore)


def prefixes(given: Iterable[str], owner: str) -> tuple[str, ...]:
    """Codes or beginnings of codes, split at commas, in capitals. "ALL" becomes "THN".

    Raises:
        CheckError: no rule has a code that begins so.
    """
    found = [part.strip().upper() for item in given for part in item.split(",") if part.strip()]
    found = ["THN" if part == "ALL" else part for part in found]
    for part in found:
        if not any(code.startswith(part) for code in BY_CODE):
            raise CheckError(f"{owner} must be codes of rules or their beginnings. Got {part!r}. See `thinned rules`.")
    return tuple(found)


@cache
def settings_for(folder: Path) -> Settings:
    """The settings of the nearest pyproject.toml with [tool.thinned], in `folder` or a folder above it.

    Raises:
        CheckError: the file cannot be read, a key is unknown, or a value has the wrong type.
    """
    for above in (folder, *folder.parents):
        path = above / "pyproject.toml"
        if os.path.lexists(path):
            table = _table(path)
            if table is not None:
                return _settings(path, table)
    return Settings(folder)


def _table(path: Path) -> Any:
    """[tool.thinned] of a file; None if it has none."""
    try:
        tools = tomllib.loads(read_regular(path).decode()).get("tool")
    except OSError as error:
        raise CheckError(f"{path} can't be read: {error.strerror}.") from None
    except ValueError as error:
        raise CheckError(f"{path} can't be read: {error}") from None
    except RecursionError:
        raise CheckError(f"{path} can't be read: it is nested too deeply.") from None
    return tools.get("thinned") if isinstance(tools, dict) else None


def _settings(path: Path, table: Any) -> Settings:
    owner = f"{path}: [tool.thinned]"
    if not isinstance(table, dict):
        raise CheckError(f"{owner} must be a table. Got {table!r}.")
    if unknown := [key for key in table if key not in _KEYS]:
        raise CheckError(f"{owner} must have no keys but {', '.join(_KEYS)}. Got {', '.join(unknown)}.")
    for key in _LISTS:
        _strings(owner, key, table.get(key, []))
    each = table.get("per-file-ignores", {})
    if not isinstance(each, dict):
        raise CheckError(f"{owner}: `per-file-ignores` must be a table from patterns to codes. Got {each!r}.")
    return Settings(
        path.parent,
        prefixes(table["select"], f"{owner}: `select`") if "select" in table else ("THN",),
        prefixes(table.get("ignore", ()), f"{owner}: `ignore`"),
        tuple(table.get("exclude", ())),
        tuple(
            (pattern, prefixes(_strings(owner, "per-file-ignores", codes), f"{owner}: `per-file-ignores`"))
            for pattern, codes in each.items()
        ),
    )


def _strings(owner: str, key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise CheckError(f"{owner}: `{key}` must be a list of strings. Got {value!r}.")
    return value
