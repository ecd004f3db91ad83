"""THN102: attention with dropout in evaluation mode too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..finding import Finding, Fix
from ..lens.calls import ATTENTION, given, number
from ..lens.classes import can_ask_mode, module_method
from ..lens.mode import CONSTANT, depends, told_at_construction
from ..lens.mode_methods import ask_training, mode_methods
from ..lens.noisy_calls import noisy_calls
from ..lens.reached import one_mode, running_method
from ..lens.rewrite import rewritten
from ..lens.source_file import SourceFile, dotted
from ..rule import Rule

if TYPE_CHECKING:
    from ..lens.examination import Examination


def source(file: SourceFile) -> Iterator[Finding]:
    for call, name, entry, whole, sure in noisy_calls(file, ATTENTION):
        found = running_method(file, call)
        p = given(whole, entry.p)
        if found is None or p is None or number(p) == 0 or one_mode(file, call):
            continue
        if depends(file, p) != CONSTANT and not told_at_construction(file, call, p):
            continue
        at = p if whole is call else call
        short, said, text = name.rpartition(".")[2], entry.p.names[0], file.segment(p)
        method = mode_methods(file, call, (p,))
        if method:
            message = f"`{short}` drops in evaluation too: `{dotted(method[0])}` is a method, and so always true"
            yield RULE.on(file, at, message, ask_training(file, found[0], method))
            continue
        fix = None
        can = sure and module_method(file, call) is not None
        if whole is call and can and can_ask_mode(file, found[0], call):
            edit = rewritten(file, p, "_ if self.training else 0.0")
            fix = Fix(f"Make `{said}` 0 in evaluation", (edit,))
        yield RULE.on(file, at, f"`{short}` drops in evaluation too: `{said}` is `{text}` in both modes", fix)


def live(examination: Examination) -> Iterator[Finding]:
    for place in examination.inspection.places:
        if place.active == "both" and ("attention" in place.kind or place.kind.startswith("flash_attn")):
            yield RULE.at(place, f"`{place.kind}` drops in evaluation too: its `dropout_p` does not follow the mode")


RULE = Rule(
    code="THN102",
    name="attention-constant-dropout",
    summary="Attention gets the same `dropout_p` in training and in evaluation.",
    what="""\
Looks for `scaled_dot_product_attention`, `flash_attn_func` (and its kin) and xformers' `memory_efficient_attention` in
a module's methods whose `dropout_p` (xformers: `p`) is the same in both modes: a number, or an attribute that only
`__init__` sets. Local names, the contents of `*args` and `**kwargs`, and other names of the function are followed, as
in THN101. A value that can't be traced, such as the method's own argument, is left alone. In a live model: every
attention that drops in both modes.""",
    why="""\
These functions have no `training`: they drop whenever `dropout_p > 0`. `eval()` does not reach them, so predictions
are random and worse, silently. timm's author calls it "a recurring bug".""",
    bad="""\
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self, dropout=0.1):
        super().__init__()
        self.dropout = dropout

    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout)
""",
    good="""\
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self, dropout=0.1):
        super().__init__()
        self.dropout = dropout

    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
""",
    instead="`dropout_p=p if self.training else 0.0`, which `--fix` writes.",
    reference="""\
The warning in torch's documentation of the function; <https://github.com/pytorch/pytorch/issues/124464>;
<https://github.com/huggingface/pytorch-image-models/pull/1978>.""",
    source=source,
    live=live,
)
