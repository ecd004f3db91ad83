"""THN404: an argument that is a keep probability by its name, in place of a drop probability."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..finding import Finding
from ..lens.calls import number
from ..lens.noisy_calls import rates
from ..lens.source_file import SourceFile, dotted
from ..rule import Rule

_KEEP = re.compile(r"(^|_)(keep|kept|retain|retention|survival)(_|$|p$)|keep_?prob|survival_?prob", re.IGNORECASE)
_DROP = re.compile(r"drop", re.IGNORECASE)


def source(file: SourceFile) -> Iterator[Finding]:
    for name, node in rates(file):
        short = name.rpartition(".")[2]
        if _KEEP.search(_last(node)):
            said = f"`{file.segment(node)}` says that it is one to keep"
            yield RULE.on(file, node, f"`{short}` takes the probability to drop, and {said}")
        elif (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Sub)
            and number(node.left) == 1
            and _DROP.search(_last(node.right))
            and not _KEEP.search(_last(node.right))
        ):
            said = f"`{file.segment(node)}` is one to keep"
            yield RULE.on(file, node, f"`{short}` takes the probability to drop, and {said}")


def _last(node: ast.expr) -> str:
    """The last name of a chain: "keep_prob" for `self.config.keep_prob`."""
    return (dotted(node) or "").rpartition(".")[2]


RULE = Rule(
    code="THN404",
    name="p-looks-like-keep-probability",
    summary="The value given for p is, by its name, a probability to keep.",
    what="""\
Looks for a p whose name says keep, retain or survival (`keep_prob`, `self.retain`), and for `1 - drop_prob` and the
like. `1 - keep_prob` is right and left alone.""",
    why="""\
torch's p is the probability that a unit is dropped. The two agree at 0.5 only, which is why the mistake outlives
tests: at keep 0.9 the network loses 90 % of its units instead of 10 %.""",
    bad="""\
from torch import nn


def head(keep_prob=0.9):
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(keep_prob), nn.Linear(8, 2))
""",
    good="""\
from torch import nn


def head(keep_prob=0.9):
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(1 - keep_prob), nn.Linear(8, 2))
""",
    instead="`1 - keep_prob`; better, a name that says drop.",
    reference="""\
<https://github.com/piergiaj/pytorch-i3d/issues/58>, among many; the names changed in TensorFlow 1.13 too.""",
    source=source,
)
