"""One number that makes probabilities honest: a temperature for logits, a standard deviation for values.

    softmax(logits / T)    T by the least negative log-likelihood on validation rows (Guo et al. 2017)

It changes no prediction, only how sure it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .metric import METRICS, SUREST

LOG_T = (-3.0, 5.0)


def fit(output: NDArray[np.floating], y: NDArray[np.int64]) -> float:
    """The temperature, in [e^-3, e^5].

    Where every row is right the likelihood asks for certainty, however few the rows: then it is at least 1, so that the
    network gets no surer than it was.

    Arguments:
        output: validation rows' logits (rows, classes); those of several seeds may stand one after the other.
        y: their classes.
    """
    from scipy.optimize import minimize_scalar

    finite = np.isfinite(output.max(axis=1))  # a row with nan or infinity counts as wrong at any temperature
    logits, truth = output[finite].astype(np.float64), y[finite]
    if not len(logits):
        return 1.0
    least = 0.0 if finite.all() and (output.argmax(axis=1) == y).all() else LOG_T[0]
    highest = logits.max(axis=1, keepdims=True)
    margin = highest[:, 0] - logits[np.arange(len(truth)), truth]
    below = logits - highest

    def loss(log_t: float) -> float:
        cold = float(np.exp(-log_t))
        rows = margin * cold + np.log(np.exp(below * cold).sum(axis=1))
        return float(np.minimum(rows, SUREST).mean())

    found = minimize_scalar(loss, bounds=(least, LOG_T[1]), method="bounded", options={"xatol": 1e-4})
    best = min((least, float(found.x), 0.0), key=loss)  # the search is inside its ends; T = 1 is never beaten by chance
    return float(np.exp(best))


def apply(output: NDArray[np.floating], temperature: float) -> NDArray[np.floating]:
    """Logits at that temperature."""
    return output / output.dtype.type(temperature)


def sigma(output: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """The standard deviation of a normal noise around predicted values, from validation rows: their RMSE.

    Both in standardised units; a constant network on standardised targets has 1.
    """
    return float(METRICS["rmse"].rows(output, y).mean())
