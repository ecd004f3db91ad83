"""A network's figures on rows, from its raw answers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from .figures import deviation, figures
from .fold import Fold
from .outcome import Figures


def measured_rows(
    val_output: NDArray[np.float32], output: NDArray[np.float32], fold: Fold, y: NDArray[np.generic] | None = None
) -> Figures:
    """Error, likelihood and squared error on test rows; the width of a regression's predictions is validation's.

    Arguments:
        val_output, output: raw answers to the fold's validation rows, and to the rows that are judged.
        y: truths of the rows that are judged; the fold's test rows' by default.
    """
    truth = torch.from_numpy(fold.y_test if y is None else y)[None]
    sigma = deviation(torch.from_numpy(val_output)[None], torch.from_numpy(fold.y_val)[None])
    scale = torch.tensor([fold.scale], dtype=torch.float64)
    return figures(torch.from_numpy(output)[None], truth, sigma, scale)[0]
