"""THN303: dropout that zeroes units right before or after SELU, in place of alpha dropout."""

from __future__ import annotations

from collections.abc import Iterator

from ...known.operations import VIEWS
from ...watch.graph import through
from ...watch.trace import INPUT
from ..finding import Finding
from ..lens.examination import Examination
from ..lens.noise import noises
from ..rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    for noise in noises(examination):
        trace = noise.trace
        if not noise.zeroing or noise.whole:
            continue
        made = [trace.calls[index] for index in noise.graph.before(noise.data, through(VIEWS)) if index != INPUT]
        _, read = noise.graph.after(noise.call, through(VIEWS))
        behind = any(call.function == "selu" for call in made)
        if behind or any(call.function == "selu" for call in read):
            yield RULE.at(
                noise.place,
                f"dropout that zeroes, right {'behind' if behind else 'before'} SELU: it undoes the mean of 0 and the "
                f"variance of 1. Use AlphaDropout{'' if noise.elementwise else ' (FeatureAlphaDropout for channels)'}",
            )


RULE = Rule(
    code="THN303",
    name="zeroing-around-selu",
    summary="Zeroing dropout right before or behind SELU.",
    what="""\
Flags dropout that sets units to 0 (`Dropout`, `Dropout1d/2d/3d`, masks made by hand) whose input comes from `selu`,
or whose output goes into it, with only views between.""",
    why="""\
SELU keeps activations at mean 0 and variance 1 by itself, which is all that it is for. For such inputs, zeroing with
division by 1 - p makes the variance 1/(1 - p). Alpha dropout sets dropped units to SELU's saturation value, -1.7581,
and corrects by an affine map, so that both are kept.""",
    bad="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(16, 64), nn.SELU(), nn.Dropout(0.1), nn.Linear(64, 10))
example = (torch.randn(8, 16),)
""",
    good="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(16, 64), nn.SELU(), nn.AlphaDropout(0.1), nn.Linear(64, 10))
example = (torch.randn(8, 16),)
""",
    instead="`AlphaDropout`, or `FeatureAlphaDropout` where whole channels are dropped, at p of 0.05 to 0.1.",
    reference="Klambauer, Unterthiner, Mayr and Hochreiter 2017.",
    live=live,
)
