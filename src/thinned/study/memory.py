"""Whether a network fits in memory at all, said before anything is trained."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .error import StudyError

COPIES = 5  # of the weights while a network is trained: weights, gradients, two averages of AdamW, the best state
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container


def check_memory(weights: int, hidden: Sequence[int]) -> None:
    """Raises StudyError: one network of so many float32 weights needs more memory than there is."""
    there, needed = memory(), 4 * COPIES * weights
    if there is not None and needed > there:
        raise StudyError(
            f"`--hidden` must be layers that fit in memory. Got {', '.join(map(str, hidden))}: a network of "
            f"{weights:,} weights takes {needed / 2**30:,.0f} GiB to train, and there are {there / 2**30:,.1f}. Pass "
            "smaller layers."
        )


def memory() -> int | None:
    """Bytes that this process may use at most; None where the system does not say."""
    found = []
    with suppress(ValueError, OSError, AttributeError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in _LIMITS:
        with suppress(OSError, ValueError):
            found.append(int(Path(limit).read_text()))
    return min((size for size in found if size > 0), default=None)
