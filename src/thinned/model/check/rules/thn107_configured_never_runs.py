"""THN107: a dropout with a p above 0 that never runs, so that its p has no effect."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch.nn import Module, RNNBase

from ..finding import Finding
from ..lens.examination import Examination
from ..rule import Rule

_PATH = re.compile("path|depth", re.IGNORECASE)  # stochastic depth; a block without a skip path does not use it


def live(examination: Examination) -> Iterator[Finding]:
    inspection, modules = examination.inspection, examination.modules
    for place in inspection.places:
        module = modules.get(place.module)
        if not place.p or place.train_calls or place.eval_calls or module is None or place.name != place.module:
            continue
        if isinstance(module, RNNBase) and module.num_layers == 1:
            continue  # a fault of THN304
        owner = place.module.rpartition(".")[0]
        ran = any(place.module in trace.ran for trace in inspection.passes)
        if not ran and place.module in inspection.eval.ran:
            continue  # skipped by LayerDrop in all passes
        if ran and owner and not any(weight.requires_grad for weight in Module.parameters(modules[owner])):
            continue  # a frozen part, which is in evaluation mode on purpose
        if not ran and any(
            other.module == owner and other.name != owner and other.p == place.p and other.train_calls
            for other in inspection.places
        ):
            continue  # attention reads its p from this module, which does not run itself
        if not ran and any(
            other.train_calls
            and other.kind == place.kind
            and (_PATH.search(place.kind) or _twins(modules, other.module, place.module))
            for other in inspection.places
        ):
            continue  # blocks of the same kind use their dropout, and this one does not need it
        why = "runs but stays in evaluation mode" if ran else "is never called"
        yield RULE.at(place, f"{place.kind} has p = {place.p:.3g} and {why}: the setting does nothing")


def _twins(modules: Mapping[str, object], one: str, other: str) -> bool:
    """Whether two modules are the same attribute of two blocks of one class."""
    (owner, _, name), (twin, _, same) = one.rpartition("."), other.rpartition(".")
    return name == same and owner != twin and type(modules.get(owner)) is type(modules.get(twin))


RULE = Rule(
    code="THN107",
    name="configured-never-runs",
    summary="A dropout is configured and never runs.",
    what="""\
Flags dropout modules with p above 0 that drew nothing in training mode: no forward calls them, or something keeps
them in evaluation mode while their block is trained. A module whose p is only read, by attention in the same block,
is left alone; so are frozen blocks, and a block that has no use for it (stochastic depth without a skip) among others
of its class that have; a recurrent layer of one layer is THN304. The example decides what runs: a part that this
example doesn't use is flagged too.""",
    why="""\
The configuration says 0.1, the model trains without. Nothing in the loss tells: one compares rates, concludes that
dropout does not help here, and has compared nothing. In well-known libraries this is a frequent report.""",
    bad="""\
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 64), nn.Linear(64, 4)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x):
        return self.last(self.first(x).relu())


model = Network()
example = (torch.randn(8, 16),)
""",
    good="""\
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 64), nn.Linear(64, 4)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x):
        return self.last(self.dropout(self.first(x).relu()))


model = Network()
example = (torch.randn(8, 16),)
""",
    instead="Call it where it was meant to act, or remove the module and the setting.",
    reference='`thinned.inspect`, which shows "configured, never ran".',
    live=live,
)
