"""torch's older tracers: torch.fx, torch.jit.trace, and the exporter to ONNX that uses it."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from tests.regressions.example import run
from tests.transforms.conftest import CASES, Case
from torch import Tensor
from torch.fx import GraphModule, Tracer, symbolic_trace

import thinned.nn.functional as F
from thinned.nn import GRU, LSTM, Dropout, DropoutAdd, StochasticDepth, drop_connect

# torch 2.14 has another class of warning.
deprecated = pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated")


@deprecated
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # torch's recurrent modules ask for shapes
def test_a_jit_trace_at_inference(case: Case) -> None:
    layer, x = case.layer().eval(), case.sample()
    traced = torch.jit.trace(layer, (x,))
    torch.testing.assert_close(run(traced, x), run(layer, x))


@deprecated
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_jit_trace_of_noise_is_refused(case: Case) -> None:
    """It would hold the positions of the example's shape, and be wrong in silence for another."""
    with pytest.raises(RuntimeError, match=r"must not be recorded by torch.jit.trace.* Call model.eval\(\) first"):
        torch.jit.trace(case.layer(), (case.sample(),))


@deprecated
def test_a_jit_trace_in_training_without_noise() -> None:
    x = torch.ones(3, 4)
    traced = torch.jit.trace(torch.nn.Sequential(Dropout(0.0), torch.nn.Tanh()), (x,))
    assert torch.equal(traced(x), x.tanh())


@pytest.mark.compiler
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter itself
def test_the_exporter_that_traces() -> None:
    pytest.importorskip("onnx", reason="needs onnx")
    model, x = torch.nn.Sequential(torch.nn.Linear(3, 3), Dropout(0.5)), torch.ones(2, 3)
    file: Any = io.BytesIO()
    mode, old = torch.onnx.TrainingMode, cast(Any, {"dynamo": False, "do_constant_folding": False})
    with pytest.raises(RuntimeError, match=r"`Dropout`: noise must not be recorded .*export\(dynamo=False\)"):
        torch.onnx.export(model, (x,), file, training=mode.TRAINING, **old)
    torch.onnx.export(model, (x,), file, training=mode.EVAL, **old)
    assert b"Gemm" in file.getvalue()
    assert b"Dropout" not in file.getvalue()


class Leaves(Tracer):
    """thinned's layers, and classes derived from them, are named as leaves."""

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        ours = any(kind.__module__.startswith("thinned.nn") for kind in type(m).__mro__)
        return ours or super().is_leaf_module(m, module_qualified_name)


@pytest.mark.parametrize("named", [False, True])
def test_a_layer_is_a_leaf_of_torch_fx(case: Case, named: bool) -> None:
    model = torch.nn.Sequential(case.layer())
    if case.variant.name == "DropoutAdd" and not named:  # in this table a class with a forward of its own
        with pytest.raises(TypeError, match="a class with a forward of its own"):
            symbolic_trace(model)
        return
    graph = GraphModule(model, Leaves().trace(model)) if named else symbolic_trace(model)
    x = case.sample()
    assert "call_module" in [node.op for node in graph.graph.nodes]
    for training in (True, False, True):
        graph.train(training)
        model.train(training)
        for form in (graph, copy.deepcopy(graph)):
            torch.testing.assert_close(*(case.call(each, x, 1) for each in (form, model)), rtol=0, atol=0)


class Block(torch.nn.Module):
    """Layers of one input and of two, one of them twice, and recurrent ones, in modules of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.words = drop_connect(torch.nn.Embedding(9, 6), p=0.5)
        self.inner: Any = torch.nn.ModuleDict({"first": torch.nn.Sequential(torch.nn.Linear(6, 6), Dropout(0.5))})
        self.add, self.path = DropoutAdd(0.3), StochasticDepth(0.2)
        self.bias = torch.nn.Parameter(torch.ones(6))
        self.lstm, self.gru = LSTM(6, 3, dropout=0.4, recurrent_dropout=0.2), GRU(3, 3, dropout=0.3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.words(tokens)
        y = self.path(self.inner["first"](x))
        y = self.inner["first"][1](self.add(y, residual=x))
        y = self.add(self.bias, y)
        y, (h, _) = self.lstm(y)
        return self.gru(y, h)[0]  # type: ignore[no-any-return]


def test_nested_layers_with_several_inputs() -> None:
    torch.manual_seed(0)
    model = Block()
    graph = symbolic_trace(model)
    targets = [node.target for node in graph.graph.nodes if node.op == "call_module"]
    assert [target for target in targets if target not in ("words", "inner.first.0")] == [
        "inner.first.1", "path", "add", "inner.first.1", "add", "lstm", "gru",
    ]  # fmt: skip
    tokens = torch.arange(9).reshape(3, 3)
    for training in (True, False):
        model.train(training)
        graph.train(training)
        outputs = []
        for form in (model, graph):
            torch.manual_seed(5)
            outputs.append(form(tokens))
        assert torch.equal(*outputs)
    assert graph.add is model.add


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "dropout": (F.dropout, (8, 6)),
    "gaussian_dropout": (F.gaussian_dropout, (8, 6)),
    "dropout1d": (F.dropout1d, (8, 6, 2)),
    "dropout2d": (F.dropout2d, (8, 6, 2, 2)),
    "dropout3d": (F.dropout3d, (4, 6, 2, 2, 2)),
    "alpha_dropout": (F.alpha_dropout, (8, 6)),
    "feature_alpha_dropout": (F.feature_alpha_dropout, (8, 6, 2)),
    "stochastic_depth": (F.stochastic_depth, (48, 2)),
    "locked_dropout": (F.locked_dropout, (2, 8, 6)),
    "dropout_add": (lambda x, *rest, **named: F.dropout_add(x, x, *rest, **named), (8, 6)),
}


class Calls(torch.nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = FUNCTIONS[self.name][0](x.tanh(), 0.5, training=self.training)
        return y + 1


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_a_node_with_the_mode_that_it_was_traced_in(name: str) -> None:
    """As torch's own functions are."""
    model, x = Calls(name), torch.rand(FUNCTIONS[name][1]) + 1
    for training in (True, False):
        graph = symbolic_trace(model.train(training))
        (node,) = (node for node in graph.graph.nodes if node.op == "call_function" and node.target is getattr(F, name))
        assert node.kwargs["training"] is training
        for form in (graph.eval(), copy.deepcopy(graph)):
            outputs = []
            for each in (model, form):
                torch.manual_seed(5)
                outputs.append(each(x))
            assert torch.equal(*outputs)
            assert torch.equal(form(x), form(x)) == (not training)


