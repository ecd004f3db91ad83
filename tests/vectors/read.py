"""Read the files of expected values, in the form that a test wants: one case, with the arguments a backend takes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
Axes = tuple[int, ...]


class Block(TypedDict):
    """A block's place in the whole, by the names that `thinned.noise.place` has for it."""

    broadcast_dims: Axes
    offset: Axes
    global_shape: Axes


class Mask(NamedTuple):
    """One line of noise-1-masks.txt."""

    key: int
    p: float
    threshold: int
    scale: float
    shape: Axes
    block: Block
    expected: str

    def __str__(self) -> str:
        return f"{self.key:#x}-p={self.p}-{_label(self.shape, self.block)}"

    def agrees(self, mask: NDArray[np.bool_]) -> bool:
        """Whether a mask, True where kept, is the expected one."""
        packed = np.packbits(mask.ravel()).tobytes()
        if self.expected.startswith("sha256:"):
            found = f"sha256:{hashlib.sha256(packed).hexdigest()}"
        else:
            found = packed.hex() or "-"
        return mask.shape == self.shape and found == self.expected


class Field(NamedTuple):
    """One line of noise-1-fields.txt."""

    key: int
    shape: Axes
    block: Block
    uniform: NDArray[np.float64]
    normal: NDArray[np.float64]

    def __str__(self) -> str:
        return f"{self.key:#x}-{_label(self.shape, self.block)}"


def masks() -> list[Mask]:
    return [
        Mask(
            int(key, 16),
            float(p),
            int(threshold),
            float(np.array(int(scale, 16), dtype=np.uint32).view(np.float32)),
            _axes(shape),
            Block(broadcast_dims=_axes(shared), offset=_axes(offset), global_shape=_axes(whole)),
            expected,
        )
        for key, p, threshold, scale, whole, shape, offset, shared, expected in _lines("noise-1-masks.txt")
    ]


def children() -> list[tuple[int, int, int]]:
    """Triples (key, n, child)."""
    return [(int(key, 16), int(n, 16), int(child, 16)) for key, n, child in _lines("noise-1-keys.txt")]


def fields() -> list[Field]:
    cases = []
    for key, whole, shape, offset, shared, words, normals in _lines("noise-1-fields.txt"):
        sizes = _axes(shape)
        lanes = np.array([int(word, 16) for word in _list(words)], dtype=np.float64).reshape(sizes)
        normal = np.array([float(value) for value in _list(normals)], dtype=np.float64).reshape(sizes)
        block = Block(broadcast_dims=_axes(shared), offset=_axes(offset), global_shape=_axes(whole))
        cases.append(Field(int(key, 16), sizes, block, (lanes + 0.5) * 2.0**-32, normal))
    return cases


def known_answers() -> list[tuple[list[int], int, list[int]]]:
    """Triples (counter, key, output) of the generator's published answers."""
    answers = []
    for words in _lines("philox4x32-10.txt"):
        numbers = [int(word, 16) for word in words]
        answers.append((numbers[:4], numbers[4] | numbers[5] << 32, numbers[6:]))
    return answers


def _lines(name: str) -> Iterator[list[str]]:
    for line in (HERE / name).read_text().splitlines():
        if line and not line.startswith("#"):
            yield line.split()


def _list(text: str) -> list[str]:
    return [] if text == "-" else text.split(",")


def _axes(text: str) -> Axes:
    return tuple(int(number) for number in _list(text))


def _label(shape: Axes, block: Block) -> str:
    return f"{shape}-of-{block['global_shape']}-at-{block['offset']}-shared-{block['broadcast_dims']}"
