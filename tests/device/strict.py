"""The second device is as strict as a GPU: what would fail there fails here, and what works there works here."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thinned.ops import drop, eager

DEVICE = "twin"
INDEX = torch.tensor([0, 2])

# Of a 4 by 4 tensor on the CPU and one on the device.
MIXED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "a sum": lambda here, there: there + here,
    "a sum the other way round": lambda here, there: here + there,
    "a sum with one element": lambda here, there: there + here[0, :1],
    "a number of the device": lambda here, there: here * there.sum(),
    "a product of matrices": lambda here, there: there @ here,
    "in place": lambda here, there: there.mul_(here),
    "in place of a number": lambda here, there: here.sum().add_(there.sum()),
    "an output": lambda here, there: torch.add(there, there, out=here),
    "cat": lambda here, there: torch.cat((there, here)),
    "stack": lambda here, there: torch.stack((here, there)),
    "where": lambda here, there: torch.where(here > 0.5, there, 0.0),
    "masked_fill": lambda here, there: there.masked_fill(here > 0.5, 0.0),
    "index_select": lambda here, there: there.index_select(0, INDEX),
    "gather": lambda here, there: there.gather(0, INDEX[None]),
    "the device's indices": lambda here, there: here[INDEX.to(DEVICE)],
    "linear": lambda here, there: F.linear(there, here),
    "conv1d": lambda here, there: F.conv1d(there[None], here[:, :, None]),
    "batch_norm": lambda here, there: F.batch_norm(there, here[0], here[1]),
    "embedding": lambda here, there: F.embedding(INDEX, there),
    "attention": lambda here, there: F.scaled_dot_product_attention(there[None], here[None], there[None]),
    "a mask made by hand": lambda here, there: there * (torch.rand(there.shape) > 0.4),
    "a generator": lambda here, there: torch.rand(3, device=DEVICE, generator=torch.Generator()),
}


@pytest.fixture
def here() -> Tensor:
    return torch.rand(4, 4)


@pytest.fixture
def there(here: Tensor) -> Tensor:
    return here.to(DEVICE)


@pytest.mark.parametrize("kind", MIXED)
def test_tensors_of_two_devices_do_not_meet(kind: str, here: Tensor, there: Tensor) -> None:
    with pytest.raises((RuntimeError, IndexError), match=r"same device|for generator"):
        MIXED[kind](here, there)


def test_numbers_and_indices_may_lie_on_the_cpu(here: Tensor, there: Tensor) -> None:
    number = torch.tensor(0.5)
    assert (there * number).device.type == DEVICE
    assert torch.equal((there // number).cpu(), here // number)
    assert torch.equal((there // 0.25).cpu(), here // 0.25)
    assert torch.equal(torch.where(there > 0.5, there, number).cpu(), torch.where(here > 0.5, here, number))
    assert torch.equal(there[INDEX].cpu(), here[INDEX])
    there[INDEX] = number
    assert (there[INDEX] == 0.5).all()
    packed = nn.utils.rnn.pack_padded_sequence(there[None], torch.tensor([3]), batch_first=True)
    assert packed.data.device.type == DEVICE


def test_a_model_that_makes_its_mask_on_the_cpu_fails(here: Tensor, there: Tensor) -> None:
    class Wrong(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * (torch.rand(x.shape) > 0.5)

    assert Wrong()(here).shape == (4, 4)
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        Wrong()(there)


def test_memory_is_not_the_cpu_s_to_read(there: Tensor) -> None:
    with pytest.raises(TypeError, match="can't convert twin:0 device type tensor to numpy"):
        there.numpy()
    assert there.data_ptr() >= 2**55  # no address of a process


def test_generators_have_nothing_to_do_with_one_another() -> None:
    torch.manual_seed(5)
    here, there = torch.rand(100), torch.rand(100, device=DEVICE)
    assert not torch.isclose(there.cpu(), here).any()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    draws: list[Callable[[], Tensor]] = [
        lambda: torch.rand(100, device=DEVICE),
        lambda: torch.randn_like(there),
        lambda: torch.randperm(9, device=DEVICE),
        lambda: torch.bernoulli(there),
        lambda: F.dropout(there),
    ]
    for draw in draws:
        kept = torch.get_device_module(DEVICE).get_rng_state()
        first = draw()
        torch.get_device_module(DEVICE).set_rng_state(kept)
        assert torch.equal(draw(), first)
        assert not torch.equal(draw(), first)
    assert torch.equal(torch.get_rng_state(), state)
    own = torch.Generator(DEVICE).manual_seed(1)
    assert own.initial_seed() == 1
    drawn = torch.rand(9, device=DEVICE, generator=own)
    assert torch.equal(torch.rand(9, device=DEVICE, generator=own.manual_seed(1)), drawn)


def test_the_library_s_operators_run_their_own_arithmetic_there(
    monkeypatch: pytest.MonkeyPatch, here: Tensor, there: Tensor
) -> None:
    seen = []
    original = eager.drop

    def watched(x: Tensor, *rest: Any) -> Tensor:
        seen.append(x.device.type)
        return original(x, *rest)

    monkeypatch.setattr(eager, "drop", watched)
    found = drop(there, 0.5, key=7)
    assert seen == [DEVICE]
    assert torch.equal(found.cpu(), drop(here, 0.5, key=7))


def test_an_operator_that_has_only_a_cpu_kernel_is_refused(here: Tensor, there: Tensor) -> None:
    with torch.library._scoped_library("twin_test", "FRAGMENT") as library:
        library.define("double(Tensor x) -> Tensor")
        library.impl("double", lambda x: 2 * x, "CPU")
        assert torch.equal(torch.ops.twin_test.double(here), 2 * here)
        with pytest.raises(NotImplementedError, match="from the 'twin' backend"):
            torch.ops.twin_test.double(there)


def test_views_share_memory_and_outputs_are_resized() -> None:
    base = torch.zeros(3, 4, device=DEVICE)
    base.t()[1:3].unfold(1, 2, 1)[..., 0].fill_(7.0)
    base.view(-1)[0] = 5
    base.real.mul_(2)
    assert base.tolist() == [[10, 14, 14, 0], [0, 14, 14, 0], [0, 0, 0, 0]]
    out = torch.empty(0, device=DEVICE)
    view = torch.arange(5.0, device=DEVICE)
    torch.mul(view, 2, out=out)
    assert out.tolist() == [0, 2, 4, 6, 8]
    assert out.resize_(2, 2).tolist() == [[0, 2], [4, 6]]
    kept = copy.deepcopy([view, view[1:]])
    kept[1].zero_()
    assert (kept[0].tolist(), view.tolist()) == ([0, 0, 0, 0, 0], [0, 1, 2, 3, 4])
    waves = torch.complex(view, view)
    assert torch.equal((waves.conj() * waves).cpu(), waves.cpu().conj() * waves.cpu())


def net() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)).double()


def test_training_is_the_cpu_s() -> None:
    x = torch.rand(5, 3, 6, 6, dtype=torch.float64)
    models = [net(), net().to(DEVICE)]
    for model in models:
        optimizer = torch.optim.Adam(model.parameters(), 0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(x.to(next(model.parameters()).device)).square().sum().backward()
            optimizer.step()
    for here, there in zip(models[0].state_dict().values(), models[1].state_dict().values(), strict=True):
        torch.testing.assert_close(there.cpu(), here)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_are_the_cpu_s(kind: type[nn.LSTM]) -> None:
    layer = kind(4, 5, 2, bidirectional=True).double()
    x = torch.rand(6, 3, 4, dtype=torch.float64)
    results = []
    for place in ("cpu", DEVICE):
        leaf = x.to(place).requires_grad_()
        y = layer.to(place)(leaf)[0]
        results.append(
            [t.detach().cpu() for t in (y, *torch.autograd.grad(y.sin().sum(), [leaf, *layer.parameters()]))]
        )
    torch.testing.assert_close(results[1], results[0])


def test_transforms_are_the_cpu_s(there: Tensor) -> None:
    def cubes(x: Tensor) -> Tensor:
        return (x.pow(3).sin() @ x).sum()

    for transform in (torch.func.grad, torch.func.hessian, torch.func.jacfwd, torch.vmap):
        torch.testing.assert_close(transform(cubes)(there).cpu(), transform(cubes)(there.cpu()))
    torch.manual_seed(1)
    drawn = torch.vmap(lambda x: x + torch.rand_like(x), randomness="different")(there)
    assert not torch.equal(drawn[0] - there[0], drawn[1] - there[1])
