"""The kernels on a GPU: the CPU's bits, no wait for the device, and CUDA graphs whose replays draw other masks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from tests.ops.triton.layouts import ALPHA, INVERTED, LAYOUTS, TYPES, given, numbers, same
from torch import Tensor

import thinned.nn
from thinned.ops import drop, eager, gpu
from thinned.ops.philox import signed
from thinned.ops.triton import trust

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs an NVIDIA GPU: torch.cuda.is_available() is False"
)
CUDA = torch.device("cuda", 0)
P = 0.25


@pytest.fixture(autouse=True)
def trusted() -> None:
    assert trust.trusted(CUDA), trust._reasons


@contextmanager
def no_waiting() -> Iterator[None]:
    """Inside the `with`, an operation that waits for the device is an error."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def moved(x: Tensor) -> Tensor:
    """On the device, with the strides that it has; an expanded axis stays so."""
    there = torch.empty_strided((x.untyped_storage().nbytes() // x.element_size(),), (1,), dtype=x.dtype, device=CUDA)
    there.copy_(x.as_strided(there.shape, (1,), 0))
    return there.as_strided(x.shape, x.stride(), x.storage_offset())


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout(dtype: torch.dtype, name: str) -> None:
    x, where = given(name, dtype)
    strides, base = [signed(step) for step in where.strides], signed(where.base)
    for law in (INVERTED, ALPHA):
        expected = eager.drop(x, torch.tensor(77), *law, strides, base)
        for key in (torch.tensor(77), torch.tensor(77, device=CUDA)):
            y = gpu.drop(moved(x), key, *law, strides, base)
            assert same(y.cpu(), expected)
            assert y.stride() == torch.empty_like(expected).stride()
    uniform = gpu.uniform(moved(x), torch.tensor(77), strides, base)
    assert same(uniform.cpu(), eager.uniform(x, torch.tensor(77), strides, base))
    found, wanted = (
        call(x, torch.tensor(77), 0.5, strides, base) for call, x in ((gpu.gaussian, moved(x)), (eager.gaussian, x))
    )
    rtol = {torch.bfloat16: 0.008, torch.float16: 0.001, torch.float32: 3e-7, torch.float64: 1e-10}[dtype]
    torch.testing.assert_close(found.cpu(), wanted, rtol=rtol, atol=1e-7, equal_nan=True)


@pytest.mark.parametrize("count", [1, 7, 2**20 + 3, 2**24])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_large_and_odd_sizes(count: int, dtype: torch.dtype) -> None:
    x, residual = numbers((count,), dtype), numbers((count,), dtype, 1)
    assert same(drop(x.to(CUDA), P, key=7).cpu(), drop(x, P, key=7))
    found = drop(x.to(CUDA), P, key=7, residual=residual.to(CUDA))
    assert same(found.cpu(), drop(x, P, key=7, residual=residual))
    given = x.to(CUDA)
    assert drop(given, P, key=7, out=given) is given
    assert same(given.cpu(), drop(x, P, key=7))


def test_nothing_waits_for_the_device() -> None:
    layers = [thinned.nn.Dropout(P), thinned.nn.GaussianDropout(P), thinned.nn.AlphaDropout(P), thinned.nn.Dropout2d(P)]
    x, key = torch.randn(4, 8, 6, 6, device=CUDA, requires_grad=True), torch.tensor(7, device=CUDA)
    for again in (False, True):  # the first time kernels are compiled
        with no_waiting() if again else torch.enable_grad():
            for layer in layers:
                layer(x).sum().backward()
            drop(x, P, key=key).sum().backward()


def test_nothing_is_kept_for_the_backward_pass() -> None:
    sizes: list[int] = []

    def pack(saved: Tensor) -> Tensor:
        sizes.append(saved.nbytes)
        return saved

    x = torch.ones(2**16, device=CUDA, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        thinned.nn.Dropout(P)(x)
    assert sum(sizes) <= 40


def test_replays_of_a_graph_draw_other_masks_and_their_gradients() -> None:
    layer, x = thinned.nn.Dropout(0.5), torch.ones(4096, device=CUDA, requires_grad=True)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        layer(x).sum().backward()
    torch.cuda.current_stream().wait_stream(side)
    x.grad = None
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = layer(x)
        (gradient,) = torch.autograd.grad(y.sum(), x)
    masks = []
    for _ in range(3):
        graph.replay()
        assert torch.equal(gradient, y.detach()), "the backward pass has the mask of its forward pass"
        assert 1900 < int((y != 0).sum()) < 2200
        masks.append((y != 0).cpu())
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[1], masks[2])
    repeated = []
    for _ in range(2):
        torch.cuda.manual_seed(5)
        graph.replay()
        repeated.append((y != 0).cpu())
    assert torch.equal(*repeated)


def test_on_another_stream() -> None:
    x = torch.randn(2**20, device=CUDA)
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        y = drop(x * 1, P, key=7)
    side.synchronize()
    assert torch.equal(y.cpu(), drop(x.cpu(), P, key=7))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_on_a_device_that_is_not_the_current_one() -> None:
    x = torch.randn(1000)
    for _ in range(3):
        assert torch.equal(drop(x.to("cuda:1"), P, key=7).cpu(), drop(x, P, key=7))


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_a_compiled_layer_is_one_graph_for_every_p(mode: str) -> None:
    layer, x = thinned.nn.Dropout(0.1), torch.ones(4096, device=CUDA, requires_grad=True)
    compiled = torch.compile(layer, mode=mode, fullgraph=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for p in (0.1, 0.2, 0.7):
            layer.p = p
            seen = set()
            for _ in range(4):
                torch.compiler.cudagraph_mark_step_begin()
                y = compiled(x)
                (gradient,) = torch.autograd.grad(y.sum(), x)
                assert torch.equal(gradient, y.detach())
                assert abs(float((y == 0).float().mean()) - p) < 0.05
                seen.add(tuple((y != 0).nonzero().flatten()[:64].tolist()))
            assert len(seen) == 4
