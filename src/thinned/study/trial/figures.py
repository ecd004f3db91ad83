"""Error, likelihood and squared error of raw outputs, for many networks at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from .outcome import Figures

WORST_NLL = 100.0  # nats; what a row counts where a diverged network's answer is no number
_FURTHEST = 100.0  # standardised units; what a row counts likewise
_LEAST_SIGMA = 1e-6  # standardised units


def figures(output: Tensor, y: Tensor, sigma: Tensor, scale: Tensor) -> list[Figures]:
    """Means over rows, for each of M networks.

    Arguments:
        output: logits `(M, rows, classes)`, or standardised values `(M, rows, 1)`.
        y: class numbers (int64), or standardised values, `(M, rows)`.
        sigma: regression: each network's standard deviation of the predicted normal distribution, `(M,)`, in
            standardised units.
        scale: regression: target units a standardised unit, `(M,)`.

    >>> figures(torch.zeros(1, 4, 2), torch.tensor([[0, 0, 0, 1]]), torch.ones(1), torch.ones(1))
    [Figures(error=0.25, nll=0.6931..., loss=0.5)]
    """
    output = output.double()
    if y.dtype == torch.int64:
        log_probability = functional.log_softmax(output, dim=2)
        fine = log_probability.isfinite().all(2)
        error = ((output.argmax(2) != y) | ~fine).double().mean(1)
        nll = -log_probability.gather(2, y.unsqueeze(2)).squeeze(2)
        wrong = log_probability.exp() - functional.one_hot(y, output.shape[2])
        loss = wrong.square().sum(2).nan_to_num(nan=2.0).mean(1)
    else:
        residual = (output.squeeze(2) - y).nan_to_num(nan=_FURTHEST, posinf=_FURTHEST, neginf=_FURTHEST)
        width = sigma.double().clamp(min=_LEAST_SIGMA)
        nll = (residual / width[:, None]).square() / 2 + (width * scale.double()).log()[:, None]
        nll += math.log(2 * math.pi) / 2
        loss = residual.square().mean(1)
        error = loss.sqrt() * scale
    nll = nll.nan_to_num(nan=WORST_NLL, posinf=WORST_NLL).mean(1)
    return [Figures(*row) for row in torch.stack((error, nll, loss), dim=1).tolist()]


def deviation(output: Tensor, y: Tensor) -> Tensor:
    """Regression: the root mean square of the validation residuals, in standardised units, `(M,)`; for classes ones.

    The width of the predicted distribution. Training residuals of an overfitted network would be far too small.
    """
    if y.dtype == torch.int64:
        return torch.ones(len(y), dtype=torch.float64)
    return (output.double().squeeze(2) - y).square().mean(1).sqrt().nan_to_num(nan=_FURTHEST, posinf=_FURTHEST)
