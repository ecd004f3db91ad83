"""The rules of placement, one after the other.

What is asked of the graph is in `flow.py`, how a place is named so that a hook finds it again in `spot.py`, and how
large p starts, with its reason, in `starting.py`.
"""

from __future__ import annotations

from typing import Any

import torch

from .draft import Draft
from .flow import Flow
from .place_branches import Branches
from .place_heads import Attention
from .place_hidden import Hidden
from .plan import Plan
from .probe import probe
from .trace import tensors_of


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
    lines = draft.lines
    there, notes = dict.fromkeys(draft.there()), draft.notes(lines)
    return Plan(tuple(lines), tuple(there), tuple(notes), type(model).__name__)
