"""Which level to take: of those that validation cannot tell from the best, the simplest.

Losses of a level and of the best are paired by seed, `d_s`. Seeds share one pool, so their mean scatters by more than
1 / S (Nadeau and Bengio 2003):

    within reach where   mean(d) <= sqrt((1 / S + n_val / n_train) * Var(d))

the rule of one standard error (Breiman et al. 1984) for paired losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..record import Arm
from ..trial.config import Level

_RANK: dict[Arm, int] = {"decay": 1, "dropout": 2, "both": 3, "input": 4}


@dataclass(frozen=True)
class Tried:
    """A level with its figures on validation rows.

    `losses` are those of its seeds at the chosen learning rate, in the same order for every level. `nll` is the mean
    negative log-likelihood after one temperature (for numbers: with the fitted standard deviation).
    """

    level: Level
    losses: tuple[float, ...]
    nll: float


def simplest(tried: Sequence[Tried], n_val: int, n_train: int) -> Level:
    """The simplest level within one standard error of the best.

    The order: p = 0, weight decay, dropout (smaller p first), both, inputs as well. Among equals, as are two weight
    decays, the lower `nll` decides. A level with a loss that is no number is out. With one seed nothing can be told
    apart, and the best is taken.

    Arguments:
        n_val, n_train: validation and training rows of a seed.

    Raises ValueError for no level, unequal numbers of seeds, or no finite loss at all.
    """
    if len({len(one.losses) for one in tried}) != 1 or not tried[0].losses:
        counts = sorted({len(one.losses) for one in tried})
        raise ValueError(f"`simplest`: `tried` must have losses of the same seeds for every level. Got {counts} seeds.")
    sound = [one for one in tried if np.isfinite(one.losses).all()]
    if not sound:
        raise ValueError("`simplest`: `tried` must hold a level with finite losses. Got none. Try lower rates.")
    best = min(sound, key=lambda one: (float(np.mean(one.losses)), simplicity(one)))
    return min((one for one in sound if not_worse(one, best, n_val, n_train)), key=simplicity).level


def not_worse(one: Tried, best: Tried, n_val: int, n_train: int) -> bool:
    """Whether validation cannot tell a level from the best: the difference is at most one standard error."""
    apart = np.subtract(one.losses, best.losses)
    if len(apart) < 2:
        return one.level == best.level
    reach = ((1 / len(apart) + n_val / n_train) * float(apart.var(ddof=1))) ** 0.5
    return bool(apart.mean() <= reach)


def simplicity(one: Tried) -> tuple[int, float, float, Level]:
    """What a level is sorted by, the simplest first."""
    level = one.level
    plain = level.p == 0 and level.weight_decay == 0 and level.p_input == 0
    return (0 if plain else _RANK[level.arm], level.p, one.nll if np.isfinite(one.nll) else np.inf, level)
