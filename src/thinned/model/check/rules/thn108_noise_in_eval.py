"""THN108: a dropout module, or a mask made by hand, that draws noise in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator

from ...known.functions import DRAWS, MASKS, UNIFORM, told_to_drop
from ...known.operations import COMPARISONS, POSITIONS, REPEATS, SELECTS, SHAPE_ONLY, SHAPES
from ...watch.trace import Call, Trace
from ..finding import Finding
from ..lens.examination import Examination
from ..rule import Rule

# Calls behind which random numbers are a mask, or still one.
_FOLLOWED = COMPARISONS | SHAPES | POSITIONS | REPEATS
_FOLLOWED |= {"logical_not", "logical_and", "logical_or", "and", "or", "xor", "bool", "bitwise_not", "eq", "ne"}


def live(examination: Examination) -> Iterator[Finding]:
    inspection = examination.inspection
    masks = {call.applies for call in inspection.eval.calls if call.applies is not None}
    drawn = [inspection.eval.calls[index] for index in masks]
    selecting = _selecting(inspection.eval)
    for place in inspection.places:
        if not place.eval_calls or place.module not in examination.modules:
            continue  # modules built in a forward are reported by THN103
        by_hand, by_choice = (
            any(call.module == place.module and (call.file, call.line) == (place.file, place.line) for call in calls)
            for calls in (drawn, selecting)
        )
        if place.name == place.module and not any(
            call.draws and call.function in DRAWS and call.index not in masks
            for call in inspection.eval.of(place.module)
        ):
            whose = f"{place.kind} draws"
        elif by_hand:
            whose = "a mask made by hand is drawn"
        elif by_choice:
            whose = "a mask that selects what is kept is drawn"
        elif "." in place.kind and (
            "drop" in place.kind
            or any(told_to_drop(call.arguments) for call in inspection.eval.calls if call.function == place.kind)
        ):
            whose = f"the operator {place.kind} draws"
        else:
            continue  # functions of torch: THN101, THN102. Other random numbers are no mask
        when = "and not in training" if not place.train_calls else "as in training"
        yield RULE.at(
            place,
            f"{whose} in evaluation mode, {when}: predictions are noisy. "
            + (
                "Draw it under `if self.training:`" if by_hand or by_choice else "Let its `training` follow the model's"
            ),
        )


def _selecting(trace: Trace) -> list[Call]:
    """The draws that pick, compared with a number, the parts of another tensor that are kept: `x[:, rand > p]`."""
    noise: dict[int, set[int]] = {}  # what is made of random numbers alone, and the draws that it is made of
    masks: dict[int, set[int]] = {}
    fixed: set[int] = set()  # what is made of no tensor of the model or the example: `torch.full(...)`
    found: set[int] = set()
    for call in trace.calls:
        if call.draws:
            if call.function in UNIFORM or (call.function in MASKS and fixed.issuperset(call.inputs)):
                (masks if call.function in MASKS else noise)[call.index] = {call.index}
            continue
        if call.function in SHAPE_ONLY or (fixed.issuperset(call.inputs) and not call.parameters):
            fixed.add(call.index)
            continue
        random = [index for index in call.inputs if index in noise or index in masks]
        picks = [index for index in random if index in masks]
        if picks and call.function in SELECTS and (len(random) < len(call.inputs) or call.parameters):
            found |= set().union(*(masks[index] for index in picks))
        elif random and len(random) == len(call.inputs) and call.function in _FOLLOWED:
            sources = set().union(*(masks.get(index, noise.get(index, set())) for index in random))
            (masks if picks or call.function in COMPARISONS else noise)[call.index] = sources
    return [trace.calls[index] for index in sorted(found)]


RULE = Rule(
    code="THN108",
    name="noise-in-eval",
    summary="A dropout module or a hand-written mask draws noise in evaluation mode.",
    what="""\
Flags dropout modules that draw after `model.eval()`, and masks made by hand (`torch.rand(...) > p`, `bernoulli_`)
that thin a tensor then, or select what is kept of it (`x[:, torch.rand(n) > p]`, `dropout_edge` without `training`).
Functional dropout is THN101, attention THN102, modules built in `forward` THN103. Random
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
