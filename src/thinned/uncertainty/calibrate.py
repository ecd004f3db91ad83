"""`thinned.calibrate`: the temperature, and the p, with which a model's uncertainty fits held-out data best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..model.watch.untouched import check_module
from ..noise import check
from .answer import TASK
from .batches import inputs_of
from .predict import predict
from .prediction import Prediction
from .predictor import logit_samples
from .scores import IGNORED, log_mixture

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
    options: dict[str, Any] = field(default_factory=dict)  # further arguments of `predict` that the fit was made with

    def predict(self, x: Any, n: int | None = None, **options: Any) -> Prediction:
        """`thinned.predict` with the fitted temperature and p; `options` are other arguments of `predict`."""
        fitted = {"p": self.p, "seed": self.seed, "task": self.task, "temperature": self.temperature}
        given = {**self.options, **fitted, **options}
        return predict(self.model, x, n or self.n, **given)

    def __repr__(self) -> str:
        fitted = f"sigma {self.sigma:.4g}" if self.task == "regression" else f"temperature {self.temperature:.4g}"
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

    Classification: the fitted T minimises `-(1/N) sum ln (1/n) sum_t softmax(z_t / T)_y`, where the N rows are all
    positions of all rows with a class, such as tokens and pixels. Several labels: the same with the sigmoid of each
    label. Probabilities stand for logits by their logarithms. Regression: each sample is
    taken as a normal distribution about its output, with a standard deviation sigma for the noise of the targets, and
    sigma is fitted. The model is not changed: the result holds the fitted values, and predicts with them.

    Arguments:
        model: a trained model with dropout.
        loader: rows with their targets, used neither for training nor for any choice before: a DataLoader of
            (x, target), or a pair (x, target). A fit on training rows gives predictions that are too confident.
        task: "classification", where targets are class numbers, "multilabel", where they are 0 or 1 for each label, or
            "regression". A target of -100 is left out, as in torch's cross_entropy: padding, for instance.
        p: rates to try, each for all places, besides the model's own rates; `thinned.uncertainty.calibrate.RATES` is a
            first choice.
        n, seed: as in `predict`.
        options: further arguments of `predict`, such as class_axis=-1 or output="probabilities". The result predicts
            with them.

    Raises:
        ValueError: as `predict`.
        ValueError: `loader` gives no targets, or targets of another shape than the answers.
        TypeError: as `predict`; or `temperature` is given.

    Cost: one `predict` for each rate, and memory for n times the outputs. Source: Guo et al. 2017 (temperature); Gal
    2016, 4.4 (p and tau by held-out likelihood).

    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 2))
    >>> x = torch.randn(64, 2)
    >>> found = calibrate(net, (x, (x[:, 0] > 0).long()), n=10)
    >>> found.nll <= found.nll_before
    True
    """
    check_module("calibrate", model)
    check(TASK, "calibrate", "task", task)
    if "temperature" in options:
        raise TypeError(
            f"`calibrate`: `temperature` is fitted. Got {options['temperature']!r}. Leave it out; `predict` takes one."
        )
    tried: dict[float | None, tuple[float, float]] = {}
    before = math.nan
    for rate in (None, *p):
        found, target = _predicted(model, loader, n, task, {**options, "seed": seed, "p": rate})
        loss = _LOSSES[task](found, target)
        start = math.log(float(target.double().std()) + 1e-12) if task == "regression" else 0.0
        best = _least(loss, start - 6.0, start + 6.0)
        tried[rate] = (loss(best), math.exp(best))
        if rate is None:
            before = loss(best) if task == "regression" else loss(0.0)
    chosen = min(tried, key=lambda rate: tried[rate][0])
    nll, fitted = tried[chosen]
    classes = task != "regression"
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
        options={name: value for name, value in options.items() if name not in _OF_THE_FIT},
    )


_OF_THE_FIT = ("inputs", "progress", "samples", "levels")  # arguments of `predict` that later predictions don't get


