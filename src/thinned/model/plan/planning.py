"""`thinned.plan`: where dropout should go in a model, with a reason and a starting p for each place.

`watch/graph.py` answers questions about the graph of calls, `anchoring.py` finds the text by which a hook finds a place
again, and `starting.py` has the p that each kind of place starts with, and its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ...nn.names import named_modules
from ..inspect.inplace import breaks
from ..watch.graph import Graph
from ..watch.recorder import tensors_of
from ..watch.untouched import untouched
from .attention import Attention
from .branches import Branches
from .draft import Draft
from .hidden import Hidden
from .line import SET, PlanLine
from .plan import Plan
from .probe import copied, probe, woken


def plan(model: torch.nn.Module, *args: Any, **kwargs: Any) -> Plan:
    """Find where dropout should go in a model, by the rules of the literature; change nothing.

    Dropout goes on what a layer reads, behind a hidden activation and behind its batch normalisation, never on the raw
    input, never on the output, never in frozen parts; on whole channels of convolution maps; locked over time around
    recurrent layers; as stochastic depth, rising with depth, on residual branches; in transformers on attention, on
    each branch before it is added and in the feed-forward part; as alpha dropout after SELU. Dropout that the
    model has is respected: where its p is 0 the plan sets it, where it is above 0 the plan leaves it alone.
    `docs/guides/plan.md` has the rules, their sources and the starting p.

    Arguments:
        model: any module. It runs in training mode, uncompiled; modes, buffers and random state are put back.
        args, kwargs: an example of what the model is called with: with a batch axis and of ordinary size.

    Returns: a `Plan`; `print` shows it as a table.

    Raises:
        TypeError: `model` is no module.
        ValueError: a lazy module that has not seen an input.
        Exception: whatever the model itself raises on the example.

    Cost: one or two forward passes, and about 50 microseconds for each call of torch in them; a backward pass, too,
    where p would be set of a dropout that works in place.

    >>> net = torch.nn.Sequential(torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))
    >>> [(line.where, line.variant, line.p) for line in plan(net, torch.ones(8, 64))]
    [('output of 1', 'Dropout', 0.5)]
    """
    found = probe(model, args, kwargs)
    draft = Draft(Graph(found.trace, model, tensors_of((args, kwargs))), found)
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
    model: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], lines: Sequence[PlanLine]
) -> list[PlanLine]:
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
