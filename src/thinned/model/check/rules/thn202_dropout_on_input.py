"""THN202: dropout on the raw input with a large p, as information."""

from __future__ import annotations

from collections.abc import Iterator

from ...known.operations import MULTIPLIES, VIEWS
from ...watch.graph import through
from ...watch.trace import INPUT
from ..finding import Finding
from ..lens.examination import Examination
from ..lens.noise import noises
from ..rule import Rule

MILD = 0.2  # Srivastava et al. 2014 use a keep probability of 0.8 for inputs


def live(examination: Examination) -> Iterator[Finding]:
    for noise in noises(examination):
        p = noise.place.p if noise.place.p is not None else noise.place.measured
        ends = noise.graph.before(noise.data, through(VIEWS, MULTIPLIES, {"sub", "add"}))
        if ends == [INPUT] and noise.zeroing and p is not None and p > MILD:
            yield RULE.at(
                noise.place,
                f"p = {p:.3g} on the raw input: what is dropped here is lost to every layer. "
                f"Inputs bear {MILD} or less; put more of it on hidden activations",
            )


RULE = Rule(
    code="THN202",
    name="dropout-on-input",
    summary="Dropout of more than 0.2 on the raw input (information).",
    what=f"""\
Points out noise that acts on the example itself, with views and scaling by constants between, at p above {MILD}. This
is information and no failure: on images and counts in [0, 1] it is augmentation, graph networks use 0.5 on sparse
features, and denoising needs it. Embeddings are no raw input and are not looked at.""",
    why="""\
A hidden layer has other units that carry the same information; an input often has not. For standardised columns a 0
is the mean, so a value is replaced by a plausible wrong one; for raw columns it may be a value that never occurs.""",
    bad="""\
import torch
from torch import nn

model = nn.Sequential(nn.Dropout(0.5), nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 10))
example = (torch.randn(8, 16),)
""",
    good="""\
import torch
from torch import nn

model = nn.Sequential(nn.Dropout(0.1), nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10))
example = (torch.randn(8, 16),)
""",
    instead="Use p of 0.2 or less on the input, and dropout on hidden activations.",
    reference="Srivastava et al. 2014, appendix A.4: keep 0.8 of real-valued inputs.",
    live=live,
    advice=True,
)
