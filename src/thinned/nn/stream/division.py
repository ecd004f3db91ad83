"""Which rows of the batch inputs are, and how many calls each site has had with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.fx.experimental.sym_node

from ...noise import Integer, Part, Rows, check
from ...ops.placed import Parts
from .site_keys import SiteKeys

COUNT = Integer(1, 2**63 - 1, "[1, 2**63)")
AXIS = Integer(0, 63, "[0, 64)")
# A number that a compiled graph takes as an input. An older torch compiles a graph for every part of a batch.
Varying: type[int] = getattr(torch.fx.experimental.sym_node, "DynamicInt", int)


def equal_part(owner: str, index: int, count: int, dim: int, interleaved: bool) -> Part:
    """A checked part of equal ones."""
    check(COUNT, owner, "count", count)
    check(Integer(0, count - 1, f"[0, {count})"), owner, "index", index)
    check(AXIS, owner, "dim", dim)
    return Part(Varying(index), int(count), int(dim), bool(interleaved))


def named_rows(rows: range, total: int, dim: int) -> Rows:
    """Checked rows."""
    if not isinstance(rows, range) or rows.step < 1:
        kind = ValueError if isinstance(rows, range) else TypeError
        raise kind(f"`rows`: `rows` must be a range with a positive step. Got {rows!r}. Pass range(start, stop).")
    check(COUNT, "rows", "total", total)
    check(AXIS, "rows", "dim", dim)
    if rows.start < 0 or (rows and rows[-1] >= total):
        raise ValueError(f"`rows`: `rows` must be numbers in [0, {total}). Got {rows!r}. Pass the whole's `total`.")
    return Rows(Varying(rows.start), rows.step, len(rows), int(total), int(dim))


class Division:
    """The parts of the batch that inputs are, the outermost first, and each part's own count of every site's calls.

    A count of its own: every microbatch of a step has a first call. `_here` has the counts after the calls with a part
    itself, `_inside` the greatest counts after calls with a part of the part.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.begin([])

    def begin(self, sites: list[SiteKeys]) -> None:
        """Begin a step, in which no site has had a call."""
        self._sites = sites
        self._here: dict[Parts, list[int]] = {}
        self._inside: dict[Parts, list[int]] = {}
        self._arrive(self._parts)

    @contextmanager
    def within(self, part: Part | Rows) -> Iterator[None]:
        """Inputs are this part of what they were."""
        outside = self._parts
        self._leave()
        self._arrive((*outside, part))
        try:
            yield
        finally:
            if self._sites:  # else the stream has been left meanwhile
                self._leave()
                self._arrive(outside)

    def _leave(self) -> None:
        reached = [site.index for site in self._sites]
        before = self._here.get(self._parts, [0] * len(reached))
        self._here[self._parts] = [
            now if now > then else old for now, then, old in zip(reached, self._arrived, before, strict=True)
        ]
        for depth in range(len(self._parts)):
            outside = self._parts[:depth]
            self._inside[outside] = list(map(max, self._inside.get(outside, reached), reached))

    def _arrive(self, parts: Parts) -> None:
        """Go on after the latest call that had any of these rows."""
        known = [self._here.get(parts[:depth]) for depth in range(len(parts) + 1)]
        counts = [count for count in (*known, self._inside.get(parts)) if count]
        self._parts = parts
        self._arrived = [max(numbers) for numbers in zip(*counts, strict=True)] or [0] * len(self._sites)
        for site, number in zip(self._sites, self._arrived, strict=True):
            site.parts, site.index = parts, number
