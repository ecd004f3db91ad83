"""THN109: a model in evaluation in which dropouts are live, or one in training in which some are in evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch.nn import Module

from ...inspect.place import Place
from ..finding import Finding
from ..lens.examination import Examination
from ..rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    places = examination.inspection.places
    if examination.training:
        asleep = [place for place in places if _sleeps(examination, place)]
        if asleep:
            yield RULE.at(
                asleep[0],
                f"the model is in training mode, and {_many(asleep, 'is', 'are')} in evaluation mode now, beside "
                "others that draw: the noise that is configured is not drawn",
            )
        return
    awake = [place for place in places if place.now and place.follows_mode]
    if awake:
        yield RULE.at(
            awake[0],
            f"the model is in evaluation mode, and {_many(awake, 'draws', 'draw')} noise now: what was added to it "
            "later, or put into training mode alone, was left so. Call eval() on the model",
        )


def _sleeps(examination: Examination, place: Place) -> bool:
    """Whether a dropout that would draw in training mode is in evaluation mode, in a part that is trained."""
    if place.mode != "eval" or place.now or not place.follows_mode or not place.p:
        return False
    owner = place.module.rpartition(".")[0] if place.name == place.module else place.module
    weights = [*Module.parameters(examination.modules[owner])] if owner in examination.modules else []
    return not weights or any(weight.requires_grad for weight in weights)


def _many(places: Sequence[Place], one: str, several: str) -> str:
    names = ", ".join(repr(place.name) for place in places[:3]) + (", ..." if len(places) > 3 else "")
    return f"{len(places)} dropout{'s' if len(places) > 1 else ''} ({names}) {several if len(places) > 1 else one}"


RULE = Rule(
    code="THN109",
    name="modes-as-found",
    summary="The modules of a model are in different modes: dropouts draw in evaluation, or sleep in training.",
    what="""\
Looks at the modes in which the caller left the model; every other rule puts it into training and into evaluation
first. Flags a model in evaluation mode in which dropouts are in training mode and draw, and a model in training mode
in which some dropouts are in evaluation mode though their part is trained. Frozen parts are left alone.""",
    why="""\
An adapter that is added after `eval()` is in training mode, and its dropout draws at every prediction. A trainer that
evaluates one part and calls `eval()` on it trains on without that part's dropout. No message tells: `eval()` and
`train()` themselves work.""",
    bad="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 4)).eval()
model[3] = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Dropout(0.1), nn.Linear(32, 4))  # new, so in training mode
example = (torch.randn(8, 16),)
""",
    good="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 4)).eval()
model[3] = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Dropout(0.1), nn.Linear(32, 4))
model.eval()
example = (torch.randn(8, 16),)
""",
    instead="`model.eval()` or `model.train()` after the last change. To keep a part in evaluation, `thinned.freeze`.",
    reference="peft issue 3753; transformers issue 34469.",
    live=live,
)
