"""THN204: dropout on the sum of a residual block, which drops the skip path too."""

from __future__ import annotations

from collections.abc import Iterator

from ...known.operations import ACTIVATIONS, NORMS, VIEWS
from ...watch.graph import through
from ...watch.trace import INPUT
from ..finding import Finding
from ..lens.examination import Examination
from ..lens.noise import noises
from ..rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    kept = through(VIEWS, NORMS, ACTIVATIONS)
    found = []
    for noise in noises(examination):
        skips = {item.add.index: item.skip for item in noise.graph.residuals if item.unchanged}
        sums = [at for at in noise.graph.before(noise.data, through(VIEWS, ACTIVATIONS)) if at in skips and at != INPUT]
        passed, ends = noise.graph.after(noise.call, kept)
        carried = {call.index for call in passed}
        if sums and any(skips.get(call.index) in carried for call in ends):
            inner = any(noise.graph.descends(at, other) for at in sums for other in skips)
            found.append((noise, inner))
    # The first sum in a model often belongs to no block: it adds a position encoding that is computed from the other
    # term. So it is a fault only if one of these sums depends on another residual sum.
    if any(inner for _, inner in found):
        for noise, _ in found:
            yield RULE.at(
                noise.place,
                "dropout behind a residual addition, on the path that the next addition skips along: skips are dropped "
                "too. Drop the branch before it is added: x + dropout(f(x))",
            )


RULE = Rule(
    code="THN204",
    name="dropout-after-residual-add",
    summary="Dropout on a residual sum: the skip path is dropped too.",
    what="""\
Flags noise on x + f(x), possibly behind an activation, whose result, possibly normalised, is again the skip x of a
later residual addition. `LayerNorm(dropout(f(x)) + x)`, as in BERT, is right. So is dropout on a sum of embeddings,
and on the last sum before a head.""",
    why="""\
The skip path is there to carry activations and gradients through unchanged. With dropout on it, after L blocks an
element has survived with probability (1 - p)^L, and the survivors are scaled by 1/(1 - p)^L: with p = 0.1 and 24
blocks 8 % of them, times 12.5.""",
    bad="""\
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 16)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        return self.dropout(x + self.layer(x).relu())


model = nn.Sequential(nn.Linear(8, 16), Block(), Block(), Block(), nn.Linear(16, 4))
example = (torch.randn(8, 8),)
""",
    good="""\
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 16)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        return x + self.dropout(self.layer(x).relu())


model = nn.Sequential(nn.Linear(8, 16), Block(), Block(), Block(), nn.Linear(16, 4))
example = (torch.randn(8, 8),)
""",
    instead="`x + dropout(f(x))`, which `thinned.nn.DropoutAdd` does in one pass over memory.",
    reference="He, Zhang, Ren and Sun 2016 (identity maps), section 3.1: dropout on shortcuts does not converge well.",
    live=live,
)
