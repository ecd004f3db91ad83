"""Write the expected values of noise version 1: masks, child keys, uniform and normal fields, as plain text.

The contract of docs/design/noise.md in Python integers alone, without NumPy and without the package's code, so that an
agreement of the two is a real cross-check. The files are written once and every backend's tests read them; a change of
any line is a new version of the noise. `python tests/vectors/write.py` rewrites them in place.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

Axes = tuple[int, ...]

KEYS = (0, 1, 1 << 32, 1 << 63, 2**64 - 1, 0x0123456789ABCDEF, 0x299F31D0A4093822)
PI, DIGITS = KEYS[6], KEYS[5]
RATES = (0.001, 0.1, 0.25, 0.3, 0.5, 0.9, 0.999)
# Where rounding to 16 bits is decided: a tie rounds up, a rate below 2**-17 drops nothing, and only p = 1 drops all.
EDGE_RATES = (
    0.0,
    math.nextafter(2**-17, 0),
    2**-17,
    2**-16,
    1.5 * 2**-16,
    0.5 - 2**-17,
    1 - 2**-16,
    1 - 2**-17,
    1 - 2**-53,
    1.0,
)

MASKS_HEADER = """\
# Bernoulli masks, noise version 1 (docs/design/noise.md). By write.py. One case a line; one blank between columns.
#
#   key        the 64-bit key, 16 hexadecimal digits, most significant first
#   p          the drop probability: the shortest decimal that gives this double
#   threshold  T, decimal: a unit is dropped when its 16-bit lane is below T
#   scale      what survivors are multiplied by: the bits of a float32, 8 hexadecimal digits, most significant first
#   whole      the global shape: sizes separated by commas, or - for a scalar
#   shape      the block's shape: as `whole`, and as many axes
#   offset     where the block starts in the whole: as `whole`
#   shared     broadcast_dims: the axes that share one draw, from 0, separated by commas, or - for none
#   mask       one bit for each element of `shape`, shared axes written out, in row-major order; 1 is kept, 0 dropped.
#              Eight bits a byte, the first element in the most significant bit; the last byte is filled up with 0s;
#              each byte is two hexadecimal digits, and no elements are "-". A mask of more than 2048 bits is given by
#              the SHA-256 of these bytes, as sha256: and 64 hexadecimal digits.
#
# key p threshold scale whole shape offset shared mask
"""
KEYS_HEADER = """\
# Child keys, noise version 1 (docs/design/noise.md): child = fold_in(key, n). By write.py; one case a line.
# All three are 64-bit numbers of 16 hexadecimal digits, most significant first.
#
# key n child
"""
FIELDS_HEADER = """\
# Uniform and normal fields, noise version 1 (docs/design/noise.md). By write.py. One case a line; one blank between
# columns. key, whole, shape, offset and shared as in noise-1-masks.txt. Then two lists, separated by commas, with one
# entry for each element of `shape`, in row-major order, shared axes written out; no elements are "-":
#
#   words      its 32-bit lane x, 8 hexadecimal digits, most significant first. Exact. Its uniform value is
#              (x + 0.5) * 2**-32, which is exact in double.
#   normals    its standard normal value, decimal. Backends agree with it to 1e-6, absolute.
#
# key whole shape offset shared words normals
"""


def philox(counter: tuple[int, int, int, int], key: int) -> tuple[int, int, int, int]:
    """Philox4x32-10 (Salmon et al. 2011), word by word as the paper has it."""
    c0, c1, c2, c3 = counter
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, 1 << 32)
        high1, low1 = divmod(0xCD9E8D57 * c2, 1 << 32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % (1 << 32), (k1 + 0xBB67AE85) % (1 << 32)
    return c0, c1, c2, c3


def fold_in(key: int, n: int) -> int:
    low, high, _, _ = philox((n % (1 << 32), n >> 32, 0, 0x464F4C44), key)
    return high << 32 | low


def threshold(p: float) -> int:
    """Exact in rationals, where floating point could round twice."""
    nearest = math.floor(65536 * Fraction(p) + Fraction(1, 2))
    return nearest if p == 1 else min(nearest, 65535)


def scale_bits(p: float) -> str:
    kept = 65536 - threshold(p)
    return struct.pack(">f", 65536 / kept if kept else 0.0).hex()


class Lanes:
    """The lanes of one key and law; the last block is remembered, since neighbours share it."""

    def __init__(self, key: int, bits: int, domain: int) -> None:
        self.key, self.bits, self.domain = key, bits, domain
        self.number, self.block = -1, 0

    def __getitem__(self, position: int) -> int:
        number, lane = divmod(position, 128 // self.bits)
        if number != self.number:
            w0, w1, w2, w3 = philox((number % (1 << 32), number >> 32, 0, self.domain), self.key)
            self.number, self.block = number, w0 | w1 << 32 | w2 << 64 | w3 << 96
        return self.block >> lane * self.bits & (1 << self.bits) - 1


def positions(whole: Axes, shape: Axes, offset: Axes, shared: Axes) -> Iterator[int]:
    """Row-major index of every element in the global noise shape, in which shared axes have size 1."""
    for index in itertools.product(*map(range, shape)):
        position = 0
        for axis, size in enumerate(whole):
            if axis not in shared:
                position = position * size + offset[axis] + index[axis]
        yield position


def mask(key: int, p: float, *where: Axes) -> str:
    lanes, limit = Lanes(key, 16, 0), threshold(p)
    bits = "".join("01"[lanes[i] >= limit] for i in positions(*where))
    packed = bytes(int(bits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(bits), 8))
    if len(bits) > 2048:
        return f"sha256:{hashlib.sha256(packed).hexdigest()}"
    return packed.hex() or "-"


def field(key: int, *where: Axes) -> str:
    lanes = Lanes(key, 32, 1)
    found = list(positions(*where))
    normals = []
    for i in found:
        u, v = ((lanes[i & ~1 | odd] + 0.5) * 2.0**-32 for odd in (0, 1))
        turn = math.sin if i & 1 else math.cos
        normals.append(f"{math.sqrt(-2 * math.log(u)) * turn(2 * math.pi * v):.9f}")
    words = ",".join(f"{lanes[i]:08x}" for i in found)
    return f"{words or '-'} {','.join(normals) or '-'}"


def block(*shape: int, whole: Axes = (), at: Axes = (), shared: Axes = ()) -> tuple[Axes, Axes, Axes, Axes]:
    return whole or shape, shape, at or (0,) * len(shape), shared


def mask_cases() -> Iterator[tuple[int, float, tuple[Axes, Axes, Axes, Axes]]]:
    yield from ((key, p, block(4, 33)) for key in KEYS for p in RATES)
    yield from ((DIGITS, p, block(67)) for p in EDGE_RATES)
    yield from ((PI, p, block(3, 5000)) for p in (2**-16, 0.1, 0.5, 0.999, 1 - 2**-17))
    # Every start within a block, and lengths around the sizes of a block and of vector registers.
    yield from (
        (PI, 0.5, block(length, whole=(97,), at=(start,))) for start in range(9) for length in (1, 2, 7, 8, 9, 31)
    )
    yield from (
        (DIGITS, 0.5, block(length)) for length in (1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1023)
    )
    # Row lengths that leave every row at another lane, then axes of size 1, no axes, and no elements.
    yield from ((DIGITS, 0.3, block(5, columns)) for columns in (1, 3, 7, 8, 9, 13))
    yield from (
        (DIGITS, 0.5, block(*shape)) for shape in ((), (1,), (1, 1, 1), (0,), (3, 0, 2), (7, 1, 5), (2, 3, 4, 5))
    )
    # Shared axes: channels, time steps, rows, both ends, everything.
    for shared in ((2, 3), (0,), (1,), (3,), (0, 2), (1, 2, 3), (0, 1, 2, 3)):
        yield PI, 0.3, block(3, 5, 2, 7, shared=shared)
    yield DIGITS, 0.25, block(16, 24, 3, 3, shared=(2, 3))
    yield DIGITS, 0.9, block(70, 70)
    # Shards: on rows, on columns, on both, inside, and where the cut runs along a shared axis.
    for shape, at in (((2, 9), (3, 0)), ((6, 4), (0, 5)), ((3, 3), (1, 2)), ((1, 1), (5, 8)), ((0, 9), (6, 0))):
        yield PI, 0.5, block(*shape, whole=(6, 9), at=at)
    yield PI, 0.3, block(2, 3, 4, whole=(8, 3, 10), at=(5, 0, 6))
    yield PI, 0.3, block(2, 3, 4, whole=(8, 3, 10), at=(5, 0, 6), shared=(0,))
    yield PI, 0.3, block(2, 3, 4, whole=(8, 3, 10), at=(5, 0, 6), shared=(1,))
    yield PI, 0.3, block(2, 3, 4, whole=(8, 3, 10), at=(5, 0, 6), shared=(2,))
    yield PI, 0.3, block(2, 3, 4, whole=(8, 3, 10), at=(5, 0, 6), shared=(0, 2))
    # Positions across 2**31, 2**32, 2**35 (where the block number leaves 32 bits), 2**63, and the last of all.
    for place in (2**31, 2**32, 2**34, 2**35, 2**63):
        yield DIGITS, 0.5, block(40, whole=(2**64 - 1,), at=(place - 19,))
    yield DIGITS, 0.5, block(16, 8, whole=(2**64 // 8, 8), at=(2**64 // 8 - 16, 0))
    yield PI, 0.5, block(4, 11, whole=(2**30, 12), at=(2**32 // 12 - 1, 1))
    yield PI, 0.5, block(3, 2, 5, whole=(2**20, 3, 2**22), at=(2**20 - 3, 1, 2**22 - 5))
    yield PI, 0.5, block(3, 2, 5, whole=(2**20, 3, 2**22), at=(2**20 - 3, 1, 2**22 - 5), shared=(1,))
    yield PI, 0.5, block(3, 100, whole=(2**33, 100), at=(2**32 - 1, 0), shared=(1,))
    # Large enough for several threads, and for a tail; once across 2**35.
    yield PI, 0.1, block(257, 301)
    yield PI, 0.5, block(70_001, whole=(2**36,), at=(2**35 - 35_003,))


def field_cases() -> Iterator[tuple[int, tuple[Axes, Axes, Axes, Axes]]]:
    yield from ((key, block(3, 7)) for key in KEYS)
    yield from ((PI, block(length, whole=(40,), at=(start,))) for start in range(5) for length in (1, 2, 9))
    yield from ((DIGITS, block(*shape)) for shape in ((), (0,), (2, 1, 3)))
    for shared in ((0,), (1,), (1, 2), (0, 1, 2)):
        yield DIGITS, block(2, 3, 4, shared=shared)
    yield DIGITS, block(3, 3, whole=(6, 9), at=(2, 5))
    yield DIGITS, block(3, 3, whole=(6, 9), at=(2, 5), shared=(1,))
    # Four lanes a block: the block number leaves 32 bits at 2**34.
    for place in (2**31, 2**32, 2**34, 2**63):
        yield DIGITS, block(12, whole=(2**64 - 1,), at=(place - 5,))
    yield DIGITS, block(4, 4, whole=(2**62, 4), at=(2**62 - 4, 0))


def texts() -> dict[str, str]:
    """What every file must contain, by its name."""
    masks = (
        f"{key:016x} {p!r} {threshold(p)} {scale_bits(p)} {' '.join(map(axes, where))} {mask(key, p, *where)}\n"
        for key, p, where in mask_cases()
    )
    children = (f"{key:016x} {n:016x} {fold_in(key, n):016x}\n" for key in KEYS for n in (*KEYS, 2, 3, 2**32 - 1))
    fields = (f"{key:016x} {' '.join(map(axes, where))} {field(key, *where)}\n" for key, where in field_cases())
    return {
        "noise-1-masks.txt": MASKS_HEADER + "".join(masks),
        "noise-1-keys.txt": KEYS_HEADER + "".join(children),
        "noise-1-fields.txt": FIELDS_HEADER + "".join(fields),
    }


def axes(numbers: Axes) -> str:
    return ",".join(map(str, numbers)) or "-"


if __name__ == "__main__":
    for name, text in texts().items():
        (Path(__file__).parent / name).write_text(text)
