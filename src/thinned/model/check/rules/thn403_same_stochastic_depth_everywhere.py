"""THN403: stochastic depth with the same p at every depth, as information."""

from __future__ import annotations

from collections.abc import Iterator

from ...known.operations import MULTIPLIES, VIEWS
from ...watch.graph import through
from ..finding import Finding
from ..lens.examination import Examination
from ..lens.noise import noises
from ..rule import Rule

ENOUGH = 4  # the fewest residual branches for which p is compared


def live(examination: Examination) -> Iterator[Finding]:
    places = {}
    for noise in noises(examination):
        _, ends = noise.graph.after(noise.call, through(VIEWS, MULTIPLIES))
        if noise.whole and noise.place.p and any(item.add in ends for item in noise.graph.residuals):
            places[noise.place.name] = noise.place
    rates = {place.p for place in places.values()}
    if len(places) >= ENOUGH and len(rates) == 1:
        first, (p,) = next(iter(places.values())), rates
        yield RULE.at(
            first,
            f"stochastic depth has p = {p:.3g} in all {len(places)} residual branches: early blocks, which all later "
            f"ones need, drop as often as late ones. A linear rise is usual: thinned.nn.linear_decay({p:.3g}, L)",
        )


RULE = Rule(
    code="THN403",
    name="same-stochastic-depth-everywhere",
    summary="Stochastic depth has the same p at every depth (information).",
    what=f"""\
Points out a model with {ENOUGH} residual branches or more under stochastic depth, all at the same p. This is
information and no failure: CaiT and DeiT III have one p on purpose.""",
    why="""\
The features that early blocks make are used by all later ones. In the paper a linear rise from 0 to p trained better
than one p at equal strength, and it is what timm's `drop_path_rate` and torchvision's `stochastic_depth_prob` do. One
p everywhere is often a decay that was forgotten: of the expected depth it takes twice as much.""",
    bad="""\
import torch
from torch import nn
import thinned.nn


class Block(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.layer, self.path = nn.Linear(16, 16), thinned.nn.StochasticDepth(p)

    def forward(self, x):
        return x + self.path(self.layer(x).relu())


model = nn.Sequential(nn.Linear(8, 16), *(Block(0.2) for _ in range(6)), nn.Linear(16, 4))
example = (torch.randn(8, 8),)
""",
    good="""\
import torch
from torch import nn
import thinned.nn


class Block(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.layer, self.path = nn.Linear(16, 16), thinned.nn.StochasticDepth(p)

    def forward(self, x):
        return x + self.path(self.layer(x).relu())


model = nn.Sequential(nn.Linear(8, 16), *map(Block, thinned.nn.linear_decay(0.2, 6)), nn.Linear(16, 4))
example = (torch.randn(8, 8),)
""",
    instead="`thinned.nn.linear_decay(p, depth)`, one value a block.",
    reference="Huang, Sun, Liu, Sedra and Weinberger 2016, equation 4 and figure 8.",
    live=live,
    advice=True,
)
