"""THN401: p is 1, or is written as 0 in the source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..finding import Finding
from ..lens.calls import MODULES, number
from ..lens.noisy_calls import rates
from ..lens.source_file import SourceFile
from ..rule import Rule

if TYPE_CHECKING:
    from ..lens.examination import Examination


def source(file: SourceFile) -> Iterator[Finding]:
    for name, node in rates(file):
        p, short = number(node), name.rpartition(".")[2]
        if p == 1:
            yield RULE.on(file, node, f"`{short}` drops everything: p is 1")
        elif p == 0 and name.startswith(("torch.nn.", "thinned.nn.")) and name in MODULES:
            yield RULE.on(file, node, f"`{short}` does nothing: p is 0")


def live(examination: Examination) -> Iterator[Finding]:
    for place in examination.inspection.places:
        if place.p is not None and place.p >= 1:
            yield RULE.at(place, f"`{place.kind}` drops everything: p is {place.p:g}")


RULE = Rule(
    code="THN401",
    name="p-at-the-edge",
    summary="p is 1, which drops everything, or a written 0, which does nothing.",
    what="""\
Looks for a p of 1, in source and in live models. In source also for a dropout module built with a literal 0, such as
`nn.Dropout(0.0)`. A p of 0 that comes from a setting is no fault, and neither is one in a live model.""",
    why="""\
With p = 1 the output and its gradient are 0 in training: what lies before learns nothing. A literal 0 is most often
left over from an experiment; the reader takes the network for one with dropout.""",
    bad="""\
from torch import nn

net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(1.0), nn.Linear(8, 2))
""",
    good="""\
from torch import nn

net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 2))
""",
    instead="""\
A p between 0 and 1; if 1 % was meant, 0.01. Where nothing is to be dropped, no layer, or `nn.Identity()`.""",
    reference="torch's documentation of `nn.Dropout`: p is the probability that an element is zeroed.",
    source=source,
    live=live,
)
