"""One job in two ways: by the compiled kernel on an instruction set, and by the noise contract in NumPy arithmetic.

The kernel takes addresses, so arrays of its storage types stand in for tensors: bfloat16 is uint16 here, and only its
rounding is borrowed from torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from thinned.noise.kernel import ADD, DROP, TYPES, instruction_sets, module
from thinned.noise.law import BERNOULLI_DOMAIN
from thinned.noise.philox import blocks
from thinned.noise.place import Placement

Array = NDArray[Any]
RUN: dict[str, Callable[..., int]] = {name: getattr(module, f"run_{name}") for name in instruction_sets}
FORMS = {"drop": DROP, "add": ADD}
KEY = 0x0123456789ABCDEF


def _widen_bfloat16(x: Array) -> Array:
    return (x.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _narrow_bfloat16(x: Array) -> Array:
    return torch.from_numpy(np.ascontiguousarray(x)).to(torch.bfloat16).view(torch.uint16).numpy().reshape(x.shape)


def _plain(x: Array) -> Array:
    return x


class Element(NamedTuple):
    """An element type: its storage, the type that is computed in, and the ways there and back."""

    name: str
    storage: type[np.generic]
    wide: type[np.floating[Any]]
    widen: Callable[[Array], Array]
    narrow: Callable[[Array], Array]

    def nan(self, x: Array) -> NDArray[np.bool_]:
        return np.isnan(self.widen(x))


ELEMENTS = {
    "float32": Element("float32", np.float32, np.float32, _plain, _plain),
    "float64": Element("float64", np.float64, np.float64, _plain, _plain),
    "bfloat16": Element("bfloat16", np.uint16, np.float32, _widen_bfloat16, _narrow_bfloat16),
    "float16": Element(
        "float16", np.float16, np.float32, lambda x: x.astype(np.float32), lambda x: x.astype(np.float16)
    ),
}


@dataclass(frozen=True)
class Law:
    """Numbers that a p stands for; the default keeps three quarters."""

    threshold: int = 16384
    scale: float = 1.3125
    shift: float = 0.0
    fill: float = 0.0


@dataclass(frozen=True)
class Job:
    """What to compute. Arrays may have any strides of whole elements; `residual` belongs to the form "add"."""

    form: str
    element: Element
    where: Placement
    x: Array
    residual: Array | None = None
    key: int = KEY
    law: Law = field(default_factory=Law)

    def empty(self) -> Array:
        return np.zeros(self.where.shape, self.element.storage)

    def by_kernel(self, name: str, out: Array, threads: int = 1) -> int:
        """Run into `out`, which may be `x`, and return how many threads did it."""
        steps = strides(out)
        law = self.law
        return RUN[name](
            FORMS[self.form],
            TYPES[self.element.name],
            out.ctypes.data,
            self.x.ctypes.data,
            0 if self.residual is None else self.residual.ctypes.data,
            self.where.shape,
            steps,
            strides(self.x),
            steps if self.residual is None else strides(self.residual),
            threads,
            self.key,
            law.threshold,
            law.scale,
            law.shift,
            law.fill,
            self.where.strides,
            self.where.base,
        )

    def kept(self) -> NDArray[np.bool_]:
        """The mask, by the contract."""
        return np.broadcast_to(lanes(self.key, self.where) >= self.law.threshold, self.where.shape)

    def by_contract(self) -> Array:
        e, law = self.element, self.law
        with np.errstate(all="ignore"):
            y = e.widen(self.x) * e.wide(law.scale)
            if law.shift:
                y = y + e.wide(law.shift)
            fill = e.narrow(np.full((), law.fill, e.wide))
            dropped = np.where(self.kept(), e.narrow(y), fill)
            if self.form == "drop":
                return dropped
            assert self.residual is not None
            return e.narrow(e.widen(self.residual) + e.widen(dropped))

    def same(self, found: Array, expected: Array) -> bool:
        """Equal bit for bit, the sign of a zero too; a nan is a nan, for its payload is the processor's affair."""
        nan = self.element.nan(expected)
        both = np.array_equal(nan, self.element.nan(found))
        return both and np.array_equal(bits(found)[~nan], bits(expected)[~nan])


def mask(element: Element, where: Placement, *, key: int = KEY, threshold: int = 16384) -> Job:
    """The job whose output is its mask: ones, dropped at scale 1. An element is kept where it is not 0."""
    ones = element.narrow(np.ones(where.shape, element.wide))
    return Job("drop", element, where, ones, key=key, law=Law(threshold, scale=1.0))


def lanes(key: int, where: Placement) -> Array:
    """The 16-bit lane of every draw, straight from the contract: position by position, each from its own block."""
    positions = where.positions()
    halves = blocks(key, positions // np.uint64(8), BERNOULLI_DOMAIN).astype("<u4").view("<u2")
    number = (positions % np.uint64(8)).astype(np.intp)
    return np.take_along_axis(halves, number[..., None], axis=-1)[..., 0]


def strides(array: Array) -> tuple[int, ...]:
    """In elements."""
    return tuple(step // array.itemsize for step in array.strides)


def bits(array: Array) -> Array:
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")


def run_of(count: int, base: int = 0) -> Placement:
    """`count` consecutive positions."""
    return Placement((count,), (1,), base)


def numbers(element: Element, shape: Sequence[int], rng: np.random.Generator) -> Array:
    """Ordinary numbers, tiny and huge ones, zeros of both signs, infinities and nans, in the element's storage."""
    spread = rng.choice([1.0, 1.0, 1.0, 1e-7, 1e4, 1e-40], size=shape)
    odd = rng.choice([0.0, -0.0, np.inf, -np.inf, np.nan], size=shape)
    with np.errstate(all="ignore"):
        values = np.where(rng.random(shape) < 0.05, odd, rng.standard_normal(shape) * spread).astype(element.wide)
        return element.narrow(values)
