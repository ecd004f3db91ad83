"""ONNX: the graph of a model at inference, run by ONNX's own reference implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.transforms.conftest import CASES
from torch import Tensor

from thinned.nn import DropConnectLinear, Dropout

pytest.importorskip("onnx", reason="needs onnx")
pytest.importorskip("onnxscript", reason="needs onnxscript")

# Of torch's own exporter.
pytestmark = [
    pytest.mark.compiler,
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning"),
]


class Every(torch.nn.Module):
    """All layers of the table, each on an input of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(case.layer() for case in CASES)

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        outputs = [layer(x) for layer, x in zip(self.layers, inputs, strict=True)]
        return [output[0] if isinstance(output, tuple) else output for output in outputs]


def evaluate(model: torch.nn.Module, *inputs: object) -> tuple[list[np.ndarray], set[str]]:
    """The outputs of the exported graph, and the operators in it."""
    from onnx.reference import ReferenceEvaluator

    program = torch.onnx.export(model, inputs, dynamo=True, verbose=False)
    assert program is not None
    proto = program.model_proto
    values = [value.numpy() for value in torch.utils._pytree.tree_leaves(inputs)]
    feeds = {given.name: value for given, value in zip(proto.graph.input, values, strict=True)}
    return list(ReferenceEvaluator(proto).run(None, feeds)), {node.op_type for node in proto.graph.node}


def test_every_layer_at_inference() -> None:
    model = Every().eval()
    inputs = [case.sample() for case in CASES]
    found, operators = evaluate(model, inputs)
    assert not operators & {"Dropout", "RandomUniform", "RandomUniformLike", "Bernoulli"}
    for value, expected in zip(found, model(inputs), strict=True):
        np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_the_expectation_over_masks() -> None:
    layer = DropConnectLinear(6, 4, activation=torch.relu, inference="gaussian", nodes=8).eval()
    x = torch.linspace(-1, 1, 30).reshape(5, 6)
    (found,), _ = evaluate(layer, x)
    np.testing.assert_allclose(found, layer(x).detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Exporting a model while it is in training mode:UserWarning")
def test_noise_is_refused_and_not_left_out() -> None:
    """ONNX has no such generator. A model in training must not become one without noise."""
    with pytest.raises(torch.onnx.OnnxExporterError) as caught:
        torch.onnx.export(Dropout(0.5).train(), (torch.ones(3),), dynamo=True, verbose=False)
    assert "randint" in str(caught.value.__cause__)
