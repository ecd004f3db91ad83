"""Drawing rows: as many as asked for, with the classes' shares, and groups whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...noise import fold_in, uniform

_ORDERS = 20  # random orders of groups, of which the one nearest to the classes' shares is taken
_SINGLES, _GROUPS, _TIES = range(3)  # child keys

Rows = NDArray[np.int64]


def order(key: int, count: int) -> Rows:
    """A random permutation of `count` numbers. It depends on the key alone, not on a library's generator."""
    return np.argsort(uniform(key, (count,)), kind="stable")


def draw(
    among: Rows,
    count: int,
    key: int,
    labels: Rows | None = None,
    groups: Rows | None = None,
    at_least: bool = False,
) -> tuple[Rows, Rows]:
    """`count` rows and the others, both sorted.

    With groups, about `count`: groups come whole, and rows that are a group of their own fill up to `count` exactly
    where they can.

    Arguments:
        among: the row numbers to draw from.
        labels: a class number for every row of the data; each class is drawn from by its share.
        groups: a group number for every row of the data; a group is drawn as a whole or not at all.
        at_least: whether one group more is drawn where `count` is not reached.
    """
    classes = np.zeros(len(among), dtype=np.int64) if labels is None else labels[among]
    totals = np.bincount(classes)
    wanted = quotas(totals, count, fold_in(key, _TIES))
    taken = np.zeros(len(among), dtype=bool)
    alone = np.ones(len(among), dtype=bool)
    if groups is not None:
        codes = np.unique(groups[among], return_inverse=True)[1]
        alone = np.bincount(codes)[codes] == 1
    further: list[Rows] = []  # whole groups that were not drawn, in random order
    if not alone.all():
        together = np.flatnonzero(~alone)
        drawn, further = _whole(codes[together], classes[together], count / len(among), fold_in(key, _GROUPS))
        taken[together[drawn]] = True
        further = [together[rows] for rows in further]
    singles = np.flatnonzero(alone)
    singles = singles[order(fold_in(key, _SINGLES), len(singles))]
    there = np.bincount(classes[singles], minlength=len(totals))
    need = min(max(count - int(taken.sum()), 0), len(singles))
    missing = np.clip(wanted - np.bincount(classes[taken], minlength=len(totals)), 0, there)
    if missing.sum() > need:
        missing = quotas(missing, need, fold_in(key, _TIES))
    else:
        missing += quotas(there - missing, need - int(missing.sum()), fold_in(key, _TIES))
    for label, number in enumerate(missing):
        taken[singles[classes[singles] == label][:number]] = True
    for rows in further if at_least else []:
        if taken.sum() >= count:
            break
        taken[rows] = True
    return np.sort(among[taken]), np.sort(among[~taken])


def quotas(totals: Rows, count: int, key: int) -> Rows:
    """`count` shared out in proportion to `totals`: rounded down, the largest remainders up, ties by lot."""
    if count == 0 or totals.sum() == 0:
        return np.zeros(len(totals), dtype=np.int64)
    exact = totals * (count / totals.sum())
    shares: Rows = np.minimum(np.floor(exact + 1e-9).astype(np.int64), totals)
    by_remainder = np.lexsort((order(key, len(totals)), -np.round(exact - shares, 9)))
    open_ones = by_remainder[(totals - shares)[by_remainder] > 0]
    shares[open_ones[: count - int(shares.sum())]] += 1
    return shares


def _whole(codes: Rows, classes: Rows, share: float, key: int) -> tuple[Rows, list[Rows]]:
    """Positions of whole groups that hold about `share` of the rows, of every class; and the other groups."""
    codes = np.unique(codes, return_inverse=True)[1]
    table = np.zeros((codes.max() + 1, classes.max() + 1))
    np.add.at(table, (codes, classes), 1)
    sizes, goal = table.sum(axis=1), share * table.sum(axis=0)
    best: tuple[float, Rows, Rows] | None = None
    for attempt in range(_ORDERS):
        found = order(fold_in(key, attempt), len(table))
        reached = np.concatenate([[0], np.cumsum(sizes[found])])
        cut = int(np.abs(reached - goal.sum()).argmin())
        off = np.abs(table[found[:cut]].sum(axis=0) - goal).sum() + abs(reached[cut] - goal.sum())
        if best is None or off < best[0]:
            best = float(off), found[:cut], found[cut:]
    assert best is not None
    by_group = np.split(np.argsort(codes, kind="stable"), np.cumsum(sizes.astype(np.int64))[:-1])
    drawn = [by_group[group] for group in best[1]]
    return np.concatenate([np.zeros(0, dtype=np.int64), *drawn]), [by_group[group] for group in best[2]]
