"""THN201: dropout on the output of the model: logits, or predictions of a regression."""

from __future__ import annotations

from collections.abc import Iterator

from ...known.operations import MULTIPLIES, VIEWS
from ...watch.graph import through
from ...watch.trace import INPUT
from ..finding import Finding
from ..lens.examination import Examination
from ..lens.noise import noises
from ..rule import Rule

_LINKS = {"softmax", "log_softmax", "sigmoid", "logsigmoid", "softmin"}  # from the last layer to probabilities


def live(examination: Examination) -> Iterator[Finding]:
    link = through(VIEWS, MULTIPLIES, _LINKS)
    for noise in noises(examination):
        trace = noise.trace
        passed, ends = noise.graph.after(noise.call, link)
        if not any(call.index in trace.outputs for call in passed):
            continue
        made = [trace.calls[index] for index in noise.graph.before(noise.data, link) if index != INPUT]
        if not any(noise.graph.is_layer(call) for call in made):
            continue  # the output are features, for layers outside of this model
        waiting, seen = list(ends), {call.index for call in passed}
        while waiting:  # the calls that depend on it: if a layer of the model reads it too, it is not only an output
            call = waiting.pop()
            if call.index not in seen:
                seen.add(call.index)
                waiting += trace.consumers(call)
        if any(noise.graph.is_layer(trace.calls[index]) for index in seen - {call.index for call in passed}):
            continue
        yield RULE.at(
            noise.place,
            "dropout on the model's output: it zeroes predictions themselves, which no later layer can make good. "
            "Put it before the last layer",
        )


RULE = Rule(
    code="THN201",
    name="dropout-on-output",
    summary="Dropout on the model's output or logits.",
    what="""\
Flags noise on what a last layer makes, where only views, scaling, softmax or sigmoid lie between it and the model's
output. Dropout on *features* that a backbone gives out (behind an activation, a normalisation or an addition) is left
alone. A part of a larger model looks like a model of its own: check the whole.""",
    why="""\
A dropped logit is 0 and the others grow by 1/(1 - p): the loss punishes the network for what the noise did, at
random, with a gradient that says nothing. A regression's output that is 0 with probability p has a loss of at least p
times the target's square, which no weights can lower.""",
    bad="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 10), nn.Dropout(0.2))
example = (torch.randn(8, 16),)
""",
    good="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))
example = (torch.randn(8, 16),)
""",
    instead="Put the dropout before the last layer, on what it reads.",
    reference="Srivastava et al. 2014, section 4: the units that are dropped are inputs and hidden units.",
    live=live,
)
