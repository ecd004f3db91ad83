"""The thinned networks of a seed are the CPU's on a second device."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.models import having, made
from tests.run import Run
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import thinned

DEVICE = "twin"


KINDS = having("noisy", "its device")
# In evaluation the CPU has kernels of its own for these, attention's and oneDNN's, which round otherwise.
ROUNDED = {"TransformerEncoder", "LSTM", "GRU, bidirectional"}


def assert_agree(kind: str, there: Tensor | None, here: Tensor | None) -> None:
    assert there is not None
    assert here is not None
    assert there.device.type == "cpu"
    if kind in ROUNDED:
        torch.testing.assert_close(there, here, rtol=0, atol=2e-6)
    else:
        assert torch.equal(there, here)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def case(kind: str) -> tuple[nn.Module, nn.Module, Tensor]:
    """A model here, the same there, and rows."""
    model, x = made(kind, 5)
    return model, copy.deepcopy(model).to(DEVICE), x


def test_samples_are_the_cpu_s(kind: str, case: tuple[nn.Module, nn.Module, Tensor]) -> None:
    model, moved, x = case
    here = thinned.predict(model, x, n=4, seed=7, samples=True)
    there = thinned.predict(moved, x.to(DEVICE), n=4, seed=7, samples=True)
    assert there.places == here.places
    assert there.engine == here.engine
    assert float(here.std.max()) > 0
    assert_agree(kind, there.samples, here.samples)
    for name in ("mean", "std", "quantiles"):
        assert_agree(kind, getattr(there, name), getattr(here, name))


def test_samples_do_not_hang_on_chunks_or_batches(kind: str, case: tuple[nn.Module, nn.Module, Tensor]) -> None:
    model, moved, x = case
    loader = DataLoader(TensorDataset(x), batch_size=3)
    here = thinned.predict(model, x, n=4, seed=7, samples=True).samples
    assert here is not None
    for rows, options in ((x.to(DEVICE), {"memory": 1}), (loader, {"device": DEVICE})):
        there = thinned.predict(moved, rows, n=4, seed=7, samples=True, **options).samples
        torch.testing.assert_close(there, here, rtol=1e-5, atol=1e-5)  # products of matrices of other shapes


def test_one_mask_for_all_rows(kind: str, case: tuple[nn.Module, nn.Module, Tensor]) -> None:
    model, moved, x = case
    here = thinned.predict(model, x, n=3, seed=7, samples=True, shared_masks=True).samples
    there = thinned.predict(moved, x.to(DEVICE), n=3, seed=7, samples=True, shared_masks=True).samples
    assert_agree(kind, there, here)


@pytest.mark.parametrize("classes", [1, 3])
def test_classification(classes: int) -> None:
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.4), nn.Linear(32, classes))
    x = torch.randn(9, 6)
    options: dict[str, Any] = {"n": 8, "seed": 3, "task": "classification", "temperature": 1.5}
    here = thinned.predict(model, x, **options)
    there = thinned.predict(model.to(DEVICE), x, **options)
    for name in ("mean", "std", "quantiles", "sampled_entropy", "votes", "entropy", "mutual_information"):
        assert torch.equal(getattr(there, name), getattr(here, name)), name


def test_batches_go_where_the_model_is_or_where_they_are_told() -> None:
    model, x = nn.Sequential(nn.Dropout(0.5), nn.Flatten()), torch.randn(7, 6)
    seen: list[str] = []
    model.register_forward_pre_hook(lambda _, args: seen.append(args[0].device.type))
    here = thinned.predict(model, x, n=3, samples=True).samples
    assert set(seen) == {"cpu"}
    for given, options, place in (
        (x.to(DEVICE), {}, DEVICE),
        (x, {"device": DEVICE}, DEVICE),
        (x.to(DEVICE), {"device": "cpu"}, "cpu"),
        (DataLoader(TensorDataset(x), batch_size=4), {"device": torch.device(DEVICE, 0)}, DEVICE),
    ):
        seen.clear()
        assert_agree("", thinned.predict(model, given, n=3, samples=True, **options).samples, here)
        assert set(seen) == {place}
    nested = Run(lambda m, x: m.inner(x), inner=nn.Linear(6, 2))
    noisy = nn.Sequential(nested, nn.Dropout(0.5))
    found = thinned.predict(noisy, x, n=3).mean
    assert torch.equal(thinned.predict(noisy.to(DEVICE), x, n=3).mean, found)


def test_dicts_and_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.drop = nn.Linear(6, 4), nn.Dropout(0.5)

        def forward(self, x: Tensor, scale: Tensor) -> dict[str, Tensor]:
            return {"logits": self.drop(self.inner(x)) * scale}

    model, x, scale = Two(), torch.randn(5, 6), torch.rand(5, 1)
    here = thinned.predict(model, {"x": x, "scale": scale}, n=3, samples=True).samples
    model.to(DEVICE)
    assert_agree("", thinned.predict(model, {"x": x, "scale": scale}, n=3, samples=True).samples, here)
    assert_agree("", thinned.predict(model, (x, scale), n=3, samples=True).samples, here)


@pytest.mark.parametrize("rows_there", [False, True])
def test_the_device_s_generator_is_left_as_it_was(rows_there: bool) -> None:
    generator = torch.get_device_module(DEVICE)
    hand = Run(lambda m, x: x * torch.bernoulli(torch.full_like(x, 0.5)) if m.training else x)
    model: nn.Module = hand if rows_there else nn.Sequential(nn.Linear(6, 6), hand).to(DEVICE)
    state = generator.get_rng_state()
    thinned.predict(model, torch.randn(5, 6).to(DEVICE), n=3)
    assert torch.equal(generator.get_rng_state(), state)


def test_a_mask_made_on_the_cpu_is_an_error_of_the_model_s() -> None:
    model, x = made("rand > p")
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        thinned.predict(model, x.to(DEVICE), n=3)


def test_packed_sequences() -> None:
    def forward(m: Any, x: Tensor, lengths: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        output = nn.utils.rnn.pad_packed_sequence(m.lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]
        return output.sum(1)

    class Packed(nn.Module):
        def __init__(self, function: Callable[..., Tensor]) -> None:
            super().__init__()
            self.function, self.lstm = function, nn.LSTM(4, 5, 2, dropout=0.5, batch_first=True)

        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            return self.function(self, x, lengths)

    model, x = Packed(forward), (torch.randn(6, 7, 4), torch.tensor([3, 7, 1, 5, 2, 6]))
    here = thinned.predict(model, x, n=4, samples=True).samples
    there = thinned.predict(model.to(DEVICE), x, n=4, samples=True).samples
    assert_agree("LSTM", there, here)
