"""DropConnect on any weight of any module: one draw a forward, and an ordinary module at all other times."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parametrize

from thinned import noise
from thinned.nn import DropConnect, DropConnectLinear, drop_connect, remove_drop_connect

MODULES: list[tuple[str, Callable[[], torch.nn.Module], str, Callable[[], Tensor]]] = [
    ("linear", lambda: torch.nn.Linear(5, 4), "weight", lambda: torch.rand(3, 5)),
    ("linear bias", lambda: torch.nn.Linear(5, 4), "bias", lambda: torch.rand(3, 5)),
    (
        "conv",
        lambda: torch.nn.Conv2d(2, 3, 3, stride=2, groups=1, bias=False),
        "weight",
        lambda: torch.rand(2, 2, 7, 7),
    ),
    ("transposed conv", lambda: torch.nn.ConvTranspose1d(4, 6, 3, groups=2), "weight", lambda: torch.rand(2, 4, 7)),
    ("embedding", lambda: torch.nn.Embedding(9, 4), "weight", lambda: torch.arange(9)),
    ("lstm", lambda: torch.nn.LSTM(5, 4, 2), "weight_hh_l1", lambda: torch.rand(6, 3, 5)),
    ("gru", lambda: torch.nn.GRU(5, 4, bidirectional=True), "weight_hh_l0_reverse", lambda: torch.rand(6, 3, 5)),
    ("rnn cell", lambda: torch.nn.RNNCell(5, 4), "weight_hh", lambda: torch.rand(3, 5)),
    (
        "attention",
        lambda: torch.nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True).linear1,
        "weight",
        lambda: torch.rand(2, 5, 8),
    ),
]


def run(module: torch.nn.Module, x: Tensor) -> Tensor:
    output = module(x)
    result: Tensor = output[0] if isinstance(output, tuple) else output
    return result


@pytest.fixture(params=MODULES, ids=lambda case: case[0])
def case(request: pytest.FixtureRequest) -> tuple[torch.nn.Module, str, Tensor]:
    _, build, name, example = request.param
    torch.manual_seed(0)
    module = build()
    with torch.no_grad():  # an RNN cell's hidden state starts at 0, so its recurrent weight needs a bias to matter
        for parameter in module.parameters():
            parameter.add_(0.5)
    return module, name, example()


def test_the_weight_is_thinned_in_training_and_mean_at_inference(case: tuple[torch.nn.Module, str, Tensor]) -> None:
    module, name, x = case
    if isinstance(module, torch.nn.RNNCell):
        x = torch.cat((x, x))
    plain = run(module, x).detach()
    drop_connect(module, name, 0.5)
    module.eval()
    assert torch.equal(run(module, x), plain)
    module.train()
    if not isinstance(module, torch.nn.RNNCell):
        assert not torch.equal(run(module, x), plain)
    torch.manual_seed(1)
    first = run(module, x)
    torch.manual_seed(1)
    assert torch.equal(run(module, x), first)


def test_the_result_is_that_of_the_masked_weight(case: tuple[torch.nn.Module, str, Tensor]) -> None:
    module, name, x = case
    twin = copy.deepcopy(module)
    drop_connect(module, name, 0.25)
    torch.manual_seed(5)
    actual = run(module, x)
    torch.manual_seed(5)
    layer = DropConnect(0.25)
    with torch.no_grad():
        weight = getattr(twin, name)
        weight.copy_(layer(weight))
    torch.testing.assert_close(actual, run(twin, x))


def test_only_the_kept_weights_get_a_gradient() -> None:
    module: Any = drop_connect(torch.nn.Linear(50, 40, bias=False), p=0.5)
    torch.manual_seed(5)
    module(torch.ones(1, 50)).sum().backward()
    torch.manual_seed(5)
    kept = DropConnect(0.5)(torch.ones(40, 50))
    assert torch.equal(module.weight.grad != 0, kept != 0)
    torch.testing.assert_close(module.weight.grad, kept)


def test_between_forwards_the_module_is_ordinary(case: tuple[torch.nn.Module, str, Tensor]) -> None:
    module, name, x = case
    keys = list(module.state_dict())
    parameter = getattr(module, name)
    drop_connect(module, name, 0.5)
    for _ in range(2):
        assert list(module.state_dict()) == keys
        assert getattr(module, name) is parameter
        assert [parameter is p for n, p in module.named_parameters() if n == name] == [True]
        run(module, x)


def test_it_survives_deepcopy_pickle_state_dict_and_to(case: tuple[torch.nn.Module, str, Tensor]) -> None:
    module, name, x = case
    drop_connect(module, name, 0.5)
    run(module, x)
    torch.manual_seed(2)
    expected = run(module, x)
    saved = io.BytesIO()
    torch.save(module, saved)
    saved.seek(0)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), torch.load(saved, weights_only=False)):
        with torch.no_grad():
            getattr(module, name).mul_(2)  # a copy whose hooks still pointed here would see this
        torch.manual_seed(2)
        assert torch.equal(run(twin, x), expected)
        with torch.no_grad():
            getattr(module, name).div_(2)
    fresh = copy.deepcopy(module)
    fresh.load_state_dict(module.state_dict())
    torch.manual_seed(2)
    assert torch.equal(run(fresh, x), expected)
    double = copy.deepcopy(module).to(torch.float64)
    torch.manual_seed(2)
    x64 = x.double() if x.is_floating_point() else x
    torch.testing.assert_close(run(double, x64).float(), expected)


class TwiceUsed(torch.nn.Module):
    """A module that reads its weight twice in one forward."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(20, 20))

    def forward(self, fail: bool = False) -> tuple[Tensor, Tensor]:
        if fail:
            raise KeyError("on purpose")
        return self.weight, self.weight


