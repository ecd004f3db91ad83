"""THN203: a dropout whose input is the output of another dropout."""

from __future__ import annotations

from collections.abc import Iterator

from ...known.operations import VIEWS
from ...watch.graph import through
from ..finding import Finding
from ..lens.examination import Examination
from ..lens.noise import noises, noises_in
from ..rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    by_call = {
        (trace, at): noise
        for trace in examination.passes
        for noise in noises_in(examination, trace)
        for at in (noise.call.index, noise.draw.index)
    }
    said = set()
    for second in noises(examination):
        for index in second.graph.before(second.data, through(VIEWS - {"getitem", "select"})):
            first = by_call.get((second.trace, index))
            if first is None or (first.place.name, second.place.name) in said:
                continue
            # Dropout of whole samples or channels after dropout of single elements is another kind of noise: no fault.
            if first.elementwise != second.elementwise or first.whole != second.whole:
                continue
            one, other = first.place.p, second.place.p
            together = (
                f" of {one:.3g} and {other:.3g} is one of {1 - (1 - one) * (1 - other):.3g}" if one and other else ""
            )
            said.add((first.place.name, second.place.name))
            which = "itself" if first.place == second.place else f"dropout {first.place.name!r}"
            yield RULE.at(second.place, f"dropout behind {which}: the two{together or ' are one'}. Keep one")


RULE = Rule(
    code="THN203",
    name="two-dropouts-in-a-row",
    summary="One dropout's output goes straight into another.",
    what="""\
Flags a place whose input is another place's output, or its own of an earlier call, with nothing or only views
between, where both draw in the same way: for each element, for each channel, or for each sample. Stochastic depth
behind element-wise dropout is not flagged.""",
    why="""\
Two dropouts of p and p' are one of 1 - (1 - p)(1 - p'): 0.5 twice is 0.75. Usually each was added without knowledge
of the other, at the end of one module and the beginning of the next, and nobody chose what they come to.""",
    bad="""\
import torch
from torch import nn

block = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.2))
head = nn.Sequential(nn.Dropout(0.3), nn.Linear(64, 10))
model = nn.Sequential(block, head)
example = (torch.randn(8, 16),)
""",
    good="""\
import torch
from torch import nn

block = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.2))
head = nn.Sequential(nn.Linear(64, 10))
model = nn.Sequential(block, head)
example = (torch.randn(8, 16),)
""",
    instead="Keep one of the two, at the p that the two were meant to come to.",
    reference="`docs/design/theory.md`.",
    live=live,
)
