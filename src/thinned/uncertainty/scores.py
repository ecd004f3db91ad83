"""How good predictions and their uncertainties are, given the targets: proper scores, calibration, finding of errors.

TorchMetrics computes some of them: pip install 'thinned[study]'.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .prediction import Prediction

BINS = 15
COVERAGES = (0.5, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class ClassScores:
    """Scores of class probabilities. Lower is better but for accuracy and `error_auroc`."""

    rows: int
    accuracy: float
    nll: float  # mean -ln p of the true class
    brier: float  # mean squared distance of the probabilities from the one-hot true class, in [0, 2]
    ece: float  # expected calibration error, 15 bins
    error_auroc: float  # of finding wrong rows by `1 - max_probability`; nan where all rows are right, or all wrong
    aurc: float  # area under the risk-coverage curve

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy:.4f}, NLL {self.nll:.4f}, Brier {self.brier:.4f}, ECE {self.ece:.4f}, "
            f"AUROC of errors {self.error_auroc:.4f}, AURC {self.aurc:.4f} ({self.rows} rows)"
        )


@dataclass(frozen=True)
class ValueScores:
    """Scores of predicted numbers."""

    rows: int
    rmse: float
    log_likelihood: float  # mean ln density of the targets under the mixture of the samples; higher is better
    coverage: dict[float, float]  # by level: the share of targets in the central interval of this probability
    calibration: float  # root mean square of coverage minus level
    sharpness: float  # the mean predicted standard deviation

    def __str__(self) -> str:
        shares = ", ".join(f"{100 * share:.1f} % in {100 * level:g} %" for level, share in self.coverage.items())
        return (
            f"RMSE {self.rmse:.4f}, log-likelihood {self.log_likelihood:.4f}, {shares}, calibration error "
            f"{self.calibration:.4f}, sharpness {self.sharpness:.4f} ({self.rows} rows)"
        )


def class_scores(prediction: Prediction | Tensor, target: Tensor) -> ClassScores:
    """Score class probabilities.

    Arguments:
        prediction: the result of `predict(..., task="classification")`, or probabilities `(N, classes)`.
        target: the true classes, `(N,)`, integers.

    Raises:
        ValueError: the shapes of `prediction` and `target` don't fit, or `target` has real numbers.
        ImportError: TorchMetrics is not installed.

    >>> scores = class_scores(torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]]), torch.tensor([0, 1, 1]))
    >>> round(scores.accuracy, 3), round(scores.brier, 3), scores.error_auroc
    (0.667, 0.353, 0.75)
    """
    metrics = _metrics("class_scores")
    probability, target = _classes("class_scores", prediction, target)
    rows, classes = probability.shape
    wrong = probability.argmax(1) != target
    unsure = 1.0 - probability.amax(1)
    one_hot = torch.nn.functional.one_hot(target, classes)
    found = math.nan
    if 0 < int(wrong.sum()) < rows:
        found = float(metrics.binary_auroc(unsure, wrong.long()))
    return ClassScores(
        rows=rows,
        accuracy=1.0 - float(wrong.double().mean()),
        nll=-float(probability.gather(1, target[:, None]).clamp_min(1e-38).log().mean()),
        brier=float((probability - one_hot).square().sum(1).mean()),
        ece=float(metrics.multiclass_calibration_error(probability, target, classes, n_bins=BINS, norm="l1")),
        error_auroc=found,
        aurc=float(risk_coverage(unsure, wrong)[1].mean()),
    )


def value_scores(prediction: Prediction, target: Tensor, sigma: float = 0.0) -> ValueScores:
    """Score predicted numbers, as a mixture of normals: one about each sample, with standard deviation `sigma`.

    `ln p(y) = ln (1/n) sum_t N(y; f_t(x), sigma^2)`.

    Arguments:
        prediction: the result of `predict(..., samples=True)`, with one output a row.
        target: the true values, `(N,)` or `(N, 1)`.
        sigma: the standard deviation of the targets' noise, in their unit, as `calibrate` fits it. The samples of the
            network do not contain this noise. At 0, the log-likelihood is that of one normal with the mean and the
            standard deviation of the samples.

    Raises:
        ValueError: `prediction` has no samples.
        ValueError: the shapes of `prediction` and `target` don't fit.

    Source: Gal and Ghahramani 2016, equation 8.
    """
    if prediction.samples is None:
        raise ValueError(
            "`value_scores`: `prediction` must have its samples. Got none. Call predict(..., samples=True)."
        )
    drawn = prediction.samples.double().flatten(1)
    value = target.double().flatten().cpu()
    if drawn.shape[1] != len(value):
        raise ValueError(
            f"`value_scores`: `target` must have a number for each of {drawn.shape[1]} outputs. Got {len(value)}."
        )
    mean = drawn.mean(0)
    spread = (drawn.var(0) + sigma**2).sqrt()
    if sigma > 0.0:
        density = log_mixture(drawn, value, sigma)
    else:
        density = torch.distributions.Normal(mean, spread.clamp_min(1e-12)).log_prob(value)
    depth = _depth(drawn, value, sigma)
    coverage = {level: float((depth <= level).double().mean()) for level in COVERAGES}
    off = [share - level for level, share in coverage.items()]
    return ValueScores(
        rows=len(value),
        rmse=float((mean - value).square().mean().sqrt()),
        log_likelihood=float(density.mean()),
        coverage=coverage,
        calibration=math.sqrt(sum(each * each for each in off) / len(off)),
        sharpness=float(spread.mean()),
    )


def log_mixture(drawn: Tensor, value: Tensor, sigma: float) -> Tensor:
    """`ln (1/n) sum_t N(value; drawn_t, sigma^2)`, for drawn `(n, N)` and value `(N,)`."""
    each = -0.5 * ((value - drawn) / sigma).square() - math.log(sigma) - 0.5 * math.log(2 * math.pi)
    return each.logsumexp(0) - math.log(len(drawn))


def _depth(drawn: Tensor, value: Tensor, sigma: float) -> Tensor:
    """The probability of the central interval that has each target at one end: `|2 F(y) - 1|`."""
    if sigma > 0.0:
        below = torch.special.ndtr((value - drawn) / sigma).mean(0)
    else:
        below = ((drawn < value).double() + 0.5 * (drawn == value).double()).mean(0)
    depth: Tensor = (2.0 * below - 1.0).abs()
    return depth


def risk_coverage(uncertainty: Tensor, wrong: Tensor) -> tuple[Tensor, Tensor]:
    """The error rate among the k most certain rows, for each k: coverage k / N `(N,)`, and risk `(N,)`.

    >>> coverage, risk = risk_coverage(torch.tensor([0.1, 0.9, 0.5]), torch.tensor([False, True, False]))
    >>> [round(value, 2) for value in risk.tolist()]
    [0.0, 0.0, 0.33]
    """
    order: Tensor = uncertainty.argsort(stable=True)
    count = torch.arange(1, len(order) + 1, dtype=torch.float64, device=order.device)
    return count / len(order), wrong[order].double().cumsum(0) / count


@dataclass(frozen=True)
class Reliability:
    """How often rows are right, by confidence: the probability of the most probable class, in equal bins."""

    edges: Tensor  # (bins + 1,), the edges of the bins
    rows: Tensor  # (bins,), how many rows each bin has
    confidence: Tensor  # (bins,), the mean confidence; nan in a bin without rows
    accuracy: Tensor  # (bins,), the share of rows that are right; nan in a bin without rows

    def plot(self, axes: Any = None) -> Any:
        """Plot the reliability diagram on axes of matplotlib, new ones by default. Needs matplotlib."""
        if axes is None:
            from matplotlib.figure import Figure

            axes = Figure(figsize=(4, 4), layout="constrained").add_subplot()
        width = float(self.edges[1] - self.edges[0])
        full = self.rows > 0
        middle = (self.edges[:-1] + self.edges[1:])[full] / 2
        axes.bar(middle.numpy(), self.accuracy[full].numpy(), width, edgecolor="white", label="right")
        axes.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle="--", label="as sure as right")
        axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.legend(loc="upper left")
        return axes


def reliability(prediction: Prediction | Tensor, target: Tensor, bins: int = BINS) -> Reliability:
    """The reliability diagram's numbers. Arguments as in `class_scores`.

    >>> found = reliability(torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]]), torch.tensor([0, 1, 1]), bins=10)
    >>> found.rows.tolist()
    [0, 0, 0, 0, 0, 2, 0, 0, 1, 0]
    """
    probability, target = _classes("reliability", prediction, target)
    sure, label = probability.max(1)
    right = (label == target).double()
    edges = torch.linspace(0.0, 1.0, bins + 1, dtype=torch.float64, device="cpu")
    # A bin has its upper edge and not its lower one. The edges are compared in the dtype of the probabilities.
    which = torch.bucketize(sure, edges.to(sure.dtype), right=False).clamp(1, bins) - 1
    rows = torch.bincount(which, minlength=bins)

    def mean(values: Tensor) -> Tensor:
        total = torch.zeros(bins, dtype=torch.float64, device="cpu").index_add_(0, which, values.double())
        return total / rows

    return Reliability(edges, rows, mean(sure), mean(right))


def _classes(owner: str, prediction: Prediction | Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    probability = prediction.probability if isinstance(prediction, Prediction) else prediction
    if probability.ndim != 2 or target.shape != probability.shape[:1]:
        raise ValueError(
            f"`{owner}`: probabilities must be (N, classes) and `target` (N,). Got {tuple(probability.shape)} and "
            f"{tuple(target.shape)}. Flatten rows and positions first."
        )
    if target.is_floating_point():
        raise ValueError(f"`{owner}`: `target` must be class numbers. Got {target.dtype}. Pass target.long().")
    return probability.detach().cpu(), target.long().cpu()


def _metrics(owner: str) -> Any:
    try:
        from torchmetrics.functional import classification
    except ImportError:
        raise ImportError(f"`{owner}`: TorchMetrics is not here. pip install 'thinned[study]'") from None
    return classification
