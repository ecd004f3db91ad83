"""`thinned.plan`: find where dropout should go in a model, with a reason and a starting p for each place.

The rules are in `hidden.py`, `branches.py` and `attention.py`. They ask `watch/graph.py` about the calls of a forward
pass. `anchoring.py` makes the text by which a hook finds a place again. `starting.py` has the starting p and the reason
for each kind of place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ...nn.names import named_modules
from ..inspect.inplace import breaks
from ..known.keras import warn_of_keras
from ..watch.example import by_name
from ..watch.graph import Graph
from ..watch.modes import set_mode
from ..watch.recorder import tensors_of
from ..watch.untouched import check_module, untouched
from .attention import Attention
from .branches import Branches
from .draft import Draft
from .hidden import Hidden
from .line import SET, PlanLine
from .plan import Plan
from .probe import copied, probe, woken


def plan(model: torch.nn.Module, *args: Any, **kwargs: Any) -> Plan:
    """Find where dropout should go in a model, by rules from the literature. The model is not changed.

    The rules: dropout on the input of a layer, after the hidden activation and its batch normalisation; on whole
    channels of convolution maps; with one mask for all time steps around recurrent layers; stochastic depth on residual
    branches, with p rising with depth; in transformers, dropout on attention weights, on each branch before the
    addition, and in the feed-forward part; alpha dropout after SELU. No dropout on the raw input, on the output, or in
    frozen parts. If the model has a dropout at such a place, the plan sets its p if it is 0, and leaves it alone
    otherwise. `docs/guides/plan.md` has the rules, their sources and the starting p.

    Arguments:
        model: any module. It runs in training mode, uncompiled. Modes, buffers and generator states are put back. Until
            then no other thread may use the model, or draw random numbers.
        args, kwargs: an example of the arguments of a call, or a mapping of them by name as in `predict`; with a batch
            axis and of ordinary size.

    Returns:
        A `Plan`; `print` shows it as a table.

    Raises:
        TypeError: `model` is no module.
        ValueError: a lazy module of the model has not been initialised.
        Exception: any error that the model raises on the example.

    Cost: one or two forward passes, and about 50 microseconds for each call of torch in them. If the plan would set p
    of a dropout with `inplace=True`, one to three forward and backward passes more, and further ones to find the
    dropout at fault.

    >>> net = torch.nn.Sequential(torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))
    >>> [(line.where, line.variant, line.p) for line in plan(net, torch.ones(8, 64))]
    [('output of 1', 'Dropout', 0.5)]
    """
    check_module("plan", model)
    warn_of_keras("plan", model)
    args, kwargs = by_name(model, args, kwargs)
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
    """The lines, with a line switched off if its p would break the backward pass.

    This happens where a line sets p of a dropout with `inplace=True`: at p = 0 the dropout writes nothing, and at p > 0
    it overwrites a tensor that the backward pass may need, such as the output of a softmax.
    """
    modules = dict(named_modules(model))
    inplace = {
        line.where: (modules[line.anchor.module], line.anchor.what, line.p)
        for line in lines
        if line.enabled and line.variant == SET and getattr(modules[line.anchor.module], "inplace", False)
    }

    def fails(*names: str) -> bool:
        """Whether the backward pass breaks if the p of these lines are set."""
        with untouched("plan", model), torch.enable_grad(), woken(inplace[name] for name in names):
            set_mode(model, True)
            try:
                return breaks(model, *copied(args, kwargs))
            except RuntimeError:  # the model cannot be trained here, with or without dropout
                return False

    if not inplace or not fails(*inplace) or fails():
        return list(lines)
    off = {name for name in inplace if fails(name)} or set(inplace)
    why = "; off, because in place it would break the backward pass: set its inplace=False first."
    return [
        replace(line, enabled=False, reason=line.reason.rstrip(".") + why) if line.where in off else line
        for line in lines
    ]
