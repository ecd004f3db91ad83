"""THN108: a dropout module, or a mask made by hand, that draws noise in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator

from ...known.functions import DRAWS
from ..finding import Finding
from ..lens.examination import Examination
from ..rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    inspection = examination.inspection
    masks = {call.applies for call in inspection.eval.calls if call.applies is not None}
    drawn = [inspection.eval.calls[index] for index in masks]
    for place in inspection.places:
        if not place.eval_calls or place.module not in examination.modules:
            continue  # modules built in a forward are reported by THN103
        by_hand = any(
            call.module == place.module and (call.file, call.line) == (place.file, place.line) for call in drawn
        )
        if place.name == place.module and not any(
            call.draws and call.function in DRAWS and call.index not in masks
            for call in inspection.eval.of(place.module)
        ):
            whose = f"{place.kind} draws"
        elif by_hand:
            whose = "a mask made by hand is drawn"
        else:
            continue  # functions of torch: THN101, THN102. Other random numbers are no mask
        when = "and not in training" if not place.train_calls else "as in training"
        yield RULE.at(
            place,
            f"{whose} in evaluation mode, {when}: predictions are noisy. "
            + ("Draw it under `if self.training:`" if by_hand else "Let its `training` follow the model's"),
        )


RULE = Rule(
    code="THN108",
    name="noise-in-eval",
    summary="A dropout module or a hand-written mask draws noise in evaluation mode.",
    what="""\
Flags dropout modules that draw after `model.eval()`, and masks made by hand (`torch.rand(...) > p`, `bernoulli_`)
that thin a tensor then. Functional dropout is THN101, attention THN102, modules built in `forward` THN103. Random
numbers that are no mask are left alone: samples of a latent variable, diffusion noise, a random choice of patches.""",
    why="""\
`eval()` is what everybody calls before validation and serving. With a mask still drawn, the same input gives
different answers, validation loss is that of a thinned network, and only a second look at the numbers shows it.""",
    bad="""\
import torch
from torch import nn


class Masked(nn.Module):
    def forward(self, x):
        return x * (torch.rand_like(x) > 0.3) / 0.7


model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), Masked(), nn.Linear(64, 4))
example = (torch.randn(8, 16),)
""",
    good="""\
import torch
from torch import nn


class Masked(nn.Module):
    def forward(self, x):
        return x * (torch.rand_like(x) > 0.3) / 0.7 if self.training else x


model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), Masked(), nn.Linear(64, 4))
example = (torch.randn(8, 16),)
""",
    instead="`if self.training:` around the mask. For Monte-Carlo predictions on purpose, `thinned.predict`.",
    reference="pytorch issue 26338.",
    live=live,
)
