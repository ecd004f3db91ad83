"""What an import inside a function gives, as far as it is loaded already: reading loads nothing."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class NotLoaded:
    """A module, or a name in one, that no import has loaded yet: its file, if there is one of source."""

    def __init__(self, file: str) -> None:
        self.file = file

    def says(self, words: set[str]) -> bool:
        """Whether the text of the file has one of these words."""
        try:
            text = Path(self.file).read_text(errors="replace")
        except OSError:
            return False
        return any(word in text for word in words)


def imported(node: ast.Import | ast.ImportFrom, space: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each name that an import gives, a `NotLoaded` where nothing has loaded it; None if unknown."""
    if isinstance(node, ast.Import):
        named = ((alias.asname or alias.name.partition(".")[0], alias) for alias in node.names)
        return {name: _module(alias.name if alias.asname else name) for name, alias in named}
    home = "." * node.level + (node.module or "")
    try:
        home = importlib.util.resolve_name(home, space.get("__package__") or "")
    except ImportError:
        return {}
    module = _module(home)
    found: dict[str, Any] = {}
    for alias in node.names:
        name = alias.asname or alias.name
        if isinstance(module, NotLoaded) or module is None:
            found[name] = module
        else:
            found[name] = getattr(module, alias.name, None) or _module(f"{home}.{alias.name}")
    return found


def _module(name: str) -> Any:
    if name in sys.modules:
        return sys.modules[name]
    path: list[str] | None = None
    spec = None
    for end in range(1, name.count(".") + 2):  # the finder of files loads no package, as `find_spec` would
        whole = ".".join(name.split(".")[:end])
        spec = importlib.machinery.PathFinder.find_spec(whole, path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return NotLoaded(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None
