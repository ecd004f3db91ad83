"""How a compiled graph asks for a site's key: by an operator that runs, with the graph, every time.

The operator has three arguments: the site's key of the step, the site's count when the graph began, and the number of
the call among the graph's calls of the site. The first two are data, so that one graph serves every step and every
layer of a class; the third is a constant of the graph. The result is a pure function of the three, so a graph may run
the operator again, as torch's partitioner makes it do in the backward pass. The call is counted once all the same.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ...ops.fold import fold_number
from ...ops.philox import signed

_library = torch.library.Library("thinned", "FRAGMENT")


class CountedSite(Protocol):
    """What the operator knows of a site: its key of the step, which of its calls were made, and how to make one."""

    @property
    def key(self) -> Tensor: ...
    def made(self, ticket: int) -> bool: ...
    def run(self, ticket: int, index: int, start: int) -> int: ...


_sites: dict[int, list[CountedSite]] = {}  # the active ones, by their key of the step


def add(number: int, site: CountedSite) -> None:
    _sites.setdefault(number, []).append(site)


def remove(number: int, site: CountedSite) -> None:
    same = [other for other in _sites.get(number, []) if other is not site]
    if same:
        _sites[number] = same
    else:
        _sites.pop(number, None)


def ask(key: Tensor, count: Tensor) -> Tensor:
    """The key of a call that is being traced."""
    place: int = torch.ops.thinned.site_place(key).shape[0]
    asked: Tensor = torch.ops.thinned.site_key(key, count, place)
    return asked


_library.define("site_place(Tensor key) -> Tensor")
_library.define("site_key(Tensor key, Tensor count, int place) -> Tensor")


def _count_while_tracing(key: Tensor) -> Tensor:
    """As a length, how often this ran with this key in this trace. The graph has no use for the tensor itself.

    Numbers that Python counts would be read from a layer when a graph begins, and be a part of it; and a checkpoint
    inside a graph forbids to write them.
    """
    place: int = getattr(key, "_thinned_place", 0)
    key._thinned_place = place + 1  # type: ignore[attr-defined]
    return key.new_empty(place)


def _site_key(key: Tensor, count: Tensor, place: int) -> Tensor:
    number = int(key) % 2**64
    start, index = count.tolist()
    same = _sites.get(number, [])
    # Two models of one seed may have sites of one name.
    site = same[0] if len(same) == 1 else next((site for site in same if site.key.data_ptr() == key.data_ptr()), None)
    if site is None or site.made(start + place):  # of an older step, or done again
        number = fold_number(number, index + place) if index + place else number
    else:
        number = site.run(start + place, index + place, start)
    return torch.tensor(signed(number), dtype=torch.int64, device="cpu")


_library.impl("site_place", lambda key: key.new_empty(0), "CompositeExplicitAutograd")
_library.impl("site_key", _site_key, "CompositeExplicitAutograd")
torch.library.register_fake("thinned::site_place", _count_while_tracing, lib=_library)
torch.library.register_fake("thinned::site_key", lambda key, count, place: torch.empty_like(key), lib=_library)
