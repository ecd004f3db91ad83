"""Functions that drop, as another file of a project has them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F


def drop(x: Tensor) -> Tensor:
    return F.dropout(x, 0.5)


def twice(x: Tensor) -> Tensor:
    return drop(drop(x))


STEPS: list[Callable[[Tensor], Tensor]] = [drop, lambda x: F.dropout(x, 0.25)]
