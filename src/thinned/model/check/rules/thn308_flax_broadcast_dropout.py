"""THN308: attention of Flax whose dropout shares one mask among all samples and heads."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..finding import Finding
from ..lens.calls import argument, is_open, literal, number
from ..lens.source_file import SourceFile
from ..rule import Rule

_ATTENTION = re.compile(
    r"^flax\.(linen|nnx)\.(\w+\.)*(MultiHeadDotProductAttention|MultiHeadAttention|SelfAttention"
    r"|dot_product_attention(_weights)?)$"
)


def source(file: SourceFile) -> Iterator[Finding]:
    if not file.says("flax"):
        return
    for call, name in file.calls:
        if not _ATTENTION.match(name) or is_open(call):
            continue
        rate = argument(call, None, ("dropout_rate",))
        shared = argument(call, None, ("broadcast_dropout",))
        if rate is None or number(rate) == 0 or not (shared is None or literal(shared, True)):
            continue
        at: ast.expr = rate if shared is None else shared
        yield RULE.on(
            file, at, f"`{file.segment(call.func)}` draws one mask for all samples and heads: broadcast_dropout is True"
        )


RULE = Rule(
    code="THN308",
    name="flax-broadcast-dropout",
    summary="Attention of Flax drops the same weights in every sample and every head.",
    what="""\
Looks for Flax's attention with a `dropout_rate` and without `broadcast_dropout=False`, whose default is True.""",
    why="""\
With one mask for the whole batch, the noise of the samples does not average out in the gradient, and all heads lose the
same links at once.""",
    bad="""\
from flax import linen as nn

attention = nn.MultiHeadDotProductAttention(num_heads=4, dropout_rate=0.1)
""",
    good="""\
from flax import linen as nn

attention = nn.MultiHeadDotProductAttention(num_heads=4, dropout_rate=0.1, broadcast_dropout=False)
""",
    instead="""\
`broadcast_dropout=False`; or True written out with `# noqa`, where memory asks for it.""",
    reference="Flax, `linen/attention.py`.",
    source=source,
)
