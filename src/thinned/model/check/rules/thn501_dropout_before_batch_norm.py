"""THN501: noise before a batch normalisation, so that its running variance is not the variance at inference."""

from __future__ import annotations

from collections.abc import Iterator

from ...batch_norm.shift import variance_shift
from ...inspect.place import Place
from ...known.operations import ACTIVATIONS, DROPOUTS, POOLS, VIEWS
from ...watch.graph import through
from ..finding import Finding
from ..lens.examination import Examination
from ..lens.noise import noises
from ..rule import Rule

LEAST = 0.05  # a smaller relative error of the variance changes the activations by less than 2.6 %
Z = 5.0  # how many standard errors the ratio must differ from 1


def live(examination: Examination) -> Iterator[Finding]:
    cheap = through(ACTIVATIONS, POOLS, VIEWS, DROPOUTS, {"cat"})
    reached: dict[str, tuple[Place, set[str]]] = {}
    for noise in noises(examination):
        _, ends = noise.graph.after(noise.call, noise.graph.layers_and(cheap))
        normed = {call.module for call in ends if call.function == "batch_norm"}
        if normed:
            reached.setdefault(noise.place.name, (noise.place, set()))[1].update(normed)
    if not reached:
        return
    shifts = variance_shift(examination.model, examination.example, examination.keywords)
    worst: dict[str, list[Place]] = {}
    for place, normed in reached.values():
        known = [(name, shifts[name]) for name in sorted(normed) if name in shifts]
        off = [(name, by) for name, by in known if abs(by.ratio - 1) > max(LEAST, Z * by.error)]
        if off:
            worst.setdefault(max(off, key=lambda one: abs(one[1].ratio - 1))[0], []).append(place)
    for name, places in worst.items():
        also = f" from here and {len(places) - 1} more" if len(places) > 1 else ""
        yield RULE.at(
            places[-1],  # the nearest to the batch normalisation
            f"noise reaches batch normalisation {name!r}{also}, which at inference sees {shifts[name].ratio:.2f} times "
            "the variance of training (measured). Move the dropout behind it, or use recalibrate_batchnorm",
        )


RULE = Rule(
    code="THN501",
    name="dropout-before-batch-norm",
    summary="Noise reaches a batch normalisation and shifts its variance.",
    what=f"""\
Flags noise that reaches a batch normalisation through layers, activations, pooling and views alone, and *measures*,
on the example, the variance that enters it at inference over that in training: per channel, over 8 masks, the median.
Only a shift of more than {LEAST:.0%} and {Z:.0f} standard errors is reported. Behind a wide layer it is often less.
The figures are those of the weights as they are; `thinned.variance_shift` has all of them.""",
    why="""\
The running variance is that of noisy activations. Right behind the noise, q v / (v + p c²) of it is left at
inference, with c and v the activations' mean and variance: 0.73 for p = 0.2 behind a ReLU. Each such layer then
scales what it normalises wrongly, and the errors multiply with depth. This is why dropout and batch normalisation
together often do worse than either.""",
    bad="""\
import torch
from torch import nn

model = nn.Sequential(
    nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(64), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)
)
example = (torch.randn(128, 16),)
""",
    good="""\
import torch
from torch import nn

model = nn.Sequential(
    nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4)
)
example = (torch.randn(128, 16),)
""",
    instead="""\
Dropout behind the last batch normalisation only; layer normalisation, which stores nothing; or
`thinned.recalibrate_batchnorm(model, loader)` after training.""",
    reference="Li, Chen, Hu and Yang 2019; `docs/design/theory.md`.",
    live=live,
)
