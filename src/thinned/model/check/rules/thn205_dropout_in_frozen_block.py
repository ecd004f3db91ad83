"""THN205: dropout that is active in a part of the model whose parameters are frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch.nn import Embedding, Module

from ....nn.names import named_modules
from ..finding import Finding
from ..lens.examination import Examination
from ..rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    modules = examination.modules
    if not any(weight.requires_grad for weight in Module.parameters(examination.model)):
        return  # no parameter is trained: the model is used for inference
    trained = {
        f"{name}.{own}" if name else own
        for name, module in modules.items()
        for own, weight in module._parameters.items()
        if weight is not None and weight.requires_grad
    }
    behind: dict[str, list[bool]] = {}  # by module: for each call that drew, whether a trained parameter acts before it
    for trace in examination.passes:
        graph = examination.graph(trace)
        learns = {call.index for call in trace.calls if not trained.isdisjoint(call.parameters)}
        for call in trace.calls:
            if call.draws:
                learned = call.index in learns or any(graph.descends(call.index, other) for other in learns)
                behind.setdefault(call.module, []).append(learned)
    for place in examination.inspection.places:
        block = _block(modules, place.module)
        if (
            not place.train_calls
            or block is None
            or any(weight.requires_grad for weight in Module.parameters(modules[block]))
        ):
            continue
        if place.module in behind and not any(behind[place.module]):
            yield RULE.at(
                place,
                f"dropout is live in {block!r}, of which no parameter is trained: its features are noisy for nothing. "
                "Use thinned.freeze",
            )


def _block(modules: Mapping[str, object], name: str) -> str | None:
    """The innermost module around a place that has weights of layers; embeddings and norms do not count."""
    while True:
        module = modules.get(name)
        if isinstance(module, Module):
            owners = (part for _, part in named_modules(module) if not isinstance(part, Embedding))
            if any(weight.ndim > 1 for part in owners for weight in part._parameters.values() if weight is not None):
                return name
        if not name:
            return None
        name = name.rpartition(".")[0]


RULE = Rule(
    code="THN205",
    name="dropout-in-frozen-block",
    summary="Dropout is live in a part whose parameters are frozen.",
    what="""\
Flags places that draw in training mode inside a block of which no parameter requires a gradient, in a model that
trains others, where nothing trained comes before the place either. Behind a trained part, as with adapters in a
frozen network, the noise regularises that part, and is left alone.""",
    why="""\
`requires_grad = False` does not switch off dropout, and `model.train()` switches it on again after every evaluation.
The frozen part can't adapt to the noise: its features are those of a network that it was not meant to be, in training
only, and can't be cached.""",
    bad="""\
import torch
from torch import nn

encoder = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 32), nn.ReLU())
encoder.requires_grad_(False)
model = nn.Sequential(encoder, nn.Linear(32, 4))
example = (torch.randn(8, 16),)
""",
    good="""\
import thinned
import torch
from torch import nn

encoder = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 32), nn.ReLU())
thinned.freeze(encoder)
model = nn.Sequential(encoder, nn.Linear(32, 4))
example = (torch.randn(8, 16),)
""",
    instead="`thinned.freeze(part)`: parameters and noise off, and they stay off through `.train()`.",
    reference="users' reports: butd_detr issue 8, fairseq PR 1710, ALBEF issue 124.",
    live=live,
)
