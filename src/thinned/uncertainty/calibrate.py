"""`thinned.calibrate`: the temperature, and the p, with which a model's uncertainty fits held-out data best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..model.watch.untouched import untouched
from ..noise import check
from .batches import inputs_of
from .predict import predict
from .prediction import Prediction
from .predictor import TASK
from .scores import log_mixture

Module = torch.nn.Module

RATES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Calibration:
    """The temperature or sigma, and the p, that `calibrate` chose. `calibration.predict(x)` predicts with them."""

    model: Module
    task: str
    temperature: float  # by which logits are divided; 1 for regression
    sigma: float  # the standard deviation of the targets about the network's output; 0 for classification
    p: float | None  # for all places; None: the model's own rates
    nll: float  # the mean negative log-likelihood of the held-out rows, with these values
    nll_before: float  # the same with the model's own rates, and with temperature 1 or the best sigma
    tried: dict[float | None, float]  # by p: the nll with this p and the temperature or sigma fitted for it
    rows: int
    n: int
    seed: int

    def predict(self, x: Any, n: int | None = None, **options: Any) -> Prediction:
        """`thinned.predict` with the fitted temperature and p; `options` are other arguments of `predict`."""
        given = {"p": self.p, "seed": self.seed, "task": self.task, "temperature": self.temperature, **options}
        return predict(self.model, x, n or self.n, **given)

    def __repr__(self) -> str:
        fitted = f"temperature {self.temperature:.4g}" if self.task == "classification" else f"sigma {self.sigma:.4g}"
        p = "its own" if self.p is None else f"{self.p:g}"
        return f"<Calibration {fitted}, p {p}: NLL {self.nll_before:.4f} -> {self.nll:.4f} on {self.rows} rows>"


def calibrate(
    model: Module,
    loader: DataLoader[Any] | tuple[Tensor, Tensor],
    *,
    task: str = "classification",
    p: Sequence[float] = (),
    n: int = 50,
    seed: int = 0,
    **options: Any,
) -> Calibration:
    """Fit a temperature on held-out rows, by their likelihood, and choose p among given rates.

    Classification: the fitted T minimises `-(1/N) sum ln (1/n) sum_t softmax(z_t / T)_y`. Regression: each sample is
    taken as a normal distribution about its output, with a standard deviation sigma for the noise of the targets, and
    sigma is fitted. The model is not changed: the result holds the fitted values, and predicts with them.

    Arguments:
        model: a trained model with dropout.
        loader: rows with their targets, used neither for training nor for any choice before: a DataLoader of
            (x, target), or a pair (x, target). A fit on training rows gives predictions that are too confident.
        task: "classification", where targets are class numbers, or "regression".
        p: rates to try, each for all places, besides the model's own rates; `thinned.uncertainty.calibrate.RATES` is a
            first choice.
        n, seed: as in `predict`.
        options: further arguments of `predict`.

    Raises:
        ValueError: as `predict`.
        ValueError: `loader` gives no targets.
        TypeError: as `predict`.

    Cost: one `predict` for each rate, and memory for n times the outputs. Source: Guo et al. 2017 (temperature); Gal
    2016, 4.4 (p and tau by held-out likelihood).

    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 2))
    >>> x = torch.randn(64, 2)
    >>> found = calibrate(net, (x, (x[:, 0] > 0).long()), n=10)
    >>> found.nll <= found.nll_before
    True
    """
    check(TASK, "calibrate", "task", task)
    tried: dict[float | None, tuple[float, float]] = {}
    before = math.nan
    for rate in (None, *p):
        with untouched("calibrate", model):
            samples, target = _samples_and_targets(model, loader, n, {**options, "seed": seed, "p": rate})
        loss = _classes(samples, target) if task == "classification" else _values(samples, target)
        start = 0.0 if task == "classification" else math.log(float(target.double().std()) + 1e-12)
        best = _least(loss, start - 6.0, start + 6.0)
        tried[rate] = (loss(best), math.exp(best))
        if rate is None:
            before = loss(0.0) if task == "classification" else loss(best)
    chosen = min(tried, key=lambda rate: tried[rate][0])
    nll, fitted = tried[chosen]
    classes = task == "classification"
    return Calibration(
        model=model,
        task=task,
        temperature=fitted if classes else 1.0,
        sigma=0.0 if classes else fitted,
        p=chosen,
        nll=nll,
        nll_before=before,
        tried={rate: loss for rate, (loss, _) in tried.items()},
        rows=len(target),
        n=n,
        seed=seed,
    )


def _samples_and_targets(model: Module, loader: Any, n: int, options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """The samples, and the targets of the same rows: both from one pass over the loader, since it may shuffle."""
    if isinstance(loader, DataLoader):
        targets: list[Tensor] = []
        given = options.pop("inputs", None) or inputs_of

        def inputs(batch: Any) -> Any:
            targets.append(_target(batch))
            return given(batch)

        samples = predict(model, loader, n, samples=True, inputs=inputs, **options).samples
        target = torch.cat(targets).cpu()
    elif isinstance(loader, (tuple, list)) and len(loader) == 2 and isinstance(loader[1], Tensor):
        samples, target = predict(model, loader[0], n, samples=True, **options).samples, loader[1].cpu()
    else:
        raise ValueError(
            f"`calibrate`: `loader` must be a DataLoader or a pair (x, target). Got {type(loader).__name__}."
        )
    assert samples is not None
    return samples, target


def _target(batch: Any) -> Tensor:
    pair = isinstance(batch, (tuple, list)) and len(batch) > 1
    named = batch.get("labels", batch.get("label")) if isinstance(batch, dict) else None
    target = batch[1] if pair else named
    if not isinstance(target, Tensor):
        raise ValueError(
            "`calibrate`: `loader` must give targets: pairs (x, target), or dicts with 'labels'. Got "
            f"{type(batch).__name__}."
        )
    return target


def _classes(logits: Tensor, target: Tensor) -> Callable[[float], float]:
    """The mean NLL of the mean probabilities, as a function of the logarithm of the temperature."""
    samples = logits.double()
    if samples.shape[-1] == 1 or samples.ndim == 2:  # one logit a row stands for two classes
        samples = samples.reshape(len(samples), -1, 1)
        samples = torch.cat((torch.zeros_like(samples), samples), 2)
    index = target.long().expand(len(samples), -1).unsqueeze(-1)

    def loss(log_temperature: float) -> float:
        each = (samples / math.exp(log_temperature)).log_softmax(2).gather(2, index).squeeze(-1)
        return -float((each.logsumexp(0) - math.log(len(each))).mean())

    return loss


def _values(outputs: Tensor, target: Tensor) -> Callable[[float], float]:
    """The mean NLL of the mixture, as a function of the logarithm of sigma."""
    samples, value = outputs.double().flatten(1), target.double().flatten()
    return lambda log_sigma: -float(log_mixture(samples, value, math.exp(log_sigma)).mean())


def _least(loss: Callable[[float], float], low: float, high: float) -> float:
    """The minimiser of a function with one minimum, by a golden-section search, to 1e-6."""
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    inner = [high - ratio * (high - low), low + ratio * (high - low)]
    values = [loss(inner[0]), loss(inner[1])]
    while high - low > 1e-6:
        if values[0] < values[1]:
            high = inner[1]
            inner = [high - ratio * (high - low), inner[0]]
            values = [loss(inner[0]), values[0]]
        else:
            low = inner[0]
            inner = [inner[1], low + ratio * (high - low)]
            values = [values[1], loss(inner[1])]
    return (low + high) / 2.0
