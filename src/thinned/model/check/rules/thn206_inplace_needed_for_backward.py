"""THN206: a dropout with `inplace=True` that overwrites a tensor that the backward pass needs."""

from __future__ import annotations

from collections.abc import Iterator

from ...inspect.inplace import destructive
from ...watch.private_noise import seed
from ...watch.untouched import untouched
from ..finding import Finding
from ..lens.examination import Examination
from ..rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    model = examination.model
    if not any(call.writes and call.training for trace in examination.passes for call in trace.calls) and not any(
        getattr(module, "inplace", False) and place.name == name
        for name, module in examination.modules.items()
        for place in examination.inspection.places
    ):
        return
    places = [
        place for place in examination.inspection.places if place.train_calls and place.module in examination.modules
    ]
    blamed: dict[str, Finding] = {}
    for number in range(examination.repeats):
        with untouched("check", model):
            seed(number)
            found = destructive(model, examination.example, examination.keywords, places)
        for line, said in found:
            also = f" (and {len(line) - 1} more places of this line)" if len(line) > 1 else ""
            message = f"inplace=True{also} overwrites what the backward pass needs. torch: {said}"
            blamed.setdefault(line[0].name, RULE.at(line[0], message))
    yield from blamed.values()


RULE = Rule(
    code="THN206",
    name="inplace-needed-for-backward",
    summary="A dropout with inplace=True breaks the backward pass.",
    what="""\
Where a dropout works in place, runs the model forward and backward on the example and listens for torch's error about
a tensor that was modified in place, then lets one line of code at a time drop in place and the others on copies: the
lines that still fail are flagged. Gradients that parameters have are left as they are.""",
    why="""\
Sigmoid, tanh, softmax, exp, ReLU and others keep their *result* for their backward pass. A dropout that writes into
it makes training fail, with a message that names the operation that lost its result and not the dropout. Models that
only predict don't show it.""",
    bad="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Dropout(0.2, inplace=True), nn.Linear(64, 4))
example = (torch.randn(8, 16),)
""",
    good="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Dropout(0.2), nn.Linear(64, 4))
example = (torch.randn(8, 16),)
""",
    instead="Leave `inplace` away. Behind a layer that keeps its input only, such as `Linear`, it is safe.",
    reference="pytorch issues 727, 3785, 28017 and 72992.",
    live=live,
)
