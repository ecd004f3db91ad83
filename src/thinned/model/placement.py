"""The rules of placement, one after the other.

What is asked of the graph is in `flow.py`, how a place is named so that a hook finds it again in `spot.py`, and how
large p starts, with its reason, in `starting.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ..nn.names import named_modules
from .draft import Draft
from .flow import Flow
from .inplace import breaks
from .place_branches import Branches
from .place_heads import Attention
from .place_hidden import Hidden
from .plan import SET, Line, Plan
from .probe import copied, probe, woken
from .trace import tensors_of
from .untouched import untouched


def place(model: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan:
    """See `thinned.plan`."""
    found = probe(model, args, kwargs)
    draft = Draft(Flow(found.trace, model, tensors_of((args, kwargs))), found)
    Hidden(draft).places()
    Branches(draft).places()
    attention = Attention(draft)
    attention.places()
    attention.recurrent_rates()
    attention.embedding_rates()
    lines = _harmless(model, args, kwargs, draft.lines)
    there, notes = dict.fromkeys(draft.there()), draft.notes(lines)
    return Plan(tuple(lines), tuple(there), tuple(notes), type(model).__name__)


def _harmless(
    model: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], lines: Sequence[Line]
) -> list[Line]:
    """The lines, those off that set p of a dropout which would write over what the backward pass needs.

    At p = 0 it writes nothing. A dropout behind a softmax, for one, is often in place.
    """
    modules = dict(named_modules(model))
    inplace = {
        line.where: (modules[line.anchor.module], line.anchor.what, line.p)
        for line in lines
        if line.enabled and line.variant == SET and getattr(modules[line.anchor.module], "inplace", False)
    }

    def fails(*names: str) -> bool:
        with untouched("plan", model), torch.enable_grad(), woken(inplace[name] for name in names):
            model.train()
            try:
                return breaks(model, *copied(args, kwargs))
            except RuntimeError:  # it cannot be trained here, whatever its dropout does
                return False

    if not inplace or not fails(*inplace) or fails():
        return list(lines)
    off = {name for name in inplace if fails(name)} or set(inplace)
    why = "; off, because in place it would break the backward pass: set its inplace=False first."
    return [
        replace(line, enabled=False, reason=line.reason.rstrip(".") + why) if line.where in off else line
        for line in lines
    ]
