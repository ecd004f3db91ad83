"""What `predict` has found out about models, for its next call with the same ones.

Remembered is what `mark` can tell to be as it was, and nothing else: a look is not made again only where a new one
would find the same. A model that is no more is forgotten with it, for neither it nor a tensor of it is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch

from ..model.watch.stand_in import StandIn
from .fixed_forward import mark
from .predictor import Look, Predictor

Module = torch.nn.Module
MOST = 8  # ways of asking that are remembered of a model


class _FoundBefore(NamedTuple):
    """What was found out about a model, for one way of asking."""

    mark: Any
    looks: dict[Any, Look]
    state: list[Any]
    copy: Module  # the copy that ran, without tensors


_known: WeakKeyDictionary[Module, dict[Any, _FoundBefore]] = WeakKeyDictionary()


@contextmanager
def remembered(ask: Predictor, model: Module, x: Any) -> Iterator[None]:
    """A context manager for one call of a new predictor: it need not look at a model that was looked at before."""
    way = ask.way
    now = None if way is None else mark(model, x)
    if now is None:
        yield
        return
    # Taken out while it is in use: another thread's call looks for itself.
    known = _known.get(model, {}).pop(way, None)
    if known is not None and known.mark == now:
        ask.begin_with(known.looks, known.state, StandIn(model, known.copy))
    yield
    looks, state, stand_in = ask.found
    usual = {kind: look for kind, look in looks.items() if look.runner.as_usual}
    if usual and stand_in is not None and stand_in.copied and mark(model, x) == now:
        ways = _known.setdefault(model, {})
        while len(ways) >= MOST:
            ways.pop(next(iter(ways), None), None)
        for look in usual.values():
            look.runner.quiet = None
        ways[way] = _FoundBefore(now, usual, state, _emptied(stand_in.module))


def _emptied(copy: Module) -> Module:
    """The copy without tensors: it is made like its model again before it runs."""
    for module in copy.modules():
        vars(module).update(_parameters={}, _buffers={})
    return copy
