"""On a GPU every layer has the CPU's masks: plain, in streams, compiled, checkpointed, under autocast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from tests.regressions.example import build, run, sample
from tests.stream.network import SEED, batch, gradients, loss, network
from tests.transforms.conftest import CASES, Case
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.utils.checkpoint import checkpoint

import thinned
from thinned.nn import (
    LSTM,
    AlphaDropout,
    Dropout,
    Dropout2d,
    DropoutAdd,
    GaussianDropout,
    LockedDropout,
    StochasticDepth,
)
from thinned.nn.stream.stream import Stream
from thinned.nn.variants import VARIANTS

DEVICE = "cuda"
pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs an NVIDIA GPU: torch.cuda.is_available() is False"
)
every = pytest.mark.parametrize("case", CASES, ids=str)
keyed = pytest.mark.parametrize("case", [case for case in CASES if case.variant.keyed], ids=str)
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "permuted": lambda x: x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0),
    "sliced": lambda x: x.repeat_interleave(2, dim=3)[..., ::2],
    "expanded": lambda x: x[:, :1].expand_as(x),
}


@pytest.fixture
def dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    with torch._dynamo.config.patch(allow_rnn=True):
        yield
    torch._dynamo.reset()


def assert_agree(case: Case, found: Tensor, expected: Tensor) -> None:
    """Bit for bit where the noise is a mask; a Gaussian to the contract's 1e-6, sums to their rounding."""
    assert found.device.type == DEVICE
    assert found.dtype == expected.dtype
    if case.variant.law.startswith("bernoulli"):
        assert torch.equal(found.cpu(), expected)
    else:
        torch.testing.assert_close(found.cpu(), expected)


@keyed
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_values_and_gradients_of_a_key(case: Case, dtype: torch.dtype) -> None:
    layer, x = case.layer(), sample(case.variant, dtype)
    results = []
    for place in (DEVICE, "cpu"):
        leaf = x.to(place).requires_grad_()
        y = layer(leaf, key=123)
        results.append((y.detach(), *torch.autograd.grad(y, leaf, leaf.detach())))
    for found, expected in zip(*results, strict=True):
        assert_agree(case, found, expected)
    if case.variant.law.startswith("bernoulli"):
        assert 0 < (results[0][0] == results[0][0].min()).float().mean() < 1


@every
def test_values_and_gradients_of_a_seed(case: Case) -> None:
    """Weights and recurrent states too. In float64, in which another mask can't pass for rounding."""
    layer, x = case.layer().double(), sample(case.variant, torch.float64)
    results = []
    for place in (DEVICE, "cpu"):
        layer, leaf = layer.to(place), x.to(place).requires_grad_()
        y = case.call(layer, leaf, 3)
        results.append((y.detach(), *torch.autograd.grad(y.sin().sum(), [leaf, *layer.parameters()])))
    assert_agree(case, results[0][0], results[1][0])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found.cpu(), expected)


@pytest.mark.parametrize("kind", [Dropout, Dropout2d, AlphaDropout, StochasticDepth])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(kind: type[Dropout], layout: str) -> None:
    layer = kind(0.4)
    values = torch.rand(4, 3, 5, 2, generator=torch.Generator().manual_seed(0)) + 1
    x = LAYOUTS[layout](values)
    moved = LAYOUTS[layout](values.to(DEVICE))
    assert moved.stride() == x.stride()
    y, expected = layer(moved, key=4), layer(x, key=4)
    assert y.stride() == expected.stride()
    assert torch.equal(y.cpu(), expected)
    assert torch.equal(y.cpu(), layer(x.contiguous(), key=4))


def test_in_place_and_with_a_residual() -> None:
    x = torch.rand(40, 30, generator=torch.Generator().manual_seed(0)) + 1
    moved = x.to(DEVICE)
    assert torch.equal(DropoutAdd(0.4)(moved, moved, key=2).cpu(), DropoutAdd(0.4)(x, x, key=2))
    assert Dropout(0.4, inplace=True)(moved, key=2) is moved
    assert torch.equal(moved.cpu(), Dropout(0.4)(x, key=2))


@pytest.mark.parametrize("module", [LockedDropout(0.4), LSTM(6, 6, dropout=0.4, recurrent_dropout=0.4).double()])
def test_packed_sequences(module: torch.nn.Module) -> None:
    x = torch.rand(5, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 1
    results = []
    for place in (DEVICE, "cpu"):
        packed = pack_padded_sequence(x.to(place), torch.tensor([2, 5, 3]), enforce_sorted=False)
        torch.manual_seed(3)
        y = module.to(place)(packed)
        results.append((y if isinstance(y, PackedSequence) else y[0]).data)
    torch.testing.assert_close(results[0].cpu(), results[1])


@keyed
@pytest.mark.parametrize("randomness", ["same", "different"])
def test_vmap(case: Case, randomness: str) -> None:
    layer, x = case.layer(), sample(case.variant).expand(3, *sample(case.variant).shape)
    results = []
    for place in (DEVICE, "cpu"):
        torch.manual_seed(6)
        results.append(torch.vmap(layer, randomness=randomness)(x.to(place)))
    assert_agree(case, *results)


Pieces = Callable[[Stream, Tensor], Iterator[Tensor]]


def whole(stream: Stream, x: Tensor) -> Iterator[Tensor]:
    yield x


def halves(stream: Stream, x: Tensor) -> Iterator[Tensor]:
    for index, part in enumerate(x.chunk(2)):
        with stream.part(index, 2):
            yield part


WAYS: dict[str, Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]] = {
    "plain": lambda model, x: model(x),
    "reentrant": partial(checkpoint, use_reentrant=True),
    "checkpoint": partial(checkpoint, use_reentrant=False),
    "checkpoint without rng": partial(checkpoint, use_reentrant=False, preserve_rng_state=False),
}


