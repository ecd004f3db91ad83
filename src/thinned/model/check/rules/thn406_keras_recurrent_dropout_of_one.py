"""THN406: a rate of 1 in a recurrent layer of Keras, which switches its dropout off."""

from __future__ import annotations

from collections.abc import Iterator

from ..finding import Finding
from ..lens.calls import argument, number
from ..lens.layer_names import layer_name
from ..lens.source_file import SourceFile
from ..rule import Rule

_RECURRENT = {
    "LSTM",
    "GRU",
    "SimpleRNN",
    "LSTMCell",
    "GRUCell",
    "SimpleRNNCell",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
}


def source(file: SourceFile) -> Iterator[Finding]:
    if not file.says("keras"):
        return
    for call, _ in file.calls:
        if layer_name(file, call) not in _RECURRENT:
            continue
        for name in ("dropout", "recurrent_dropout"):
            given = argument(call, None, (name,))
            rate = number(given)
            if given is not None and rate is not None and rate >= 1:
                yield RULE.on(file, given, f"`{name}={file.segment(given)}` drops nothing: Keras asks for 0 < rate < 1")


RULE = Rule(
    code="THN406",
    name="keras-recurrent-dropout-of-one",
    summary="A recurrent layer of Keras with a rate of 1 drops nothing.",
    what="""\
Looks for `dropout` and `recurrent_dropout` of 1 or more in Keras's recurrent layers and cells.""",
    why="""\
The cells draw a mask only while `0 < rate < 1`, and clip what is above: 1 is no dropout at all, without a word.""",
    bad="""\
import keras

layer = keras.layers.LSTM(32, recurrent_dropout=1.0)
""",
    good="""\
import keras

layer = keras.layers.LSTM(32, recurrent_dropout=0.2)
""",
    instead="""\
A rate below 1. It is the probability that a unit is dropped.""",
    reference="Keras 3, `layers/rnn/dropout_rnn_cell.py`.",
    source=source,
)
