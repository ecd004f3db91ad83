"""One rule: its texts, which are its documentation and its test, and how it looks at source code and at live models.

No torch here: `thinned check src/` reads every rule and must start fast.
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
    """A fault, how to see it, and what to do instead.

    `bad` and `good` are Python source. A rule with `source` flags `bad` and not `good` when it reads them. For a rule
    that is live only, each defines `model` and `example` (the tuple of inputs) when it is run.

    Raises: ValueError for a code that is none, or a rule that looks at nothing.
    """

    code: str  # "THN101"
    name: str  # names the fault: "functional-ignores-training"
    summary: str  # one line
    what: str  # Markdown, as all that follow but bad and good
    why: str
    bad: str
    good: str
    instead: str
    reference: str
    source: Callable[[SourceFile], Iterator[Finding]] | None = None
    live: Callable[[Examination], Iterator[Finding]] | None = None
    advice: bool = False  # information: its findings are shown, and never a failure

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(self.code):
            raise ValueError(f"`Rule`: `code` must be THN and a number from 100 to 699. Got {self.code!r}.")
        if self.source is None and self.live is None:
            raise ValueError(f"`Rule`: {self.code} must have `source`, `live` or both. Got neither.")

    @property
    def looks_at(self) -> tuple[str, ...]:
        """What the rule reads: "source", "models" or both."""
        return tuple(what for what, how in (("source", self.source), ("models", self.live)) if how is not None)

    def on(self, file: SourceFile, node: ast.AST, message: str, fix: Fix | None = None) -> Finding:
        """A finding of this rule on a node of a source file."""
        line, column = file.position(node)
        return Finding(self.code, message, file.path, line, column, fix=fix)

    def at(self, where: Place | Call | str, message: str) -> Finding:
        """A finding of this rule in a live model: at a place, at a call of a trace, or in the module of that name."""
        if isinstance(where, str):
            return Finding(self.code, message, place=where)
        name = where.name if hasattr(where, "name") else f"{where.module}:{where.function}"
        return Finding(self.code, message, where.file, where.line, place=name)
