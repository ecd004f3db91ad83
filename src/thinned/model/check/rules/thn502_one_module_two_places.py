"""THN502: one dropout module that is called at several places of a forward pass, as information."""

from __future__ import annotations

from collections.abc import Iterator

from torch.nn import Module

from ...known.operations import ACTIVATIONS, NORMS, VIEWS
from ...watch.graph import through
from ...watch.trace import INPUT
from ..finding import Finding
from ..lens.examination import Examination
from ..lens.noise import noises
from ..rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    sites: dict[str, list[tuple[object, object]]] = {}
    places = {}
    near = through(VIEWS, ACTIVATIONS, NORMS)
    for noise in noises(examination):
        trace = noise.trace
        module = examination.modules.get(noise.place.module)
        if noise.place.name != noise.place.module or module is None or any(True for _ in Module.parameters(module)):
            continue  # a function; or a recurrent layer, which has two noises
        ends = [at for at in noise.graph.before(noise.data, near) if at != INPUT]
        made = frozenset((trace.calls[at].module, trace.calls[at].function) for at in ends)
        read = frozenset((call.module, call.function) for call in noise.graph.after(noise.call, near)[1])
        sites.setdefault(noise.place.name, []).append((made, read))
        places[noise.place.name] = noise.place
    for name, calls in sites.items():
        # In a loop over time, all calls except the first and the last have the same calls before and after them. So the
        # calls before must differ, and the calls after too.
        if min(len({made for made, _ in calls}), len({read for _, read in calls})) > 1:
            yield RULE.at(
                places[name],
                f"one module is the dropout of {len(set(calls))} places in a forward pass: they share p, and whatever "
                "switches or converts one switches all",
            )


RULE = Rule(
    code="THN502",
    name="one-module-two-places",
    summary="One dropout module is used at several places of a forward pass (information).",
    what="""\
Points out a dropout module that is called at places with different neighbours in one forward pass. Calls in a loop,
with the same neighbours at each step, are not pointed out. This is information and no failure: torch's dropout keeps
no state, and each call draws a mask of its own.""",
    why="""\
The places can't have a p each: `set_rates`, schedules and `convert` reach them together, a mask shared along the
sequence at one place is shared along whatever axis that is at the other, and `inspect` shows one row for them all. In
a stream the calls of one module are numbered in order, so adding a call at the first place changes the second one's
masks.""",
    bad="""\
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(16, 64), nn.Linear(64, 32), nn.Linear(32, 4)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x):
        x = self.dropout(self.first(x).relu())
        x = self.dropout(self.second(x).relu())
        return self.last(x)


model = Network()
example = (torch.randn(8, 16),)
""",
    good="""\
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(16, 64), nn.Linear(64, 32), nn.Linear(32, 4)
        self.first_dropout, self.second_dropout = nn.Dropout(0.2), nn.Dropout(0.2)

    def forward(self, x):
        x = self.first_dropout(self.first(x).relu())
        x = self.second_dropout(self.second(x).relu())
        return self.last(x)


model = Network()
example = (torch.randn(8, 16),)
""",
    instead="A dropout module for each place.",
    reference="`docs/guides/streams.md` for what a module's calls are numbered by.",
    live=live,
    advice=True,
)
