"""The laws: what a position's random words decide. Version 1 of the noise contract (docs/design/noise.md).

Sixteen bits settle a Bernoulli draw and thirty-two a uniform one. Each element reads its own lane of its own block, so
the value at a position never depends on what else is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .argument import PROBABILITY, UINT64, check
from .philox import blocks
from .place import Placement, place

VERSION = 1
LEVELS = 65536  # 16-bit decisions
BERNOULLI_DOMAIN = 0
UNIFORM_DOMAIN = 1


def threshold(p: float) -> int:
    """T: a unit is dropped when its 16-bit lane is below T. T = floor(65536 p + 1/2), below 65536 unless p = 1.

    >>> threshold(0.5), threshold(1.0), threshold(1 - 1e-9)
    (32768, 65536, 65535)
    """
    scaled = LEVELS * p
    whole = math.floor(scaled)
    nearest = whole + (scaled - whole >= 0.5)  # each step exact, where adding 1/2 could round
    return nearest if p >= 1.0 else min(nearest, LEVELS - 1)


def realised(p: float) -> float:
    """The drop probability that 16 bits can give: T / 65536, within 2**-17 of p (2**-16 just below 1).

    >>> realised(0.001)
    0.001007080078125
    """
    return threshold(p) / LEVELS


def scale(p: float) -> float:
    """What survivors are multiplied by, so that the mean is kept: 65536 / (65536 - T), as float32; 0 at p = 1.

    For the realised p the mean is exact but for the rounding of this number, 2**-24 of it at most.

    >>> scale(0.5)
    2.0
    """
    kept = LEVELS - threshold(p)
    return float(np.float32(LEVELS / kept)) if kept else 0.0


def bernoulli(
    key: int,
    p: float,
    shape: Sequence[int],
    *,
    broadcast_dims: Sequence[int] = (),
    offset: Sequence[int] | None = None,
    global_shape: Sequence[int] | None = None,
) -> NDArray[np.bool_]:
    """A dropout mask: True where a unit is kept, which happens with probability `1 - realised(p)`.

    Arguments:
        key: an unsigned 64-bit number.
        p: the probability that a unit is dropped, in [0, 1]. It is not part of the key: at one key, the units dropped
            at p are dropped at every larger p too.
        shape, broadcast_dims, offset, global_shape: the block and where it lies, as in `place`.

    Returns:
        bool, of `shape`.

    Raises:
        TypeError, ValueError: a bad `key` or `p`, or what `place` refuses.

    Cost: about 5 ns a draw where positions are one run, 90 ns where they are not.

    >>> bernoulli(7, 0.5, (2, 4))
    array([[False,  True,  True,  True],
           [ True, False,  True, False]])
    """
    check(UINT64, "bernoulli", "key", key)
    check(PROBABILITY, "bernoulli", "p", p)
    where = place(shape, broadcast_dims=broadcast_dims, offset=offset, global_shape=global_shape)
    kept = lanes(key, where, "<u2", BERNOULLI_DOMAIN) >= threshold(p)
    return np.broadcast_to(kept, where.shape).copy()


def uniform(
    key: int,
    shape: Sequence[int],
    *,
    broadcast_dims: Sequence[int] = (),
    offset: Sequence[int] | None = None,
    global_shape: Sequence[int] | None = None,
) -> NDArray[np.float64]:
    """Uniform noise in the open interval (0, 1): `(x + 0.5) * 2**-32` of a 32-bit lane x, exact in float64.

    Arguments, errors: as in `bernoulli`. Returns float64, of `shape`.

    >>> float(uniform(7, ()))
    0.838472691248171
    """
    check(UINT64, "uniform", "key", key)
    where = place(shape, broadcast_dims=broadcast_dims, offset=offset, global_shape=global_shape)
    values = _unit_interval(lanes(key, where, "<u4", UNIFORM_DOMAIN))
    return np.broadcast_to(values, where.shape).copy()


def normal(
    key: int,
    shape: Sequence[int],
    *,
    broadcast_dims: Sequence[int] = (),
    offset: Sequence[int] | None = None,
    global_shape: Sequence[int] | None = None,
) -> NDArray[np.float64]:
    """Standard normal noise by Box and Muller (1958): a lane pair (u, v) gives sqrt(-2 ln u) times (cos, sin) 2 pi v.

    Even positions take the cosine, odd ones the sine, so `|value| <= sqrt(66 ln 2) = 6.76`. Backends agree with
    this one to 1e-6, since `log` and `cos` differ in their last bit.

    Arguments, errors: as in `bernoulli`. Returns float64, of `shape`.

    >>> normal(7, (3,)).shape
    (3,)
    """
    check(UINT64, "normal", "key", key)
    where = place(shape, broadcast_dims=broadcast_dims, offset=offset, global_shape=global_shape)
    even = where.positions() & ~np.uint64(1)
    radius = np.sqrt(-2.0 * np.log(_unit_interval(_gather(key, even, "<u4", UNIFORM_DOMAIN))))
    angle = 2.0 * np.pi * _unit_interval(_gather(key, even + np.uint64(1), "<u4", UNIFORM_DOMAIN))
    values = radius * np.where(where.positions() & np.uint64(1), np.sin(angle), np.cos(angle))
    return np.broadcast_to(values, where.shape).copy()


def lanes(key: int, where: Placement, lane: str, domain: int) -> NDArray[np.unsignedinteger]:
    """The raw lane of every draw, in `where.noise_shape`; `lane` is "<u2" (8 a block) or "<u4" (4 a block)."""
    if not where.dense:
        return _gather(key, where.positions(), lane, domain)
    count = math.prod(where.noise_shape)
    per_block = 16 // np.dtype(lane).itemsize
    first = where.base // per_block
    last = -((where.base + count) // -per_block)
    words = blocks(int(key), np.arange(last - first, dtype=np.uint64) + np.uint64(first), domain)
    skipped = where.base - first * per_block
    run = words.astype("<u4").view(lane).ravel()[skipped : skipped + count]
    return run.reshape(where.noise_shape)


def _gather(key: int, positions: NDArray[np.uint64], lane: str, domain: int) -> NDArray[np.unsignedinteger]:
    per_block = np.uint64(16 // np.dtype(lane).itemsize)
    words = blocks(int(key), positions // per_block, domain).astype("<u4").view(lane)
    return np.take_along_axis(words, (positions % per_block).astype(np.intp)[..., None], axis=-1)[..., 0]


def _unit_interval(x: NDArray[np.unsignedinteger]) -> NDArray[np.float64]:
    return (x.astype(np.float64) + 0.5) * 2.0**-32
