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

from thinned.noise.kernel import ADD, DROP, MASK, TYPES, WORDS, instruction_sets, module
from thinned.noise.law import BERNOULLI_DOMAIN, UNIFORM_DOMAIN
from thinned.noise.philox import blocks
from thinned.noise.place import Placement

Array = NDArray[Any]
RUN: dict[str, Callable[..., int]] = {name: getattr(module, f"run_{name}") for name in instruction_sets}
FORMS = {"drop": DROP, "add": ADD, "mask": MASK, "words": WORDS}


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
OUT: dict[str, type[np.generic]] = {"mask": np.uint8, "words": np.uint32}


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
    x: Array | None = None
    residual: Array | None = None
    key: int = 0x0123456789ABCDEF
    law: Law = field(default_factory=Law)

    def empty(self) -> Array:
        return np.zeros(self.where.shape, OUT.get(self.form, self.element.storage))

    def by_kernel(self, name: str, out: Array, threads: int = 1) -> int:
        """Run into `out`, which may be `x`, and return how many threads did it."""
        steps = strides(out)
        law = self.law
        return RUN[name](
            FORMS[self.form],
            TYPES[self.element.name],
            out.ctypes.data,
            0 if self.x is None else self.x.ctypes.data,
            0 if self.residual is None else self.residual.ctypes.data,
            self.where.shape,
            steps,
            steps if self.x is None else strides(self.x),
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

    def by_contract(self) -> Array:
        if self.form == "words":
            return self._spread(lanes(self.key, self.where, "<u4", UNIFORM_DOMAIN)).astype(np.uint32)
        kept = self._spread(lanes(self.key, self.where, "<u2", BERNOULLI_DOMAIN)) >= self.law.threshold
        if self.form == "mask":
            return kept.astype(np.uint8)
        assert self.x is not None
        e, law = self.element, self.law
        with np.errstate(all="ignore"):
            y = e.widen(self.x) * e.wide(law.scale)
            if law.shift:
                y = y + e.wide(law.shift)
            fill = e.narrow(np.full((), law.fill, e.wide))
            dropped = np.where(kept, e.narrow(y), fill)
            if self.form == "drop":
                return dropped
            assert self.residual is not None
            return e.narrow(e.widen(self.residual) + e.widen(dropped))

    def same(self, found: Array, expected: Array) -> bool:
        """Equal bit for bit, the sign of a zero too; a nan is a nan, for its payload is the processor's affair."""
        if self.form in OUT:
            return np.array_equal(found, expected)
        nan = self.element.nan(expected)
        both = np.array_equal(nan, self.element.nan(found))
        return both and np.array_equal(bits(found)[~nan], bits(expected)[~nan])

    def _spread(self, draws: Array) -> Array:
        return np.broadcast_to(draws, self.where.shape)


def lanes(key: int, where: Placement, lane: str, domain: int) -> Array:
    """The lane of every draw, straight from the contract: position by position, each from its own block."""
    per_block = 16 // np.dtype(lane).itemsize
    positions = where.positions()
    words = blocks(key, positions // np.uint64(per_block), domain).astype("<u4").view(lane)
    number = (positions % np.uint64(per_block)).astype(np.intp)
    return np.take_along_axis(words, number[..., None], axis=-1)[..., 0]


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
