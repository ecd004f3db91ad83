"""THN405: the mean of what a dropout gives out is not the same in training and at inference."""

from __future__ import annotations

from collections.abc import Iterator

from ..check.examination import Examination
from ..check.finding import Finding
from ..check.rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    import torch

    from ..scaling import measure
    from ..tape import record
    from ..untouched import untouched

    if not any(place.train_calls for place in examination.inspection.places):
        return
    model = examination.model
    with untouched("check", model), torch.no_grad():
        torch.manual_seed(0)  # the same model, the same figures
        model.train()
        training = record(model, *examination.example, **examination.keywords)
        model.eval()
        inference = record(model, *examination.example, **examination.keywords)
        wrong = [scaling for scaling in measure(training, inference) if not scaling.right]
    for scaling in wrong:
        step = scaling.step
        place = next(
            (
                place
                for place in examination.inspection.places
                if place.module == step.module and (place.file, place.line) == (step.file, step.line)
            ),
            step.module,
        )
        yield RULE.at(
            place,
            f"the mean in training is {scaling.factor:.3g} times that at inference (measured: input times "
            f"{scaling.training:.3g} in training, times {scaling.inference:.3g} at inference, "
            f"{scaling.kept:.3g} of the units kept). Probably {scaling.cause}",
        )


RULE = Rule(
    code="THN405",
    name="wrong-scaling",
    summary="The mean of a dropout's output differs between training and inference.",
    what="""\
Measures, for every place where noise thins a tensor, hand-written masks included, the mean over masks of the output
in training against the output at inference, by running the few calls around the mask again on ones: with fresh noise
in training, once at inference. The two must agree within 6 standard errors, and 1 %. Right are division by 1 - p in
training (inverted scaling) and multiplication by 1 - p at inference (classic scaling), of the activations or of the
next layer's weights. The message has both factors and the bug that they fit: scaling forgotten, done twice, done the
wrong way round, or with keep and drop probability mixed up.

Left alone: noise that adds or that draws in evaluation too, alpha dropout (whose mean is right for inputs of mean 0),
masks of whole positions without scaling (augmentation), masks whose two runs do not come together again, and what
does not run on its own.""",
    why="""\
Every layer behind the place sees, at inference, inputs of another size than it was trained on. Accuracy often hardly
moves while the probabilities become useless: on Fashion-MNIST two of four such bugs cost less than 1.2 points of
error and three to six times the negative log-likelihood. At p = 0.5, p and 1 - p are the same, and part of these bugs
can't be seen: measure at another p.""",
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
    reference="Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014, section 10; `docs/theory.md`.",
    live=live,
)
