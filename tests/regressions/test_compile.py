"""What others get wrong under torch.compile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests.regressions.example import build, run, sample
from torch._dynamo.testing import CompileCounterWithBackend

from thinned.nn.variants import Variant


@pytest.fixture
def dynamo() -> Iterator[None]:
    """A cache of its own; recurrent modules are experimental there."""
    torch._dynamo.reset()
    with torch._dynamo.config.patch(error_on_recompile=True, allow_rnn=True):
        yield
    torch._dynamo.reset()


@pytest.mark.compiler
@pytest.mark.usefixtures("dynamo")
def test_a_schedule_of_p_compiles_once(variant: Variant) -> None:
    """torch 2.13: each new p compiles again, and after the eighth the layer runs eager.

    Here: twenty rates, one graph, and the masks and gradients of eager mode.
    """
    module, x = build(variant, 0.5), sample(variant)[:4].requires_grad_()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(module, fullgraph=True, backend=counter)
    for step in range(20):
        for name in ("p", "dropout", "recurrent_dropout"):
            if hasattr(module, name):
                setattr(module, name, 0.01 + 0.04 * step)
        results = []
        for layer in (compiled, module):
            torch.manual_seed(step)
            output = run(layer, x)
            results.append((output, *torch.autograd.grad(output.square().sum(), x)))
        for found, expected in zip(*results, strict=True):
            torch.testing.assert_close(found, expected)
    assert counter.frame_count == 1
