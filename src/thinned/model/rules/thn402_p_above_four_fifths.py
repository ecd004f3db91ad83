"""THN402: a p above 0.8."""

from __future__ import annotations

from collections.abc import Iterator

from ..check.calls import ATTENTION, FUNCTIONS, MODULES, RECURRENT, argument, number
from ..check.examination import Examination
from ..check.finding import Finding
from ..check.rule import Rule
from ..check.source import SourceFile

_LIMIT = 0.8
_EVERYTHING = FUNCTIONS | ATTENTION | MODULES | RECURRENT


def _message(kind: str, p: float) -> str:
    return (
        f"`{kind}` drops {100 * p:g} % and multiplies the rest by {1 / (1 - p):.3g}: is p = {p:g} a keep probability?"
    )


def source(file: SourceFile) -> Iterator[Finding]:
    for call, name in file.calls:
        signature = _EVERYTHING.get(name)
        node = argument(call, signature.p, signature.p_names) if signature is not None else None
        p = number(node)
        if node is not None and p is not None and _LIMIT < p < 1:
            yield RULE.on(file, node, _message(name.rpartition(".")[2], p))


def live(examination: Examination) -> Iterator[Finding]:
    for place in examination.inspection.places:
        if place.p is not None and _LIMIT < place.p < 1:
            yield RULE.at(place, _message(place.kind, place.p))


RULE = Rule(
    code="THN402",
    name="p-above-four-fifths",
    summary="p is above 0.8.",
    what="Looks for a p above 0.8 and below 1, in source and in live models.",
    why="""\
In torch p is the probability that a unit is *dropped*. Values such as 0.9 come, as a rule, from a text or a program
whose p is the probability that a unit is *kept* (Srivastava et al. 2014, the first TensorFlow). Where it is meant,
the survivors are multiplied by 1/(1 - p), 10 at p = 0.9, and gradients are as noisy.""",
    bad="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.9), nn.Linear(64, 2))
example = (torch.rand(4, 8),)
""",
    good="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 2))
example = (torch.rand(4, 8),)
""",
    instead="1 minus the number, if it was a keep probability; otherwise at most 0.8, and a wider layer.",
    reference="""\
Srivastava et al. 2014, section 7.3 and figure 9: the error is flat for drop probabilities from 0.2 to 0.6.""",
    source=source,
    live=live,
)