def test_rates_and_keys_may_be_traced_too() -> None:
    x, p, key = torch.ones(40), torch.tensor(0.3), torch.tensor(7)
    graph = symbolic_trace(lambda x, p, key: F.dropout(x, p, key=key))
    assert torch.equal(graph(x, p, key), F.dropout(x, 0.3, key=7))
    graph = symbolic_trace(lambda x, key: F.dropout2d(input=x, p=0.3, key=key))
    assert torch.equal(graph(x.view(1, 40, 1, 1), key), F.dropout2d(x.view(1, 40, 1, 1), 0.3, key=7))


def test_a_traced_function_is_pickled() -> None:
    graph = symbolic_trace(lambda x: F.dropout(x, 0.5, key=1))
    twin = pickle.loads(pickle.dumps(graph))
    assert torch.equal(twin(torch.ones(40)), F.dropout(torch.ones(40), 0.5, key=1))


def test_the_residual_alone_may_be_traced() -> None:
    constant = torch.ones(3)
    graph = symbolic_trace(lambda x: F.dropout_add(constant, x, 0.5, key=1))
    assert torch.equal(graph(torch.ones(3)), F.dropout_add(constant, torch.ones(3), 0.5, key=1))


def test_what_can_not_be_a_node_is_told_so() -> None:
    """Traced through, a layer would keep the mode in which it was traced."""

    class Doubled(Dropout):
        def forward(self, input: Tensor, **arguments: Any) -> Tensor:
            return 2 * super().forward(input, **arguments)

    hooked = Dropout(0.5)
    hooked.register_forward_hook(lambda module, inputs, output: output + 1)
    for model, reason in (
        (Dropout(0.5), "the layer as the whole model"),
        (torch.nn.Sequential(Doubled(0.5)), "a class with a forward of its own"),
        (torch.nn.Sequential(hooked), "a layer with hooks"),
    ):
        with pytest.raises(TypeError, match=rf"Got {reason}.* Make it a leaf of the torch.fx.Tracer"):
            symbolic_trace(model)
    for inner in (Doubled(0.5), hooked):
        model = torch.nn.Sequential(inner)
        graph = GraphModule(model, Leaves().trace(model))
        x, outputs = torch.ones(40), []
        for form in (model, graph):
            torch.manual_seed(5)
            outputs.append(form(x))
        assert torch.equal(*outputs)


@pytest.mark.zoo
def test_torchvision_takes_features_from_a_converted_model() -> None:
    """Among them a layer's own output, in the mode of the extractor."""
    import torchvision
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    import thinned

    model = torchvision.models.alexnet()
    thinned.convert(model)
    names, _ = get_graph_node_names(model)
    assert {"classifier.0", "classifier.3"} <= set(names)
    extractor = create_feature_extractor(model, ["features.12", "classifier.0", "classifier.3"])
    x = torch.rand(1, 3, 64, 64)
    for training in (True, False):
        outputs = extractor.train(training)(x)
        assert (outputs["classifier.0"] == 0).double().mean() > (0.4 if training else -1)
    expected: dict[str, Tensor] = {}
    model.eval()
    model.classifier[3].register_forward_hook(lambda module, inputs, output: expected.update(y=output))
    model(x)
    assert torch.equal(outputs["classifier.3"], expected["y"])


def test_every_case_is_traced_in_one_model() -> None:
    """All layers side by side: the tracer tells them apart by their names."""
    layers = [case.layer() for case in CASES if case.variant.name != "DropoutAdd"]
    model = torch.nn.ModuleDict({str(number): layer for number, layer in enumerate(layers)})

    class Every(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = model

        def forward(self, inputs: list[Tensor]) -> list[Any]:
            return [layer(inputs[number]) for number, layer in enumerate(self.layers.values())]

    graph = symbolic_trace(Every())
    called = [node.target for node in graph.graph.nodes if node.op == "call_module"]
    assert called == [f"layers.{number}" for number in range(len(layers))]
