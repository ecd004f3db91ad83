"""THN302: dropout around a recurrent layer with a fresh mask at each time step."""

from __future__ import annotations

from collections.abc import Iterator

from ...known.operations import CELLS, RECURRENT, VIEWS
from ...watch.graph import through
from ...watch.trace import INPUT
from ..finding import Finding
from ..lens.examination import Examination
from ..lens.noise import noises
from ..rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    seen = set()
    for noise in noises(examination):
        trace = noise.trace
        if noise.place.name in seen or not noise.elementwise:
            continue
        made = {trace.calls[at].function for at in noise.graph.before(noise.data, through(VIEWS)) if at != INPUT}
        read = {call.function for call in noise.graph.after(noise.call, through(VIEWS))[1]}
        shape, times = noise.call.shape, noise.place.train_calls
        if (made | read) & RECURRENT and len(shape) == 3 and min(shape[:2]) > 1:
            what = f"element-wise dropout on a sequence {list(shape)} {'behind' if made & RECURRENT else 'before'} a"
        elif (made | read) & CELLS and times > 1:
            what = f"dropout called {times} times around a"
        else:
            continue
        seen.add(noise.place.name)
        yield RULE.at(
            noise.place,
            f"{what} recurrent layer: a fresh mask at each step, which a long sequence averages away. "
            "Use LockedDropout: one mask for all steps",
        )


RULE = Rule(
    code="THN302",
    name="fresh-masks-each-rnn-step",
    summary="Dropout around a recurrent layer draws a fresh mask at each time step.",
    what="""\
Flags element-wise dropout on a sequence that goes straight into `LSTM`, `GRU` or `RNN` or comes straight out of one,
and a dropout that is called several times around an `LSTMCell`, `GRUCell` or `RNNCell`. What torch's `dropout=` does
between the layers is of the same kind, but is torch's own and is not flagged. The last step alone, (B, F), is no
sequence.""",
    why="""\
Independent masks over T steps average out like noise does: the noise of a sum over T equal steps has a standard
deviation of order sqrt(T), the signal is of order T. One mask for all steps keeps both at T, is what the variational
view of dropout asks for, and is what recurrent language models were tuned with.""",
    bad="""\
import torch
from torch import nn


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.dropout = nn.Dropout(0.3)
        self.lstm = nn.LSTM(16, 32, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, words):
        states, _ = self.lstm(self.dropout(self.embedding(words)))
        return self.head(states)


model = Tagger()
example = (torch.randint(0, 50, (4, 7)),)
""",
    good="""\
import torch
import thinned.nn
from torch import nn


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.dropout = thinned.nn.LockedDropout(0.3)
        self.lstm = nn.LSTM(16, 32, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, words):
        states, _ = self.lstm(self.dropout(self.embedding(words)))
        return self.head(states)


model = Tagger()
example = (torch.randint(0, 50, (4, 7)),)
""",
    instead="`thinned.nn.LockedDropout`; or `thinned.nn.LSTM`, which has it on inputs, outputs and recurrent state.",
    reference="Gal and Ghahramani 2016; Merity, Keskar and Socher 2018; `docs/design/theory.md`.",
    live=live,
)
