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
from .row_sums import shared_sum, sums_to_one

BINS = 15
COVERAGES = (0.5, 0.8, 0.9, 0.95)
IGNORED = -100  # a target that is left out, as in torch's cross_entropy
SLACK = 0.02  # by which the probabilities of a row may miss 1, as half precision makes them


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


def class_scores(
    prediction: Prediction | Tensor, target: Tensor, *, class_axis: int | None = None, ignore_index: int = IGNORED
) -> ClassScores:
    """Score class probabilities. Every position of a row that has a class, such as a token or a pixel, is a row.

    Arguments:
        prediction: the result of `predict(..., task="classification")` or of task="multilabel"; or probabilities.
        target: the true classes, integers, in the shape of the probabilities without their class axis. For several
            labels, 0 or 1 for each label, in the shape of the probabilities; each label is then a row of two classes.
        class_axis: the axis of the classes in a tensor of probabilities. By default 1 for `(N, classes)`, and the one
            that `target` lacks.
        ignore_index: targets of this number are left out, as in torch's cross_entropy.

    Raises:
        ValueError: the shapes of `prediction` and `target` don't fit, or `target` has real numbers.
        ValueError: `prediction` is of numbers, or a tensor of other numbers than probabilities.
        ImportError: TorchMetrics is not installed.

    >>> scores = class_scores(torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]]), torch.tensor([0, 1, 1]))
    >>> round(scores.accuracy, 3), round(scores.brier, 3), scores.error_auroc
    (0.667, 0.353, 0.75)
    """
    metrics = _metrics("class_scores")
    probability, target = class_rows("class_scores", prediction, target, class_axis, ignore_index)
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
        aurc=float(_curve(unsure, wrong)[1].mean()),
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
        ValueError: `prediction` has no samples, or is one of classes.
        ValueError: the shapes of `prediction` and `target` don't fit.

    Source: Gal and Ghahramani 2016, equation 8.
    """
    if prediction.task != "regression":
        raise ValueError(
            f"`value_scores`: `prediction` must be of numbers. Got one of task={prediction.task!r}. Call class_scores."
        )
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


def risk_coverage(
    uncertainty: Tensor | Prediction,
    wrong: Tensor,
    *,
    class_axis: int | None = None,
    ignore_index: int = IGNORED,
) -> tuple[Tensor, Tensor]:
    """The error rate among the k most certain rows, for each k: coverage k / N `(N,)`, and risk `(N,)`.

    Arguments:
        uncertainty: a number for each row, `(N,)`. Or a prediction of classes or labels, whose `1 - max_probability` is
            taken.
        wrong: which rows are wrong, `(N,)`, booleans. For a prediction, the true classes: `target` in `class_scores`.
        class_axis, ignore_index: as in `class_scores`, for true classes.

    Raises:
        ValueError: as `class_scores`.
        ValueError: `uncertainty` and `wrong` have not one number and one boolean for each row.

    >>> coverage, risk = risk_coverage(torch.tensor([0.1, 0.9, 0.5]), torch.tensor([False, True, False]))
    >>> [round(value, 2) for value in risk.tolist()]
    [0.0, 0.0, 0.33]
    """
    if isinstance(uncertainty, Tensor) and uncertainty.ndim == 1 and _flags(wrong):
        if uncertainty.shape != wrong.shape:
            raise ValueError(
                "`risk_coverage`: `uncertainty` and `wrong` must have one shape, (N,). Got "
                f"{tuple(uncertainty.shape)} and {tuple(wrong.shape)}."
            )
        return _curve(uncertainty, wrong)
    if isinstance(uncertainty, Tensor) and uncertainty.ndim == 1:
        raise ValueError(
            f"`risk_coverage`: `wrong` must be booleans beside a number for each row. Got {wrong.dtype}. Pass "
            "label != target; or the prediction itself and its target."
        )
    probability, target = class_rows("risk_coverage", uncertainty, wrong, class_axis, ignore_index)
    return _curve(1.0 - probability.amax(1), probability.argmax(1) != target)


def _flags(wrong: Tensor) -> bool:
    return wrong.dtype is torch.bool


def _curve(unsure: Tensor, wrong: Tensor) -> tuple[Tensor, Tensor]:
    order: Tensor = unsure.argsort(stable=True)
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


def reliability(
    prediction: Prediction | Tensor,
    target: Tensor,
    bins: int = BINS,
    *,
    class_axis: int | None = None,
    ignore_index: int = IGNORED,
) -> Reliability:
    """The reliability diagram's numbers. Arguments as in `class_scores`.

    >>> found = reliability(torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]]), torch.tensor([0, 1, 1]), bins=10)
    >>> found.rows.tolist()
    [0, 0, 0, 0, 0, 2, 0, 0, 1, 0]
    """
    probability, target = class_rows("reliability", prediction, target, class_axis, ignore_index)
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


def class_rows(
    owner: str,
    prediction: Prediction | Tensor,
    target: Tensor,
    class_axis: int | None = None,
    ignore_index: int = IGNORED,
) -> tuple[Tensor, Tensor]:
    """Probabilities `(rows, classes)` and targets `(rows,)`, of all positions and labels whose target is not left out.

    The arguments are those of `class_scores`.
    """
    several = isinstance(prediction, Prediction) and prediction.task == "multilabel"
    probability = (prediction.probability if isinstance(prediction, Prediction) else prediction).detach().cpu()
    target = target.detach().cpu()
    if isinstance(prediction, Prediction):
        axis: int | None = prediction.class_axis
    elif probability.shape == target.shape and not sums_to_one(probability, -1):
        several, axis = True, None
    else:
        axis = _axis(owner, probability, target, class_axis)
    fits = probability.shape if several else (*probability.shape[:axis], *probability.shape[(axis or 0) + 1 :])
    if target.shape != fits:
        rule = "`target` must have 0 or 1 for each label"
        if not several:
            rule = "probabilities must be (N, classes) and `target` (N,), or both with the same further axes"
        raise ValueError(
            f"`{owner}`: {rule}. Got {tuple(probability.shape)} and {tuple(target.shape)}, where {tuple(fits)} fits. "
            f"Pass the targets of the same rows; class numbers, not one column a class."
        )
    if target.is_floating_point() and not (several and bool((target == target.long()).all())):
        raise ValueError(f"`{owner}`: `target` must be class numbers. Got {target.dtype}. Pass target.long().")
    if several:
        probability, axis = torch.stack((1.0 - probability, probability), -1), -1
    assert axis is not None
    rows_ = probability.movedim(axis, -1).flatten(0, -2)
    numbers = target.long().flatten()
    rows_, numbers = rows_[numbers != ignore_index], numbers[numbers != ignore_index]
    classes = rows_.shape[1]
    if not len(numbers) or int(numbers.min()) < 0 or int(numbers.max()) >= classes:
        raise ValueError(
            f"`{owner}`: `target` must have classes 0 to {classes - 1}, or {ignore_index} to leave a row out. Got "
            f"{numbers.unique()[:8].tolist()}. Number the classes from 0."
        )
    if not bool((rows_ >= 0).all() and (rows_ <= 1.0 + SLACK).all() and ((rows_.sum(1) - 1).abs() <= SLACK).all()):
        shared = shared_sum(rows_, 1)
        step = f"the tensor / its sum({axis}, keepdim=True)" if shared else f"logits.softmax({axis})"
        raise ValueError(
            f"`{owner}`: probabilities must be in [0, 1] and sum to 1 over the classes. Got numbers from "
            f"{float(rows_.min()):.4g} to {float(rows_.max()):.4g}{f', and sums of {shared:.6g}' if shared else ''}. "
            f"Pass {step}."
        )
    return rows_, numbers


def _axis(owner: str, probability: Tensor, target: Tensor, given: int | None) -> int:
    """The class axis of a tensor of probabilities: the given one, or the only one that the target lacks."""
    if given is not None:
        return given % max(1, probability.ndim)
    if probability.ndim == 2:
        return 1
    axes = range(1, probability.ndim)
    fitting = [axis for axis in axes if (*probability.shape[:axis], *probability.shape[axis + 1 :]) == target.shape]
    if len(fitting) == 1:
        return fitting[0]
    raise ValueError(
        f"`{owner}`: probabilities must be (N, classes) and `target` (N,), or `class_axis` must say where the classes "
        f"are. Got {tuple(probability.shape)} and {tuple(target.shape)}. Pass class_axis=1 or class_axis=-1."
    )


def _metrics(owner: str) -> Any:
    try:
        from torchmetrics.functional import classification
    except ImportError:
        raise ImportError(f"`{owner}`: TorchMetrics is not here. pip install 'thinned[study]'") from None
    return classification
