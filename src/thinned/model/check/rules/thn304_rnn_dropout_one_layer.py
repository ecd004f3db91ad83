"""THN304: `dropout` of a recurrent module with one layer: torch applies it between layers only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..finding import Finding
from ..lens.calls import RECURRENT, argument, given, is_open, number
from ..lens.source_file import SourceFile
from ..rule import Rule

if TYPE_CHECKING:
    from ..lens.examination import Examination


def source(file: SourceFile) -> Iterator[Finding]:
    if not file.says("LSTM", "GRU", "RNN"):
        return
    for call, name in file.calls_of(RECURRENT):
        if is_open(call):
            continue
        layers = argument(call, 2, ("num_layers",))
        p = number(given(call, RECURRENT[name].p))
        if p and (layers is None or number(layers) == 1):
            short = name.rpartition(".")[2]
            yield RULE.on(
                file, call, f"`{short}` of one layer never drops: `dropout={p:g}` acts between its layers only"
            )


def live(examination: Examination) -> Iterator[Finding]:
    for name, module in examination.recurrent:  # without thinned's, which drop the input of the first layer too
        if module.num_layers == 1 and module.dropout > 0:
            kind = type(module).__name__
            message = f"`{kind}` of one layer never drops: `dropout={module.dropout:g}` acts between its layers only"
            yield RULE.at(name, message)


RULE = Rule(
    code="THN304",
    name="rnn-dropout-one-layer",
    summary="A recurrent layer of one layer has a dropout, which never runs.",
    what="""\
Looks for torch's `nn.LSTM`, `nn.GRU` and `nn.RNN` with a `dropout` above 0 and one layer. Those of `thinned.nn` drop
what goes into their first layer too, and are left alone.""",
    why="""\
Their `dropout` acts on the outputs of each layer but the last. With one layer there is no such output: torch warns
once at construction and drops nothing. The network trains without the regularisation that its settings claim.""",
    bad="""\
import torch
from torch import nn

model = nn.LSTM(8, 16, batch_first=True, dropout=0.3)
example = (torch.rand(4, 5, 8),)
""",
    good="""\
import torch
from torch import nn

model = nn.LSTM(8, 16, num_layers=2, batch_first=True, dropout=0.3)
example = (torch.rand(4, 5, 8),)
""",
    instead="""\
Two layers or more; or a dropout of its own on the output. `thinned.nn.LSTM` drops inputs, outputs and the recurrent
state too, with one mask for all time steps.""",
    reference="torch's documentation of `nn.LSTM`; Zaremba, Sutskever and Vinyals 2014 for what the argument does.",
    source=source,
    live=live,
)
