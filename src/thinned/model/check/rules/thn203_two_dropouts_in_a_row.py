"""THN203: a dropout whose input is the output of another dropout."""

from __future__ import annotations

from collections.abc import Iterator

from ...known.operations import SHAPE_ONLY, VIEWS
from ...watch.graph import through
from ...watch.trace import Trace
from ..finding import Finding
from ..lens.examination import Examination
from ..lens.noise import Noise, noises, noises_in
from ..rule import Rule

_VIEWS = through(VIEWS - {"getitem", "select"})


def live(examination: Examination) -> Iterator[Finding]:
    by_call = {
        (trace, at): noise
        for trace in examination.passes
        for noise in noises_in(examination, trace)
        for at in (noise.call.index, noise.draw.index)
    }
    behind: dict[tuple[Trace, int], tuple[Noise, list[Noise]]] = {}
    for second in noises(examination):
        for index in second.graph.before(second.data, _VIEWS):
            first = by_call.get((second.trace, index))
            # Dropout of whole samples or channels after dropout of single elements is another kind of noise: no fault.
            if first is not None and first.elementwise == second.elementwise and first.whole == second.whole:
                behind.setdefault((second.trace, index), (first, []))[1].append(second)
    said = set[tuple[str, str]]()
    for first, seconds in behind.values():
        if _has_another_path(first, seconds):
            continue
        new = [second for second in seconds if (first.place.name, second.place.name) not in said]
        said.update((first.place.name, second.place.name) for second in new)
        if new:
            yield RULE.at(new[0].place, _message(first, new))


def _has_another_path(first: Noise, seconds: list[Noise]) -> bool:
    """Whether what the first dropout makes also goes where no second one is, as beside the branch of an adapter."""
    _, readers = first.graph.after(first.call, _VIEWS)
    ends = {second.call.index for second in seconds}
    return first.call.index in first.trace.outputs or any(
        reader.function not in SHAPE_ONLY
        and reader.index not in ends
        and not any(first.graph.descends(end, reader.index) for end in ends)
        for reader in readers
    )


def _message(first: Noise, seconds: list[Noise]) -> str:
    one, other = first.place.p, seconds[0].place.p
    together = f" of {one:.3g} and {other:.3g} is one of {1 - (1 - one) * (1 - other):.3g}" if one and other else ""
    which = "itself" if first.place == seconds[0].place else f"dropout {first.place.name!r}"
    others = ", ".join(repr(second.place.name) for second in seconds[1:])
    more = f", and so at {others}" if others else ""
    return f"dropout behind {which}: the two{together or ' are one'}{more}. Keep one"


RULE = Rule(
    code="THN203",
    name="two-dropouts-in-a-row",
    summary="One dropout's output goes straight into another.",
    what="""\
Flags a place whose input is another place's output, or its own of an earlier call, with nothing or only views
between, where both draw in the same way: for each element, for each channel, or for each sample. Several places behind
one are one finding. Stochastic depth behind element-wise dropout is not flagged, nor is a second dropout on a side
branch, as of a LoRA adapter, where the first one's output goes another way too.""",
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