def _predicted(model: Module, loader: Any, n: int, task: str, options: dict[str, Any]) -> tuple[Prediction, Tensor]:
    """The samples, and the targets of the same rows: both from one pass over the loader, since it may shuffle."""
    sample = predict if task == "regression" else logit_samples
    options = {**options, "task": task, "samples": True, "levels": ()}
    if isinstance(loader, DataLoader):
        targets: list[Tensor] = []
        given = options.pop("inputs", None) or inputs_of

        def inputs(batch: Any) -> Any:
            targets.append(_target(batch))
            return given(batch)

        found = sample(model, loader, n, inputs=inputs, **options)
        return found, torch.cat(targets).cpu()
    if isinstance(loader, (tuple, list)) and len(loader) == 2 and isinstance(loader[1], Tensor):
        return sample(model, loader[0], n, **options), loader[1].cpu()
    raise ValueError(f"`calibrate`: `loader` must be a DataLoader or a pair (x, target). Got {type(loader).__name__}.")


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


def _classes(found: Prediction, target: Tensor) -> Callable[[float], float]:
    """The mean NLL of the mean probabilities, as a function of the logarithm of the temperature."""
    assert found.samples is not None
    samples = found.samples.double().movedim(found.class_axis + 1, -1)
    if target.numel() != samples[0, ..., 0].numel() or len(target) != samples.shape[1]:
        raise ValueError(
            "`calibrate`: targets must have a class for each row and position. Got the shape "
            f"{tuple(target.shape)} for answers with {tuple(samples.shape[1:-1])} beside the classes. Pass "
            f"class_axis=, or targets that fit."
        )
    index, used = target.reshape(samples.shape[1:-1]).long(), target.reshape(samples.shape[1:-1]) != IGNORED
    index, samples = index[used], samples[:, used]
    classes = samples.shape[-1]
    if not len(index) or int(index.min()) < 0 or int(index.max()) >= classes:
        raise ValueError(
            f"`calibrate`: targets must be classes 0 to {classes - 1}, or {IGNORED} to leave a place out. Got "
            f"{index.unique()[:8].tolist()}. Pass another class_axis, or number the classes from 0."
        )
    index = index.expand(len(samples), -1).unsqueeze(-1)

    def loss(log_temperature: float) -> float:
        each = (samples / math.exp(log_temperature)).log_softmax(2).gather(2, index).squeeze(-1)
        return -float((each.logsumexp(0) - math.log(len(each))).mean())

    return loss


def _labels(found: Prediction, target: Tensor) -> Callable[[float], float]:
    """The mean NLL of labels, as a function of the logarithm of the temperature."""
    assert found.samples is not None
    if target.shape != found.samples.shape[1:]:
        raise ValueError(
            f"`calibrate`: targets must be 0 or 1 for each label. Got the shape {tuple(target.shape)} for answers "
            f"{tuple(found.samples.shape[1:])}. Pass one column for each label."
        )
    used = target != IGNORED
    sign = 2.0 * target[used].double() - 1.0
    if not bool((sign.abs() == 1.0).all()):
        raise ValueError(f"`calibrate`: targets must be 0 or 1 for each label. Got {target.unique()[:8].tolist()}.")
    samples = found.samples.double()[:, used] * sign

    def loss(log_temperature: float) -> float:
        each = torch.nn.functional.logsigmoid(samples / math.exp(log_temperature))
        return -float((each.logsumexp(0) - math.log(len(each))).mean())

    return loss


def _values(found: Prediction, target: Tensor) -> Callable[[float], float]:
    """The mean NLL of the mixture, as a function of the logarithm of sigma."""
    assert found.samples is not None
    samples, value = found.samples.double().flatten(1), target.double().flatten()
    return lambda log_sigma: -float(log_mixture(samples, value, math.exp(log_sigma)).mean())


_LOSSES = {"classification": _classes, "multilabel": _labels, "regression": _values}


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
