"""Calls that reach the GPU backend by the public door: their gradients, keys, and the time that Python takes.

The CPU stands in for a GPU: its own kernel is switched off, and Triton's interpreter runs the GPU's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tests.ops.triton.interpreted import kernels_interpreted
from torch._subclasses import FakeTensorMode

import thinned.nn
from thinned.noise import kernel as loader
from thinned.ops import cpu, drop, eager, gaussian, gpu, key
from thinned.ops.triton import launch, trust

P = 0.25


@pytest.fixture(autouse=True)
def gpu_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with kernels_interpreted():
        monkeypatch.setattr(cpu, "kernel", loader.Kernel("off"))
        monkeypatch.setattr(cpu, "drop", gpu.drop)  # what torch's dispatcher reaches
        yield


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is launched, by the key; nothing runs."""
    made: list[Any] = []
    monkeypatch.setattr(launch, "noise_into", lambda y, x, residual, key, *rest: made.append(key))
    return made


def on_the_cpu(*arguments: Any, **named: Any) -> torch.Tensor:
    """The same call by the CPU's own backends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trust, "DEVICES", set())
        patch.setattr(cpu, "drop", eager.drop)
        return drop(*arguments, **named)


def test_it_is_the_gpu_s_backend_that_runs(launches: list[Any]) -> None:
    drop(torch.ones(8), P, key=7)
    assert launches == [7]


@pytest.mark.parametrize("law", ["inverted", "classic", "alpha"])
def test_values_and_gradients(law: str) -> None:
    x, residual = torch.randn(3, 40, requires_grad=True), torch.randn(3, 40, requires_grad=True)
    for more in (None, residual):
        found, expected = (call(x, P, key=7, law=law, residual=more) for call in (drop, on_the_cpu))
        assert torch.equal(found, expected)
        inputs = [x] if more is None else [x, residual]
        first = [torch.autograd.grad(y.pow(2).sum(), inputs, create_graph=True) for y in (found, expected)]
        assert all(map(torch.equal, *first))
        second = [torch.autograd.grad(g[0].pow(2).sum(), x)[0] for g in first]
        assert torch.equal(*second)


def test_in_place_and_out() -> None:
    x = torch.randn(50)
    expected, given = on_the_cpu(x, P, key=7), x.clone()
    version = given._version
    assert drop(given, P, key=7, out=given) is given
    assert given._version > version
    assert torch.equal(given, expected)
    out = torch.empty_like(x)
    assert drop(x, P, key=7, out=out) is out
    assert torch.equal(out, expected)
    leaf = x.clone().requires_grad_()
    z = leaf * 1
    drop(z, P, key=7, out=z)
    assert torch.equal(z.detach(), expected)
    assert torch.equal(torch.autograd.grad(z.sum(), leaf)[0], on_the_cpu(torch.ones(50), P, key=7))


def test_p_of_one() -> None:
    x = torch.tensor([1.0, torch.inf, torch.nan], requires_grad=True)
    for law in ("inverted", "alpha"):
        y = drop(x, 1.0, key=7, law=law)
        assert torch.equal(y.detach(), torch.zeros(3))
        assert torch.equal(torch.autograd.grad(y.sum(), x)[0], torch.zeros(3))
    assert torch.equal(drop(torch.ones(3), 1.0, key=7, residual=torch.ones(3)), torch.ones(3))


def test_a_layer_draws_the_keys_of_the_cpu() -> None:
    layer, x = thinned.nn.Dropout(P), torch.ones(64)
    torch.manual_seed(1)
    found = [layer(x) for _ in range(2)]
    torch.manual_seed(1)
    expected = [on_the_cpu(x, P) for _ in range(2)]
    assert all(map(torch.equal, found, expected))
    assert not torch.equal(*found)


def test_transforms() -> None:
    x, keys = torch.randn(3, 20), torch.arange(3)
    y = torch.vmap(lambda row, key: drop(row, P, key=key))(x, keys)
    assert torch.equal(y, torch.stack([on_the_cpu(row, P, key=number) for number, row in enumerate(x)]))
    tangent = torch.func.jvp(lambda x: drop(x, P, key=7), (x,), (torch.ones_like(x),))[1]
    assert torch.equal(tangent, on_the_cpu(torch.ones_like(x), P, key=7))


@pytest.mark.parametrize("grad", [False, True])
def test_in_a_recording_the_key_is_drawn_on_the_device(
    monkeypatch: pytest.MonkeyPatch, launches: list[Any], grad: bool
) -> None:
    """By torch's generator there, as a tensor that no call reads; a replay would draw another. A key that is given
    stays."""
    monkeypatch.setattr(trust, "capturing", lambda device: True)
    monkeypatch.setattr(key, "capturing", lambda device: True)
    monkeypatch.setattr(torch.Tensor, "item", lambda *_: pytest.fail("the key must not be read"))
    x = torch.ones(8, requires_grad=grad)
    for _ in range(2):
        y = drop(x, P)
        if grad:
            y.sum().backward()
    assert all(isinstance(each, torch.Tensor) for each in launches)
    numbers = [each.tolist() for each in launches]
    if grad:  # the backward pass has the key of its forward pass
        assert numbers[0::2] == numbers[1::2]
    assert len(set(numbers)) == 2
    launches.clear()
    drop(x.detach(), P, key=7)
    assert launches == [7]


def test_ranks_in_a_recording_have_keys_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key, "capturing", lambda device: True)
    found = set()
    for rank in (None, 0, 1):
        monkeypatch.setattr(key, "_rank", lambda rank=rank: rank)
        torch.manual_seed(0)
        found.add(key.key_for(torch.ones(1), None, None).item())
    assert len(found) == 3


def test_a_compiled_kernel_is_called_past_triton_s_look_at_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call of a kind compiles; later ones call what it gave, whatever the key, p, base and length."""
    made: list[tuple[Any, ...]] = []

    class Form:
        def __getitem__(self, grid: tuple[int, ...]) -> Any:
            def first(*arguments: Any, **options: Any) -> Form:
                made.append(("compile", grid, len(arguments), options))
                return self

            def later(*arguments: Any) -> None:
                made.append(("call", grid, len(arguments)))

            return first if len(grid) == 1 else later

    drop(torch.ones(1), P)  # by the dispatcher, once for a device
    monkeypatch.setattr(launch, "_FORMS", {"run": Form(), "axes": Form()})
    for number, count in ((1, 64), (2**64 - 1, 4096), (3, 1)):
        drop(torch.ones(count), 0.1 * (number % 7 + 1), key=number)
    assert [each[:2] for each in made] == [("compile", (1,)), ("call", (2, 1, 1)), ("call", (1, 1, 1))]
    again = torch.ones(64)
    for number in range(2):
        drop(again, 0.3, key=number)
    assert [each[:2] for each in made[3:]] == [("call", (1, 1, 1))] * 2
    assert {each[2] for each in made} == {17}
    assert made[0][3] == {"num_warps": 4, "enable_fp_fusion": False}
    drop(torch.ones(64, dtype=torch.bfloat16), 0.1, key=1)
    drop(torch.ones(65)[1:], 0.1, key=1)  # another address
    drop(torch.ones(8, 8), 0.1, key=1, broadcast_dims=(1,))
    assert [each[0] for each in made[5:]] == ["compile"] * 3


def test_a_fake_tensor_of_a_gpu_needs_none() -> None:
    """As a tracer without a GPU has it."""
    with FakeTensorMode():
        x = torch.empty(8, device="cuda")
        for y in (drop(x, P), drop(x, P, key=7), gaussian(x, P)):
            assert y.device.type == "cuda"
            assert y.shape == x.shape
