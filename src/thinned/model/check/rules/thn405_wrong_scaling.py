"""THN405: the mean of a dropout's output differs between training and inference, or from the mean of its input."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ...known.functions import DRAWS
from ...known.operations import MULTIPLIES
from ...scaling.factors import LEAST, Scaling, Z
from ...scaling.measure import measure
from ...watch.modes import set_mode
from ...watch.replay import record
from ...watch.trace import Call, Trace
from ...watch.untouched import untouched
from ..finding import Finding
from ..lens.examination import Examination
from ..lens.noise import Noise, descendants, noises_in
from ..rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    if not any(place.train_calls for place in examination.inspection.places):
        return
    for scaling in _wrong(examination):
        step = scaling.step
        place = next(
            (
                place
                for place in examination.inspection.places
                if place.module == step.where.module and place.where[2:] == step.where[2:]
            ),
            step.where.module,
        )
        yield RULE.at(
            place,
            f"the mean in training is {scaling.factor:.3g} times that at inference (measured: input times "
            f"{scaling.training:.3g} in training, times {scaling.inference:.3g} at inference, "
            f"{scaling.keep_share:.3g} of the units kept). Probably {scaling.cause}",
        )
    yield from _always_on(examination)


def _wrong(examination: Examination) -> list[Scaling]:
    """The measured places whose scaling is wrong."""
    import torch

    model, example, keywords = examination.model, examination.example, examination.keywords
    wrong: list[Scaling] = []
    seen: set[str] = set()  # modules that drew
    with untouched("check", model), torch.no_grad():
        set_mode(model, True)
        replays = [record(model, *example, **keywords) for _ in range(examination.repeats)]
        set_mode(model, False)
        inference = record(model, *example, **keywords)
        for training in replays:
            drew = {step.where.module for step in training.steps if step.draws}
            if drew <= seen:
                continue
            # One line of code that many modules run is reported once for all passes.
            said = {(scaling.step.where[2:], scaling.cause) for scaling in wrong}
            wrong += [
                scaling
                for scaling in measure(training, inference)
                if not scaling.right and (scaling.step.where[2:], scaling.cause) not in said
            ]
            seen |= drew
    return wrong


def _always_on(examination: Examination) -> Iterator[Finding]:
    """Findings for masks made by hand that act in both modes and scale the kept units by a wrong number."""
    trace = examination.inspection.eval
    said = set()
    for noise in noises_in(examination, trace):
        p = noise.place.p
        if (
            noise.place.name in said
            or noise.place.active != "both"
            or noise.draw.function not in DRAWS
            or p is None
            or not 0 < p < 1
        ):
            continue
        factor = _factor(trace, noise)
        if factor is None:
            continue
        # p was measured by counting zeros. With few units, chance may exchange p and 1 - p: then it is not known.
        units = math.prod(noise.sizes) * len(examination.inspection.passes)
        known = abs(1 - 2 * p) > Z * math.sqrt(p * (1 - p) / units)
        if known and abs(factor * p - 1) < LEAST:
            cause = "keep and drop probability mixed up: survivors are divided by the share of dropped units"
        elif abs(factor * (1 - p) ** 2 - 1) < LEAST:
            cause = "scaled twice: survivors are divided by 1 - p two times"
        else:
            continue
        said.add(noise.place.name)
        yield RULE.at(
            noise.place,
            f"the mean is {factor * (1 - p):.3g} times the input's, in both modes (survivors times {factor:.3g}, "
            f"{1 - p:.3g} of the units kept). Probably {cause}",
        )


def _factor(trace: Trace, noise: Noise) -> float | None:
    """The factor of kept units, if all scalings of the mask and after it are by plain numbers; else None."""
    applied = next(call for call in reversed(trace.calls) if call.applies == noise.draw.index)
    scaling = [trace.calls[index] for index in descendants(trace, noise.draw.index, until=applied.index)]
    scaling = [call for call in scaling if call.function in MULTIPLIES]
    call = applied
    while call is not noise.call:
        (call,) = trace.consumers(call)
        scaling.append(call)
    factor = 1.0
    for call in scaling:
        number = _number(call)
        if not number:
            return None
        factor *= 1 / number if "div" in call.function else number
    return factor


def _number(call: Call) -> float | None:
    """The number by which a call multiplies or divides one tensor; None if it does something else."""
    numbers = [value for value in call.arguments.values() if type(value) in (int, float)]
    return numbers[0] if len(call.inputs) == len(numbers) == 1 and not call.parameters else None


RULE = Rule(
    code="THN405",
    name="wrong-scaling",
    summary="The mean of a dropout's output differs between training and inference, or from its input's.",
    what="""\
Measures, for every place where noise thins a tensor, hand-written masks included, the mean over masks of the output
in training against the output at inference, by running the few calls around the mask again on ones: with fresh noise
in training, once at inference. The two must agree within 6 standard errors, and 1 %. Right are division by 1 - p in
training (inverted scaling) and multiplication by 1 - p at inference (classic scaling), of the activations or of the
next layer's weights. The message has both factors and the bug that they fit: scaling forgotten, done twice, done the
wrong way round, or with keep and drop probability mixed up.

Of masks made by hand that are always on, in evaluation too, where both means are the same, those are flagged whose
survivors are divided by p where 1 - p are kept, or by 1 - p twice, as the numbers in the code say: the mean is then
not the input's. What they gain by other factors, and not being scaled at all, may be meant.

Left alone: noise that adds, other noise that draws in evaluation too, alpha dropout (whose mean is right for inputs of
mean 0), masks of whole positions without scaling (augmentation), masks whose two runs do not come together again, and
what does not run on its own.""",
    why="""\
Every layer behind the place sees, at inference, inputs of another size than it was trained on. Accuracy often hardly
moves while the probabilities become useless: on Fashion-MNIST two of four such bugs cost less than 1.2 points of
error and three to six times the negative log-likelihood. At p = 0.5, p and 1 - p are the same, and part of these bugs
can't be seen: measure at another p. Under a mask that is always on, what lies behind learns with the wrong mean and
keeps it; but the mean hangs on p, as p/(1 - p) or as 1/(1 - p), and another p is another network.""",
    bad="""\
import torch
from torch import nn


class Dropped(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        return x * (torch.rand_like(x) > self.p)  # nobody divides by 1 - p


model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), Dropped(0.2), nn.Linear(64, 4))
example = (torch.randn(8, 16),)
""",
    good="""\
import torch
from torch import nn


class Dropped(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        return x * (torch.rand_like(x) > self.p) / (1 - self.p)


model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), Dropped(0.2), nn.Linear(64, 4))
example = (torch.randn(8, 16),)
""",
    instead="Divide the survivors by 1 - p in training and do nothing at inference; or use a layer that does it.",
    reference="Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014, section 10; `docs/design/theory.md`.",
    live=live,
)
