"""p is data: a compiled graph serves whatever rate a layer or a call has, and is compiled once."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable

import pytest
import torch
from tests.transforms.conftest import Case
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.utils import parametrize

import thinned.nn.functional as F
from thinned.nn import GRU, LSTM, DropConnect, Dropout, GaussianDropout, drop_connect

pytestmark = pytest.mark.usefixtures("dynamo")

RATES = [step / 49 for step in range(50)]  # 0 and 1 among them

Function = Callable[[Tensor, float | Tensor], Tensor]
FUNCTIONS: dict[str, tuple[Function, tuple[int, ...]]] = {
    "dropout": (lambda x, p: F.dropout(x, p, key=3), (4, 8)),
    "classic dropout": (lambda x, p: F.dropout(x, p, key=3, scaling="classic"), (4, 8)),
    "classic inference": (lambda x, p: F.dropout(x, p, False, scaling="classic"), (4, 8)),
    "dropout2d": (lambda x, p: F.dropout2d(x, p, key=3), (4, 8, 2, 2)),
    "alpha_dropout": (lambda x, p: F.alpha_dropout(x, p, True, key=3), (4, 8)),
    "gaussian_dropout": (lambda x, p: F.gaussian_dropout(x, p, key=3), (4, 8)),
    "locked_dropout": (lambda x, p: F.locked_dropout(x, p, key=3), (2, 4, 8)),
    "stochastic_depth": (lambda x, p: F.stochastic_depth(x, p, key=3), (32, 2)),
}


@pytest.fixture(params=FUNCTIONS)
def function(request: pytest.FixtureRequest) -> tuple[Function, Tensor]:
    call, shape = FUNCTIONS[request.param]
    return call, torch.rand(shape, generator=torch.Generator().manual_seed(0)) + 1


@pytest.mark.compiler
def test_fifty_rates_and_both_modes_are_two_graphs(case: Case) -> None:
    layer, x = case.layer(), case.sample()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(layer, fullgraph=True, backend=counter)
    with torch.no_grad():  # torch can't compile its own LSTM at inference with gradients
        for training in (True, False, True, False):
            layer.train(training)
            for seed, p in enumerate(RATES):
                case.assign(layer, p)
                found, expected = (case.call(form, x, seed) for form in (compiled, layer))
                # A recurrent layer draws several keys, of which eager mode needs none at 0.
                if case.variant.keyed:
                    assert torch.equal(found, expected)
                elif p > 0:
                    torch.testing.assert_close(found, expected)
    assert counter.frame_count == 2


@pytest.mark.parametrize("kind", [Dropout, GaussianDropout])
def test_a_layer_built_with_zero_is_not_in_the_graph_until_it_gets_a_rate(kind: type[Dropout]) -> None:
    layer, x = kind(0.0), torch.ones(40)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(lambda x: layer(x).neg(), fullgraph=True, backend=counter)
    state = torch.get_rng_state()
    assert torch.equal(compiled(x), -x)
    assert torch.equal(torch.get_rng_state(), state)
    for p in RATES:
        layer.p = p
        assert torch.equal(compiled(x), -x) == (p == 0)
    assert counter.frame_count == 2


def test_a_recurrent_layer_built_with_zeros_is_torch_s_kernel_in_the_graph() -> None:
    layer, x = GRU(3, 3, dropout=0.5), torch.ones(2, 4, 3)
    targets: list[str] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> torch.fx.GraphModule:
        targets.extend(str(node.target) for node in graph.graph.nodes)
        return graph

    torch.compile(layer, fullgraph=True, backend=backend)(x)
    assert any("gru" in target for target in targets)
    assert sum("thinned.drop" in target for target in targets) == 1


@pytest.mark.compiler
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16], ids=str)
def test_a_tensor_serves_every_rate(function: tuple[Function, Tensor], dtype: torch.dtype) -> None:
    call, x = function
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    with torch._dynamo.config.patch(error_on_recompile=True):
        for rate in RATES:
            p = torch.tensor(rate, dtype=dtype)
            assert torch.equal(compiled(x, p), call(x, p))
            assert torch.equal(call(x, p), call(x, p.item()))


@pytest.mark.compiler
@pytest.mark.parametrize("dynamic", [None, True])
def test_a_number_is_compiled_once_more_at_most(function: tuple[Function, Tensor], dynamic: bool | None) -> None:
    """torch.compile takes a number for a constant until it sees another, unless told that it varies; 0, which leaves
    the noise out, is a graph of its own."""
    call, x = function
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(call, fullgraph=True, backend=counter, dynamic=dynamic)
    for p in RATES[1:]:
        assert torch.equal(compiled(x, p), call(x, p))
    assert counter.frame_count == (1 if dynamic else 2)


@pytest.mark.compiler
def test_weights_thinned_by_hooks_and_by_parametrize() -> None:
    hooked = drop_connect(torch.nn.Linear(6, 6))
    parametrized = torch.nn.Linear(6, 6)
    parametrize.register_parametrization(parametrized, "weight", DropConnect())
    layers: list[tuple[torch.nn.Module, torch.nn.Module]] = [
        (hooked, hooked.get_submodule("weight_drop_connect")),
        (parametrized, parametrized.get_submodule("parametrizations.weight.0")),
    ]
    x = torch.rand(4, 6)
    for module, noise in layers:
        torch._dynamo.reset()
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        with torch._dynamo.config.patch(error_on_recompile=True):
            for seed, p in enumerate(RATES):
                Case.assign(noise, p)
                results = []
                for form in (compiled, module):
                    torch.manual_seed(seed)
                    results.append(form(x))
                torch.testing.assert_close(*results)


@pytest.mark.compiler
def test_copies_have_rates_of_their_own() -> None:
    layer, x = Dropout(0.5), torch.ones(1000)
    for twin in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        twin.p = 0.0
        compiled = torch.compile(lambda x, twin=twin: layer(twin(x)), fullgraph=True, backend="aot_eager")
        dropped = int((compiled(x) == 0).sum())
        assert 400 < dropped < 600  # 6 standard deviations


def test_the_data_is_no_part_of_the_model() -> None:
    """Not saved, not moved, not converted, and made on the CPU with a value whatever the modes are."""
    with torch.inference_mode(), torch.device("meta"):
        layer = torch.nn.Sequential(Dropout(0.5), LSTM(3, 3, dropout=0.5, recurrent_dropout=0.5))
    dropout = layer[0]
    assert not [name for name in layer.state_dict() if name.startswith("0.")]
    assert not list(dropout.parameters()) + list(dropout.buffers())
    layer.to(torch.bfloat16)
    compiled = torch.compile(dropout, fullgraph=True, backend="aot_eager")
    x = torch.ones(1000, requires_grad=True)
    y = compiled(x)
    y.sum().backward()
    assert set(y.tolist()) == {0.0, 2.0}
    assert x.grad is not None
    assert torch.equal(x.grad, y)


@pytest.mark.compiler
def test_a_tensor_outside_the_unit_interval_is_refused_when_the_graph_runs(function: tuple[Function, Tensor]) -> None:
    call, x = function
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    for form, bad in itertools.product((compiled, call), (1.5, -0.1, float("nan"))):
        with pytest.raises(ValueError, match=r"`p` must be a number in \[0, 1\]. Got (1.5|-0.1|nan)"):
            form(x, torch.tensor(bad, dtype=torch.float64))
