"""The class `Rule`: a rule's code, its texts, and the functions that search source code and live models for its fault.

The texts are the rule's documentation and its test. This file must not import torch, because `thinned check src/` loads
every rule for source code and must start fast.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .finding import Finding, Fix

if TYPE_CHECKING:
    import ast

    from ..inspect.place import Place
    from ..watch.trace import Call
    from .lens.examination import Examination
    from .lens.source_file import SourceFile

_CODE = re.compile(r"THN[1-6]\d\d")


@dataclass(frozen=True)
class Rule:
    """One rule: the description of a fault, the functions that find it, and what to do instead.

    `bad` and `good` are Python source. A rule with `source` must report `bad` and not `good`. If a rule has `live`
    only, `bad` and `good` are run, and define `model` and `example` (the tuple of inputs).

    Raises:
        ValueError: `code` is no code, or the rule has neither `source` nor `live`.
    """

    code: str  # "THN101"
    name: str  # a name for the fault: "functional-ignores-training"
    summary: str  # one line
    what: str  # Markdown; so are the texts below, except bad and good
    why: str
    bad: str
    good: str
    instead: str
    reference: str
    source: Callable[[SourceFile], Iterator[Finding]] | None = None
    live: Callable[[Examination], Iterator[Finding]] | None = None
    advice: bool = False  # the findings are information: they are shown, and the check does not fail

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(self.code):
            raise ValueError(f"`Rule`: `code` must be THN and a number from 100 to 699. Got {self.code!r}.")
        if self.source is None and self.live is None:
            raise ValueError(f"`Rule`: {self.code} must have `source`, `live` or both. Got neither.")

    @property
    def looks_at(self) -> tuple[str, ...]:
        """What the rule searches: "source", "models" or both."""
        return tuple(what for what, how in (("source", self.source), ("models", self.live)) if how is not None)

    def on(self, file: SourceFile, node: ast.AST, message: str, fix: Fix | None = None) -> Finding:
        """A finding of this rule at a node of a source file."""
        line, column = file.position(node)
        return Finding(self.code, message, file.path, line, column, fix=fix)

    def at(self, where: Place | Call | str, message: str) -> Finding:
        """A finding of this rule in a live model: at a place, at a call of a trace, or in a module, given by name."""
        if isinstance(where, str):
            return Finding(self.code, message, place=where)
        name = where.name if hasattr(where, "name") else f"{where.module}:{where.function}"
        return Finding(self.code, message, where.file, where.line, place=name)
