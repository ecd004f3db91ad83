"""THN602: a seed that is set in every forward pass."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..finding import Finding
from ..lens.classes import acts_as_module, is_forward
from ..lens.mode import guarded, in_training
from ..lens.source_file import SourceFile, dotted
from ..rule import Rule

_SEEDS = {
    "torch.manual_seed",
    "torch.random.manual_seed",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "torch.cuda.random.manual_seed",
    "torch.cuda.random.manual_seed_all",
}


def source(file: SourceFile) -> Iterator[Finding]:
    if not file.says("manual_seed"):
        return
    for call, name in file.calls_of(_SEEDS):
        found = file.method(call)
        if found is None or not acts_as_module(file, found[0]) or not is_forward(found[1]):
            continue
        if in_training(file, call) and not _forked(file, call):
            when = "in training" if guarded(file, call) else "at every call"
            message = f"`{name}` in `{found[1].name}` sets the generator back {when}: seed once, before training"
            yield RULE.on(file, call, message)


def _forked(file: SourceFile, call: ast.Call) -> bool:
    """Whether a `with` around the call restores the generator state at its end."""
    return any(
        isinstance(item.context_expr, ast.Call)
        and (dotted(item.context_expr.func) or "").rpartition(".")[2] in ("fork_rng", "preserve_rng_state")
        for above in file.above(call)
        if isinstance(above, ast.With)
        for item in above.items
    )


RULE = Rule(
    code="THN602",
    name="seed-in-forward",
    summary="`forward` sets torch's seed.",
    what="""\
Looks for `torch.manual_seed` and its kin in a module's `forward`, in a branch for training too. Left alone: in
`torch.random.fork_rng`; in a branch for evaluation only, which sets the generator back now and then and not at every
step; in a branch on a setting such as `self.deterministic`.""",
    why="""\
Every dropout after it, in this module and in all others, draws the same mask at every step. Shuffling, augmentation
and initialisation that share the generator repeat themselves too.""",
    bad="""\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        torch.manual_seed(0)
        return self.dropout(x)
""",
    good="""\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(x)


torch.manual_seed(0)
model = Net()
""",
    instead="A seed once, at the start of the program; for masks that can be repeated, `thinned.stream(model, seed)`.",
    reference="torch's notes on reproducibility; docs/guides/streams.md.",
    source=source,
)