def test_the_weight_is_drawn_once_a_forward() -> None:
    module = drop_connect(TwiceUsed())
    first, second = module()
    assert first is second
    assert not torch.equal(first, module()[0])


def test_a_forward_that_raises_leaves_the_parameter_in_place() -> None:
    module = drop_connect(TwiceUsed())
    with pytest.raises(KeyError):
        module(fail=True)
    assert module.weight is module._parameters["weight"]


def test_several_weights_of_one_module() -> None:
    lstm: Any = torch.nn.LSTM(3, 4)
    for name in ("weight_ih_l0", "weight_hh_l0"):
        drop_connect(lstm, name, 0.5)
    x = torch.rand(5, 2, 3)
    assert not torch.equal(lstm(x)[0], lstm(x)[0])
    assert all(a is b for a, b in zip(lstm._flat_weights, lstm.parameters(), strict=True))
    lstm.weight_ih_l0_drop_connect.p = 0.0
    lstm.weight_hh_l0_drop_connect.p = 0.0
    assert torch.equal(lstm(x)[0], lstm(x)[0])


def test_shared_draws_drop_whole_words() -> None:
    words = drop_connect(torch.nn.Embedding(100, 8), p=0.5, broadcast_dims=(1,))
    dropped = (words(torch.arange(100)) == 0).float().mean(1)
    assert set(dropped.tolist()) == {0.0, 1.0}


def test_remove_gives_the_module_back() -> None:
    lstm = torch.nn.LSTM(3, 4)
    before = repr(lstm)
    remove_drop_connect(drop_connect(lstm, "weight_hh_l0"), "weight_hh_l0")
    assert repr(lstm) == before
    assert not lstm._forward_hooks
    assert not lstm._forward_pre_hooks
    assert not lstm._forward_hooks_always_called
    with pytest.raises(ValueError, match="must have a DropConnect"):
        remove_drop_connect(lstm, "weight_hh_l0")


def test_clear_errors() -> None:
    linear = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"must be a parameter of Linear. Got 'wieght'. It has 'weight', 'bias'"):
        drop_connect(linear, "wieght")
    drop_connect(linear)
    with pytest.raises(ValueError, match=r"one DropConnect a weight.*module.weight_drop_connect.p = 0.5"):
        drop_connect(linear)
    with pytest.raises(ValueError, match=r"`DropConnect`: `p` must be a number in \[0, 1\]. Got 50. If 50 % was meant"):
        drop_connect(torch.nn.Linear(2, 2), p=50)


def test_it_is_a_parametrization_for_torch_s_own_machinery() -> None:
    linear: Any = torch.nn.Linear(30, 20)
    parametrize.register_parametrization(linear, "weight", DropConnect(0.5))
    assert (linear.weight == 0).any()
    with parametrize.cached():
        assert linear.weight is linear.weight
    linear.eval()
    assert torch.equal(linear.weight, linear.parametrizations.weight.original)


