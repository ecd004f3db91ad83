"""THN106: a model that is exported in training mode, with dropout."""

from __future__ import annotations

from collections.abc import Iterator

from ..finding import Finding
from ..lens.built import built
from ..lens.calls import argument, literal
from ..lens.source_file import SourceFile
from ..rule import Rule


def source(file: SourceFile) -> Iterator[Finding]:
    for call, _ in file.calls_of({"torch.onnx.export"}) if file.says("TRAINING") else ():
        mode = argument(call, None, ("training",))
        if mode is not None and (file.resolve(mode) or "").endswith("TrainingMode.TRAINING"):
            yield RULE.on(file, call, "`torch.onnx.export` is told to keep dropout in training mode")
    for model in built(file):
        for call in model.exports:
            name = file.resolve(call.func) or ""
            # torch's older exporter (dynamo=False) puts the model in evaluation mode itself.
            mode = argument(call, None, ("training",))
            told = mode is not None and (file.resolve(mode) or "").endswith(("Mode.EVAL", "Mode.TRAINING"))
            if not told and not literal(argument(call, None, ("dynamo",)), False):
                message = f"`{name}` gets `{model.name}` in training mode: nothing calls `{model.name}.eval()`"
                yield RULE.on(file, call, message)


RULE = Rule(
    code="THN106",
    name="export-in-train-mode",
    summary="A model is exported in training mode.",
    what="""\
Looks for `torch.onnx.export`, `torch.export.export` and `torch.jit.trace` of a model that the same function, or the
file, builds and whose mode nothing sets; and for `torch.onnx.export(training=TrainingMode.TRAINING)`. Which models
count is said at THN104.""",
    why="""\
An exported graph has the mode of the moment baked in. Exported in training mode it drops for ever, and `eval()` does
not reach it any more; batch normalisation uses the statistics of each batch.""",
    bad="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
program = torch.export.export(model, (torch.rand(4, 8),))
""",
    good="""\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
model.eval()
program = torch.export.export(model, (torch.rand(4, 8),))
""",
    instead="`model.eval()` before the export.",
    reference="torch's documentation of `torch.onnx.export`, whose exporter warns of it.",
    source=source,
)