def trained(place: str, way: str, pieces: Pieces) -> list[list[Tensor]]:
    """Every gradient of two steps, each through a graph of the checkpointed blocks."""
    model, found = network().double().to(place), []

    def run(x: Tensor) -> Tensor:
        for block in model.blocks:
            x = WAYS[way](block, x)
        output: Tensor = model.head(x)
        return output

    with thinned.stream(model, SEED) as stream:
        for step in range(2):
            for x in pieces(stream, batch(step).double().to(place)):
                loss(run, x.detach().requires_grad_(way == "reentrant")).backward()
            found.append([gradient.cpu() for gradient in gradients(model)])
            stream.step()
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pieces", [whole, halves])
def test_streams(way: str, pieces: Pieces) -> None:
    """The backward pass of a GPU runs in a thread of its own, and so does what it computes again."""
    torch.testing.assert_close(trained(DEVICE, way, pieces), trained("cpu", "plain", whole))


@keyed
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_sees_the_same_mask_twice(case: Case, reentrant: bool) -> None:
    layer, x = case.layer(), sample(case.variant).to(DEVICE).requires_grad_()
    torch.manual_seed(4)
    (direct,) = torch.autograd.grad(layer(x).square().sum(), x)
    torch.manual_seed(4)
    checkpoint(layer, x, use_reentrant=reentrant).square().sum().backward()
    assert x.grad is not None
    assert torch.equal(direct, x.grad)


@every
@pytest.mark.usefixtures("dynamo")
def test_compiled_as_in_eager_mode(case: Case) -> None:
    layer, x = case.layer().to(DEVICE), case.sample().to(DEVICE).requires_grad_()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for seed in (0, 1):
        results = []
        for form in (compiled, layer):
            y = case.call(form, x, seed)
            results.append((y, *torch.autograd.grad(y.sin().sum(), [x, *layer.parameters()])))
        for found, expected in zip(*results, strict=True):
            if case.variant.keyed:
                assert torch.equal(found, expected)
            else:
                torch.testing.assert_close(found, expected)


@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty")  # torch's own, of the one that it warms up with
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.parametrize("kind", [Dropout, Dropout2d, AlphaDropout, GaussianDropout, StochasticDepth])
@pytest.mark.usefixtures("dynamo")
def test_by_inductor_as_in_eager_mode(kind: type[Dropout], mode: str) -> None:
    layer = kind(0.4)
    values = torch.rand(4, 3, 5, 2, generator=torch.Generator().manual_seed(0)) + 1
    inputs = [
        change(values.to(DEVICE, dtype)).detach().requires_grad_()
        for change in LAYOUTS.values()
        for dtype in (torch.float32, torch.bfloat16)
    ]

    def block(inputs: list[Tensor]) -> list[Tensor]:
        return [layer(x * 2) * 4 for x in inputs]  # products that are exact however they are fused

    compiled = torch.compile(block, fullgraph=True, mode=mode)
    for seed in range(5):  # "reduce-overhead" warms up, records CUDA graphs, and replays them
        results, strides = [], []
        for form in (compiled, block):
            torch.manual_seed(seed)
            outputs = [y.clone() for y in form(inputs)]
            results.append((*outputs, *torch.autograd.grad(outputs, inputs, inputs)))
            strides.append([y.stride() for y in outputs])
        assert strides[0] == strides[1]
        for found, expected in zip(*results, strict=True):
            assert found.dtype == expected.dtype
            assert torch.equal(found, expected)


@keyed
def test_autocast(case: Case) -> None:
    layer, x = case.layer(), sample(case.variant).to(DEVICE)
    plain = case.call(layer, x, 3)
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        y = case.call(layer, x, 3)
        assert y.dtype == torch.nn.functional.dropout(x).dtype
    assert torch.equal(y, plain)


def test_a_model_under_autocast() -> None:
    """bfloat16 after a linear layer; the masks of the CPU's float32."""
    first, noise = torch.nn.Linear(6, 64), Dropout(0.5)
    x = torch.linspace(-1, 1, 30).reshape(5, 6)
    with torch.no_grad():
        first.bias.fill_(10.0)  # no unit is 0 but by the mask
    torch.manual_seed(3)
    expected = noise(first(x)) != 0
    first = first.to(DEVICE)
    torch.manual_seed(3)
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        hidden = noise(first(x.to(DEVICE)))
    assert hidden.dtype == torch.bfloat16
    assert torch.equal((hidden != 0).cpu(), expected)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_built_and_run_with_the_gpu_as_torch_s_default_device(variant: Any) -> None:
    torch.manual_seed(1)
    layer, x = build(variant, 0.4).double(), sample(variant, torch.float64)
    torch.manual_seed(2)
    expected = run(layer, x)
    with torch.device(DEVICE):
        moved = build(variant, 0.4).double()
        moved.load_state_dict(layer.state_dict())
        torch.manual_seed(2)
        y = run(moved, x.to(DEVICE))
    assert y.device.type == DEVICE
    torch.testing.assert_close(y.cpu(), expected)
