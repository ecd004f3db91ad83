"""The noise as raw bytes on stdout, for batteries of statistical tests: `... noise_bytes.py | dieharder -g 200 ...`.

Three streams. `lanes`: the 16-bit lanes of one key, position after position, as masks read them. `keys`: block 0 of
keys 0, 1, 2, ..., so that keys which differ in few bits stand side by side. `children`: block 0 of `fold_in(key, n)`
for n = 0, 1, 2, .... The stream never repeats and ends when the reader does, or after `--bytes`. With `--count`
the number of bytes that the pipe took goes to a file: what a battery consumed is counted, not estimated.

Example: python benchmarks/noise_bytes.py --count taken.txt | dieharder -g 200 -d 202
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thinned.noise.law import BERNOULLI_DOMAIN
from thinned.noise.philox import FOLD_IN_DOMAIN, blocks

STEP = 1 << 16  # blocks a write: 1 MiB


def stream(kind: str, key: int) -> Iterator[NDArray[np.uint32]]:
    """Words `(STEP, 4)` after words, for ever."""
    numbers = np.arange(STEP, dtype=np.uint64)
    while True:
        if kind == "lanes":
            yield blocks(key, numbers, BERNOULLI_DOMAIN)
        else:
            yield blocks(numbers if kind == "keys" else children(key, numbers), np.uint64(0), BERNOULLI_DOMAIN)
        numbers += np.uint64(STEP)


def children(key: int, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`fold_in(key, n)` for every n, as one array."""
    words = blocks(key, numbers, FOLD_IN_DOMAIN).astype(np.uint64)
    child: NDArray[np.uint64] = words[:, 0] | words[:, 1] << np.uint64(32)
    return child


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", choices=("lanes", "keys", "children"), default="lanes")
    parser.add_argument("--key", type=lambda text: int(text, 0), default=0, help="of `lanes` and `children`")
    parser.add_argument("--bytes", type=float, default=float("inf"), help="stop after this many")
    parser.add_argument("--count", type=Path, help="write the number of bytes that the reader took to this file")
    arguments = parser.parse_args()
    # Unbuffered: a write says how much the pipe took, and nothing is left to complain about when the reader has gone.
    taken = 0
    try:
        for words in stream(arguments.kind, arguments.key):
            if taken >= arguments.bytes:
                break
            taken += os.write(sys.stdout.fileno(), words.astype("<u4", copy=False).data)
    except BrokenPipeError:
        pass
    if arguments.count is not None:
        arguments.count.write_text(f"{taken}\n")


if __name__ == "__main__":
    main()
