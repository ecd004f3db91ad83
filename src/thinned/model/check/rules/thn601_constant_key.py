"""THN601: a constant key, so that every call has the same mask."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..finding import Finding
from ..lens.calls import number
from ..lens.classes import acts_as_module, assignments, is_forward
from ..lens.source_file import SourceFile, dotted
from ..rule import Rule


def source(file: SourceFile) -> Iterator[Finding]:
    if not file.says("thinned"):
        return
    for call in file.nodes(ast.Call):
        key = next((keyword.value for keyword in call.keywords if keyword.arg == "key"), None)
        found = file.method(call)
        if key is None or number(key) is None or found is None:
            continue
        cls, method = found
        if is_forward(method) and acts_as_module(file, cls) and _is_ours(file, cls, call.func):
            text = file.segment(call.func)
            yield RULE.on(
                file, key, f"`{text}` drops the same units at every call: its key is always {file.segment(key)}"
            )


def _is_ours(file: SourceFile, cls: ast.ClassDef, function: ast.expr) -> bool:
    """Whether a function of thinned is called, or an attribute to which the class assigns a layer of thinned's."""
    if (file.resolve(function) or "").startswith("thinned."):
        return True
    name = dotted(function) or ""
    return name.startswith("self.") and any(
        isinstance(value, ast.Call) and (file.resolve(value.func) or "").startswith("thinned.nn.")
        for _, value in assignments(file, cls, name.removeprefix("self."))
    )


RULE = Rule(
    code="THN601",
    name="constant-key",
    summary="A layer gets the same key, and so the same mask, at every call.",
    what="Looks for a literal `key=` of thinned's layers and functions in a module's `forward`.",
    why="""\
The mask is a function of the key. With one key for ever the same units are dropped at every step: the others train as
a smaller network, and what is dropped never learns.""",
    bad="""\
import thinned.nn.functional as F
from torch import nn


class Net(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5, training=self.training, key=7)
""",
    good="""\
import thinned.nn.functional as F
from torch import nn


class Net(nn.Module):
    def forward(self, x, key=None):
        return F.dropout(x, 0.5, training=self.training, key=key)
""",
    instead="""\
No key, which draws a new one at each call from torch's generator; a key that the caller passes in and changes; or
`thinned.stream`, whose masks are reproducible and new at each step.""",
    reference="docs/guides/streams.md.",
    source=source,
)
