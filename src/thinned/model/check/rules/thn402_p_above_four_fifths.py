"""THN402: p is above 0.8."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...known.functions import FUNCTIONS, OPERATORS
from ..finding import Finding
from ..lens.calls import number
from ..lens.noisy_calls import rates
from ..lens.source_file import SourceFile
from ..rule import Rule

if TYPE_CHECKING:
    from ...inspect.place import Place
    from ..lens.examination import Examination

_LIMIT = 0.8
# Packages in which the name of a layer determines its noise. timm's DropPath and users' own layers may not scale the
# kept units.
_KNOWN = ("torch.", "torchvision.", "thinned.", "flash_attn.")


def _message(package: str, kind: str, p: float) -> str:
    """The text of the finding: what this kind of dropout does at this p."""
    share, plain = f"{100 * p:g} %", kind.lower()
    if not package.startswith(_KNOWN) or "block" in plain:
        does = f"drops {share}"
    elif "alpha" in plain:
        from ....noise.formulas import alpha_affine  # imported here, because it needs NumPy

        scale, shift = alpha_affine(p)
        does = f"sets {share} to one value and the rest to {scale:.3g} x + {shift:.3g}"
    elif "gaussian" in plain:
        from ....noise.formulas import deviation

        does = f"multiplies by noise of standard deviation {deviation(p):.3g}"
    else:
        does = f"drops {share} and multiplies the rest by {1 / (1 - p):.3g}"
    return f"`{kind}` {does}: is p = {p:g} a keep probability?"


def source(file: SourceFile) -> Iterator[Finding]:
    for name, node in rates(file):
        p = number(node)
        if p is not None and _LIMIT < p < 1:
            yield RULE.on(file, node, _message(name, name.rpartition(".")[2], p))


def live(examination: Examination) -> Iterator[Finding]:
    for place in examination.inspection.places:
        if place.p is not None and _LIMIT < place.p < 1:
            yield RULE.at(place, _message(_package(examination, place), place.kind, place.p))


def _package(examination: Examination, place: Place) -> str:
    """The package whose code drops at a place: of the layer's class, or torch for a function of torch."""
    if place.name.startswith(f"{place.module}:"):
        return "torch." if place.kind in {*FUNCTIONS, *OPERATORS.values()} else ""
    return f"{type(examination.modules.get(place.module)).__module__}."


RULE = Rule(
    code="THN402",
    name="p-above-four-fifths",
    summary="p is above 0.8.",
    what="Looks for a p above 0.8 and below 1, in source and in live models.",
    why="""\
In torch p is the probability that a unit is *dropped*. Values such as 0.9 come, as a rule, from a text or a program
whose p is the probability that a unit is *kept* (Srivastava et al. 2014, the first TensorFlow). Where it is meant,
the survivors of torch's dropout are multiplied by 1/(1 - p), 10 at p = 0.9, and gradients are as noisy.""",
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