def test_functional_call_and_checkpointing_see_the_thinned_weight() -> None:
    linear: Any = drop_connect(torch.nn.Linear(6, 5), p=0.5)
    x = torch.rand(3, 6)
    swapped = {name: torch.ones_like(value) for name, value in linear.named_parameters()}
    torch.manual_seed(0)
    y = torch.func.functional_call(linear, swapped, (x,))
    torch.manual_seed(0)
    torch.testing.assert_close(y, torch.nn.functional.linear(x, DropConnect(0.5)(torch.ones(5, 6)), torch.ones(5)))
    torch.manual_seed(0)
    linear(x).square().sum().backward()
    expected = linear.weight.grad.clone()
    linear.weight.grad = None
    torch.manual_seed(0)
    torch.utils.checkpoint.checkpoint(linear, x, use_reentrant=False).square().sum().backward()
    assert torch.equal(linear.weight.grad, expected)


def test_drop_connect_linear_has_linear_s_state_dict_and_the_masked_product() -> None:
    layer = DropConnectLinear(6, 5, p=0.3, activation=torch.relu)
    stock = torch.nn.Linear(6, 5)
    stock.load_state_dict(layer.state_dict())
    x = torch.rand(4, 6)
    assert torch.equal(layer.eval()(x), torch.relu(stock(x)))
    kept = torch.from_numpy(noise.bernoulli(3, 0.3, (5, 6)))
    weight = torch.where(kept, stock.weight * noise.scale(0.3), 0)
    expected = torch.relu(torch.nn.functional.linear(x, weight, stock.bias))
    assert torch.equal(layer.train()(x, key=3), expected)
    assert repr(layer).startswith("DropConnectLinear(in_features=6, out_features=5, bias=True, p=0.3, activation=")


def test_gaussian_inference_without_an_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="`activation` must be given when `inference` is 'gaussian'"):
        DropConnectLinear(2, 2, inference="gaussian")
    with pytest.raises(ValueError, match=r"`inference` must be one of 'mean', 'gaussian'\. Got 'median'"):
        DropConnectLinear(2, 2, inference="median")


@pytest.mark.long
@pytest.mark.parametrize("scaling", ["inverted", "classic"])
def test_gaussian_inference_has_the_masks_moments(scaling: str) -> None:
    torch.manual_seed(0)
    layer = DropConnectLinear(40, 3, p=0.5, activation=torch.relu, inference="gaussian", scaling=scaling).double()
    x = torch.rand(40, dtype=torch.float64)
    outputs = torch.stack(
        [
            torch.nn.functional.linear(x, DropConnect(0.5, scaling=scaling)(layer.weight, key=key), layer.bias)
            for key in range(4000)
        ]
    )
    mean, variance = layer.moments(x)
    error = (variance / 4000).sqrt()
    assert ((outputs.mean(0) - mean).abs() < 4 * error).all()
    assert ((outputs.var(0) / variance - 1).abs() < 4 * (2 / 4000) ** 0.5).all()
    expected = outputs.relu()
    # The Normal is an approximation for 40 terms: its own error is added to the sampling error.
    assert ((layer.eval()(x) - expected.mean(0)).abs() < 4 * expected.std(0) / 4000**0.5 + 0.01 * variance.sqrt()).all()


def test_a_weight_that_would_never_be_read_through_the_layer_is_refused() -> None:
    attention = torch.nn.MultiheadAttention(8, 2)
    with pytest.raises(ValueError, match=r"must use the weight in its own forward\. Got attention's output layer"):
        drop_connect(attention.out_proj)
    drop_connect(attention, "in_proj_weight", 0.5)
    x = torch.rand(5, 2, 8)
    assert not torch.equal(attention(x, x, x)[0], attention(x, x, x)[0])


def test_a_parameter_that_was_moved_away_is_a_clear_error() -> None:
    linear = torch.nn.utils.parametrizations.weight_norm(drop_connect(torch.nn.Linear(3, 2)))
    with pytest.raises(RuntimeError, match=r"Linear.weight must still be a parameter"):
        linear(torch.rand(1, 3))


def test_gaussian_inference_at_p_one_is_the_mean_and_a_late_switch_is_checked() -> None:
    layer = DropConnectLinear(4, 2, p=1.0, activation=torch.relu, inference="gaussian").eval()
    x = torch.rand(3, 4)
    torch.testing.assert_close(layer(x), torch.relu(torch.nn.functional.linear(x, layer.weight, layer.bias)))
    plain = DropConnectLinear(4, 2).eval()
    plain.inference = "gaussian"
    with pytest.raises(ValueError, match="`activation` must be given"):
        plain(x)
