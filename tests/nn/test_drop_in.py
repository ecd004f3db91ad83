"""Swapping `torch.nn` for `thinned.nn` works: signatures, defaults, layouts, errors and warnings are torch's.

PyTorch's own dropout tests (test/nn/test_dropout.py in its repository) pass with our names in place of its own; these
are our tests of the same behaviours.
"""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import thinned.nn
import thinned.nn.functional as F

FUNCTIONS = ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"]
CLASSES = ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"]
RECURRENT = ["LSTM", "GRU", "RNN"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_takes_torch_s_arguments_with_torch_s_defaults(name: str) -> None:
    theirs = inspect.signature(getattr(torch.nn.functional, name)).parameters
    ours = inspect.signature(getattr(F, name)).parameters
    assert [(p.name, p.default) for p in list(ours.values())[: len(theirs)]] == [
        (p.name, p.default) for p in theirs.values()
    ]
    assert all(p.kind is p.KEYWORD_ONLY for p in list(ours.values())[len(theirs) :])


@pytest.mark.parametrize("name", CLASSES)
def test_a_module_takes_torch_s_arguments_with_torch_s_defaults(name: str) -> None:
    theirs = inspect.signature(getattr(torch.nn, name)).parameters
    ours = inspect.signature(getattr(thinned.nn, name)).parameters
    assert [(p.name, p.default) for p in list(ours.values())[: len(theirs)]] == [
        (p.name, p.default) for p in theirs.values()
    ]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", ["Dropout", "Dropout2d"])
def test_output_and_gradient_keep_the_memory_format(name: str, memory_format: torch.memory_format) -> None:
    x = torch.rand(3, 4, 5, 6).to(memory_format=memory_format).requires_grad_()
    y = getattr(thinned.nn, name)(0.5)(x)
    assert y.is_contiguous(memory_format=memory_format)
    y.backward(torch.ones(3, 4, 5, 6))
    assert x.grad is not None
    assert x.grad.is_contiguous(memory_format=memory_format)


def test_a_strided_view_gives_a_dense_output_in_its_own_axis_order() -> None:
    for order in itertools.permutations(range(4)):
        back = [order.index(axis) for axis in range(4)]
        view = torch.ones(3, 4, 5, 6).permute(order).contiguous().permute(back)[1:, 1:]
        for p in (1e-10, 0.5):
            y = F.dropout(view, p)
            assert y.permute(order).is_contiguous()
    assert torch.equal(F.dropout(view, 1e-10), view)


@pytest.mark.parametrize(
    ("function", "batched"),
    [(F.dropout1d, (1, 6, 4)), (F.dropout3d, (1, 6, 2, 2, 2)), (F.locked_dropout, (5, 1, 6))],
)
def test_an_unbatched_input_has_the_mask_of_a_batch_of_one(
    function: Callable[..., Tensor], batched: tuple[int, ...]
) -> None:
    x = torch.rand(batched) + 1
    batch_axis = 1 if function is F.locked_dropout else 0
    assert torch.equal(function(x.squeeze(batch_axis), 0.5, key=3), function(x, 0.5, key=3).squeeze(batch_axis))


@pytest.mark.parametrize("shape", [(1,), (1, 2, 2, 2)])
def test_dropout1d_refuses_other_ranks(shape: tuple[int, ...]) -> None:
    with pytest.raises(RuntimeError, match=f"Expected 2D or 3D input, but received a {len(shape)}D input"):
        F.dropout1d(torch.rand(shape))


@pytest.mark.parametrize(
    ("name", "rank", "text"),
    [
        ("dropout2d", 2, "Received a 2-D input to dropout2d"),
        ("dropout2d", 5, "Received a 5-D input to dropout2d"),
        ("dropout2d", 3, "assuming that channel-wise 1D dropout behavior is desired"),
        ("dropout3d", 3, "Received a 3-D input to dropout3d"),
        ("dropout3d", 6, "Received a 6-D input to dropout3d"),
    ],
)
def test_an_odd_rank_warns_where_torch_warns_and_drops_what_torch_drops(name: str, rank: int, text: str) -> None:
    x = torch.ones([8] * 2 + [2] * (rank - 2))
    with pytest.warns(UserWarning, match=text) as caught:
        y = getattr(F, name)(x)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=text):
        getattr(torch.nn.functional, name)(x)
    # A channel of (B, C, ...) is zero as a whole or not at all.
    maps = y.reshape(8, 8, -1)
    assert set(maps.amin(2).unique().tolist()) == {0.0, 2.0}
    assert torch.equal(maps.amin(2), maps.amax(2))


def test_usual_ranks_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        F.dropout1d(torch.ones(2, 3, 4))
        F.dropout2d(torch.ones(2, 3, 4, 4))
        F.dropout3d(torch.ones(3, 4, 4, 4))


@pytest.mark.parametrize("name", ["dropout2d", "dropout3d", "feature_alpha_dropout"])
def test_a_channel_variant_needs_a_channel_axis(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match="Feature dropout"):
            getattr(F, name)(torch.rand(4), training=True)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 4), ()])
def test_empty_and_zero_dimensional_inputs(shape: tuple[int, ...]) -> None:
    x = torch.rand(shape, requires_grad=True)
    for y in (F.dropout(x, 0.5, key=1), F.gaussian_dropout(x, 0.5, key=1), F.alpha_dropout(x, 0.5, True, key=1)):
        assert y.shape == x.shape
        y.sum().backward()


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_inputs_are_dropped_whole(dtype: torch.dtype) -> None:
    x = torch.randn(1000, dtype=dtype, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y = F.dropout(x, 0.5, key=3)
    kept = F.dropout(torch.ones(1000), 0.5, key=3) > 0
    assert torch.equal(y, torch.where(kept, 2 * x, 0))
    y.abs().sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad != 0, kept)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("p", [0.001, 0.1, 0.3])
def test_half_precision_is_scaled_in_float32_and_rounded_once(dtype: torch.dtype, p: float) -> None:
    # torch rounds the scale itself to bfloat16: at p = 0.001 nothing is scaled at all.
    x = (torch.rand(4096, generator=torch.Generator().manual_seed(1)) + 1).to(dtype)
    exact = F.dropout(x.float(), p, key=5)
    assert torch.equal(F.dropout(x, p, key=5), exact.to(dtype))


def test_no_gradient_is_recorded_where_none_is_wanted() -> None:
    x = torch.rand(8, requires_grad=True)
    with torch.no_grad():
        assert not F.dropout(x).requires_grad
    with torch.inference_mode():
        assert not F.dropout(x).requires_grad
    assert not F.dropout(x.detach()).requires_grad


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_modules_take_torch_s_arguments(name: str) -> None:
    kinds = [("num_layers", 1), ("bias", True), ("batch_first", False), ("dropout", 0.0), ("bidirectional", False)]
    ours = inspect.signature(getattr(thinned.nn, name)).parameters
    assert [(argument, ours[argument].default) for argument, _ in kinds] == kinds


def test_a_network_of_ours_trains_and_evaluates_like_any_other() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3),
        thinned.nn.Dropout2d(0.2),
        torch.nn.Flatten(),
        thinned.nn.Dropout(),
        torch.nn.Linear(144, 2),
    )
    x, y = torch.rand(16, 1, 8, 8), torch.arange(16) % 2
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    loss = torch.nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimiser.step()
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))
    stock = torch.nn.Sequential(net[0], torch.nn.Dropout2d(0.2), net[2], torch.nn.Dropout(), net[4]).eval()
    assert torch.equal(net(x), stock(x))
    assert list(net.state_dict()) == list(stock.state_dict())
