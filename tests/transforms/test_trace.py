"""torch's older tracers: torch.jit.trace at inference, and torch.fx with our layers as leaves."""

from __future__ import annotations

import pytest
import torch
from tests.regressions.example import run
from tests.transforms.conftest import Case
from torch.fx import GraphModule, Tracer

from thinned.nn import Dropout

# torch 2.14 has another class of warning.
deprecated = pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated")


@deprecated
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # torch's recurrent modules ask for shapes
def test_a_jit_trace_at_inference(case: Case) -> None:
    layer, x = case.layer().eval(), case.sample()
    traced = torch.jit.trace(layer, (x,))
    torch.testing.assert_close(run(traced, x), run(layer, x))


class Leaves(Tracer):
    """torch.fx takes torch's own layers for leaves; thinned's, and classes derived from them, are named here."""

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        ours = any(kind.__module__.startswith("thinned.nn") for kind in type(m).__mro__)
        return ours or super().is_leaf_module(m, module_qualified_name)


def test_fx_with_our_layers_as_leaves(case: Case) -> None:
    model = torch.nn.Sequential(case.layer())
    graph = GraphModule(model, Leaves().trace(model))
    x = case.sample()
    for training in (True, False):
        graph.train(training)
        model.train(training)
        torch.testing.assert_close(*(case.call(form, x, 1) for form in (graph, model)), rtol=0, atol=0)


def test_fx_without_leaves_is_told_so() -> None:
    """Traced through, a layer would keep the mode in which it was traced."""
    with pytest.raises(TypeError, match=r"Got Proxy. Make the layer a leaf of the torch.fx.Tracer."):
        torch.fx.symbolic_trace(Dropout(0.5))
