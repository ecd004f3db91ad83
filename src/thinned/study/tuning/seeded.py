"""The generators that a training of the caller's may draw from, started from its seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it, the generators of torch, NumPy and Python start from a seed; afterwards they are where they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  the caller's loop may use it
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
