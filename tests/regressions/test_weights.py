"""What others do to weights that they thin, and to layers that are copied, saved, moved or called by name."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.regressions.example import FEATURES, build, run, sample
from torch import Tensor

from thinned.nn import DropConnectLinear, drop_connect
from thinned.nn.variants import Variant

# Layers with every setting away from its default, the weight to thin, and an input by the forward's own names.
LAYERS: dict[str, tuple[Callable[[], torch.nn.Module], str, Callable[[], dict[str, Tensor]]]] = {
    "conv": (
        lambda: torch.nn.Conv2d(
            4, 6, 3, stride=2, padding=1, dilation=2, groups=2, bias=False, padding_mode="circular"
        ),
        "weight",
        lambda: {"input": torch.rand(2, 4, 9, 9)},
    ),
    "linear": (lambda: torch.nn.Linear(5, 4, bias=False), "weight", lambda: {"input": torch.rand(3, 5)}),
    "embedding": (
        lambda: torch.nn.Embedding(9, 4, padding_idx=0),
        "weight",
        lambda: {"input": torch.arange(9)},
    ),
    "lstm": (
        lambda: torch.nn.LSTM(5, 4, 2, bias=False, batch_first=True, bidirectional=True, proj_size=3),
        "weight_hh_l1",
        lambda: {"input": torch.rand(2, 6, 5)},
    ),
    "attention": (
        lambda: torch.nn.MultiheadAttention(8, 2, bias=False, batch_first=True),
        "in_proj_weight",
        lambda: {name: torch.rand(2, 5, 8) for name in ("query", "key", "value")},
    ),
}


_RECURRENT = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
STATE = {"DropConnectLinear": ["weight", "bias"], **dict.fromkeys(("LSTM", "GRU", "RNN"), _RECURRENT)}
Case = tuple[torch.nn.Module, str, dict[str, Tensor]]


@pytest.fixture(params=LAYERS)
def case(request: pytest.FixtureRequest) -> Case:
    make, name, inputs = LAYERS[request.param]
    return make(), name, inputs()


def test_thinning_keeps_the_layer_its_weights_and_its_settings(
    case: Case,
) -> None:
    """baal 2.1: MCDropoutConnect builds a new layer at random; stride, groups and bias=False are lost, LSTM fails."""
    module, name, inputs = case
    before, settings, stock = copy.deepcopy(module.state_dict()), module.extra_repr(), copy.deepcopy(module)
    assert drop_connect(module, name, 0.5) is module
    assert list(module.state_dict()) == list(before)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert module.extra_repr() == settings
    assert torch.equal(run(module.eval(), **inputs), run(stock.eval(), **inputs))
    assert not torch.equal(run(module.train(), **inputs), run(stock.train(), **inputs))


@pytest.mark.parametrize("recording", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("scaling", ["inverted", "classic"])
def test_no_forward_writes_to_the_weight(case: Case, scaling: str, training: bool, recording: bool) -> None:
    """fastai 2.8: EmbeddingDropout scales the parameter itself in evaluation, for good; with gradients it raises."""
    module, name, inputs = case
    drop_connect(module, name, 0.5, scaling=scaling).train(training)
    parameter = module.get_parameter(name)
    before = parameter.detach().clone()
    with torch.set_grad_enabled(recording):
        outputs = [run(module, **inputs) for _ in range(2)]
    assert module.get_parameter(name) is parameter
    assert torch.equal(parameter, before)
    assert torch.equal(*outputs) == (not training)


def test_p_one_thins_all_of_a_weight_and_has_no_nan(case: Case) -> None:
    """fastai 2.8: a WeightDropout of p = 1 has masks of nan."""
    module, name, inputs = case
    stock = copy.deepcopy(module)
    with torch.no_grad():
        stock.get_parameter(name).zero_()
    output = run(drop_connect(module, name, 1.0), **inputs)
    torch.testing.assert_close(output, run(stock, **inputs))
    (gradient,) = torch.autograd.grad(output.sum(), module.get_parameter(name))
    assert not gradient.any()


def test_arguments_pass_by_position_too(case: Case) -> None:
    """fastai 2.8: WeightDropout refuses keyword arguments. Above all are passed by name; this is the same call."""
    module, name, inputs = case
    drop_connect(module, name, 0.5)
    torch.manual_seed(1)
    by_name = run(module, **inputs)
    torch.manual_seed(1)
    output = module(*inputs.values())
    assert torch.equal(output[0] if isinstance(output, tuple) else output, by_name)


def test_no_layer_keeps_noise_in_its_state(variant: Variant) -> None:
    """torch-uncertainty 0.13: a Masksembles mask is a float64 parameter, but on a device of choice it is in no
    state_dict, and a reloaded model has others. Ours: torch's own names, and the same noise after a round trip."""
    module, x = build(variant, 0.5), sample(variant)
    run(module, x)
    assert list(module.state_dict()) == STATE.get(variant.name, [])
    assert not list(module.buffers())
    saved = io.BytesIO()
    torch.save(module.state_dict(), saved)
    saved.seek(0)
    other = build(variant, 0.5)
    other.load_state_dict(torch.load(saved))
    assert torch.equal(seeded(other, x), seeded(module, x))


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch.save"])
def test_a_copy_at_birth_and_after_use_stands_alone(variant: Variant, how: str) -> None:
    """concretedropout 0.2: deepcopy fails at birth; fastai 2.8: deepcopy fails; pytorch-nlp 0.5: a copy's forward uses
    the original's weights."""
    module, x = build(variant, 0.5), sample(variant)
    for _ in range(2):
        twin = copied(module, how)
        expected = seeded(module, x)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.mul_(2)
            found = seeded(twin, x)
            for parameter in module.parameters():
                parameter.div_(2)
        assert torch.equal(found, expected)
        assert twin.training is module.training
        module(x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_a_layer_that_was_moved_to_another_dtype_draws_the_same_mask(variant: Variant, dtype: torch.dtype) -> None:
    """torch-uncertainty 0.13: a Masksembles mask is float64 whatever the layer; baal 2.1: a mask outlives `.to()`.

    Bound: 2**-5, some units of bfloat16 in a sum of six; another mask moves an output by far more.
    """
    module, x = build(variant, 0.5), sample(variant)
    expected = seeded(module, x)
    found = seeded(module.to(dtype), x.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, rtol=2**-5, atol=2**-5)


@pytest.mark.parametrize("shape", [(FEATURES,), (1, FEATURES), (4, FEATURES), (7, 7, FEATURES), (0, FEATURES)], ids=str)
@pytest.mark.parametrize("units", [1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_drop_connect_linear_has_the_shapes_of_linear(shape: tuple[int, ...], units: int, training: bool) -> None:
    """dropconnect 0.1 (PyPI): squeeze() loses a batch of one or a single unit, and (d,) gives (d, units)."""
    x = torch.rand(shape)
    stock = torch.nn.Linear(FEATURES, units)
    for settings in ({}, {"activation": torch.relu, "inference": "gaussian"}):
        layer: Any = DropConnectLinear(FEATURES, units, **settings).train(training)  # type: ignore[arg-type]
        layer.load_state_dict(stock.state_dict())
        assert layer(x).shape == stock(x).shape


def seeded(module: torch.nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(7)
    return run(module, x)


def copied(module: torch.nn.Module, how: str) -> torch.nn.Module:
    if how == "deepcopy":
        return copy.deepcopy(module)
    saved = io.BytesIO()
    pickle.dump(module, saved) if how == "pickle" else torch.save(module, saved)
    saved.seek(0)
    twin: torch.nn.Module = pickle.load(saved) if how == "pickle" else torch.load(saved, weights_only=False)
    return twin
