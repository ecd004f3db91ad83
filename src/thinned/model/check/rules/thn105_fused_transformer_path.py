"""THN105: dropout that is switched on inside a transformer layer in eval mode, whose fused kernel has no dropout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from ...._torch import fused_encoder_layer
from ...watch.running import Running
from ...watch.torch_modes import ThreadMode
from ...watch.untouched import untouched
from ..finding import Finding
from ..lens.examination import Examination
from ..rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    suspects = {
        name: [own for own, on in _switched_on(layer) if on]
        for name, layer in examination.modules.items()
        if isinstance(layer, nn.TransformerEncoderLayer) and not layer.training
    }
    suspects = {name: switched for name, switched in suspects.items() if switched}
    if not suspects:
        return
    fused = _fused(examination)
    for name, switched in suspects.items():
        if name in fused:
            yield RULE.at(
                name,
                f"this layer has {', '.join(switched)} in training mode, but is not itself and takes its fused path, "
                "which has no dropout: nothing is dropped. Put the whole layer in training mode",
            )


def _switched_on(layer: object) -> Iterator[tuple[str, bool]]:
    """The dropouts in a transformer layer, by name, and whether each is in training mode with p above 0."""
    assert isinstance(layer, nn.TransformerEncoderLayer)
    for own, module in layer.named_children():
        if isinstance(module, nn.Dropout):
            yield own, module.training and module.p > 0
        elif isinstance(module, nn.MultiheadAttention):
            yield own, module.training and module.dropout > 0


def _fused(examination: Examination) -> set[str]:
    """The layers that ran by the fused kernel, in a pass without gradients and without a change of modes."""
    import torch

    running = Running(examination.model)
    found: set[str] = set()

    class FusedMode(ThreadMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func.overloadpacket == fused_encoder_layer:
                found.add(running.name)
            return func(*args, **(kwargs or {}))

    with untouched("check", examination.model), torch.no_grad(), running.followed(), FusedMode():
        examination.model(*examination.example, **examination.keywords)
    return found


RULE = Rule(
    code="THN105",
    name="fused-transformer-path",
    summary="Dropout switched on inside a transformer layer that runs fused, without dropout.",
    what="""\
Looks, in a model with the modes that it is given in, for an `nn.TransformerEncoderLayer` in evaluation mode some of
whose dropouts or attention are in training mode, and runs the model without gradients to see whether the layer really
takes torch's fused path.""",
    why="""\
Monte-Carlo dropout is usually switched on by `model.eval()` and then `train()` on every `nn.Dropout`. In evaluation
mode and without gradients `nn.TransformerEncoderLayer` runs one fused operator instead of its children, and that
operator has no dropout. All samples are equal: the model looks perfectly sure. With gradients on, the same code
drops.""",
    bad="""\
import torch
from torch import nn

model = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True).eval()
for module in model.modules():
    if isinstance(module, nn.Dropout):
        module.train()
example = (torch.randn(2, 5, 16),)
""",
    good="""\
import torch
from torch import nn

model = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True).eval()
for module in model.modules():
    if isinstance(module, nn.TransformerEncoderLayer):
        module.train()
example = (torch.randn(2, 5, 16),)
""",
    instead="The layer itself in training mode; or the path off: `torch.backends.mha.set_fastpath_enabled(False)`.",
    reference="torch's documentation of `nn.TransformerEncoderLayer`, under fast path.",
    live=live,
)
