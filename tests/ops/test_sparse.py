"""Sparse COO tensors: the stored values have the mask of the dense tensor; gradients of embeddings stay sparse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import thinned
import thinned.nn.functional as F
from thinned.nn import DropConnect, Dropout, drop_connect
from thinned.ops import drop, gaussian

OPERATORS: tuple[Callable[..., Tensor], ...] = (drop, gaussian)


def dense() -> Tensor:
    """Half of the rows have numbers."""
    x = torch.rand(12, 5, 3, generator=torch.Generator().manual_seed(0)) + 1
    x[::2] = 0
    return x


@pytest.mark.parametrize("sparse_dim", [1, 2, 3])
@pytest.mark.parametrize("shared", [(), (0,), (1,), (1, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("operator", OPERATORS)
def test_the_mask_is_that_of_the_dense_tensor(
    operator: Callable[..., Tensor], shared: tuple[int, ...], sparse_dim: int
) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.complex64):
        x = dense().to(dtype)
        y = operator(x.to_sparse(sparse_dim), 0.5, key=3, broadcast_dims=shared)
        assert y.is_sparse
        assert y.dtype == dtype
        torch.testing.assert_close(y.to_dense(), operator(x, 0.5, key=3, broadcast_dims=shared), rtol=1e-6, atol=0)


def test_p_1_and_classic_scaling() -> None:
    x = dense().to_sparse()
    assert not drop(x, 1.0, key=3).to_dense().any()
    assert torch.equal(drop(x, 0.3, key=3, law="classic").to_dense(), drop(dense(), 0.3, key=3, law="classic"))
    assert torch.equal(
        Dropout(0.3, scaling="classic").eval()(x).to_dense(), F.dropout(dense(), 0.3, False, scaling="classic")
    )


def test_positions_are_those_of_the_whole() -> None:
    """Of a shard, and beyond 2**32."""
    where: Any = {"offset": (2**31, 0), "global_shape": (2**32, 5)}
    x = torch.ones(6, 5)
    x[1] = 0
    assert torch.equal(drop(x.to_sparse(1), 0.5, key=3, **where).to_dense(), drop(x, 0.5, key=3, **where))


def test_a_repeated_index_is_one_value() -> None:
    x = torch.sparse_coo_tensor(torch.tensor([[1, 1, 3]]), torch.tensor([1.0, 2.0, 4.0]), (5,), check_invariants=True)
    assert torch.equal(drop(x, 0.5, key=3).to_dense(), drop(x.to_dense(), 0.5, key=3))


@pytest.mark.parametrize("operator", OPERATORS)
def test_forward_and_backward(operator: Callable[..., Tensor]) -> None:
    x = dense()
    gradients = []
    for value in (x.clone().requires_grad_(), x.to_sparse(1).requires_grad_()):
        y = operator(value, 0.5, key=3)
        (y if not y.is_sparse else y.to_dense()).square().sum().backward()
        gradient = value.grad
        assert gradient is not None
        gradients.append(gradient.to_dense() if gradient.is_sparse else gradient)
    kept = x != 0
    torch.testing.assert_close(gradients[1][kept], gradients[0][kept])


@pytest.mark.filterwarnings("ignore:Sparse (CSR|CSC|BSR) tensor support is in beta state:UserWarning")
def test_what_has_no_place_for_noise_is_refused() -> None:
    x = dense()[:, :, 0]
    for other in (x.to_sparse_csr(), x.to_sparse_csc(), x.to_sparse_bsr((1, 1))):
        with pytest.raises(
            TypeError, match=r"`dropout`: `input` must be .* Got layout torch.sparse_.*to_sparse_coo\(\)"
        ):
            F.dropout(other, 0.5)
    with pytest.raises(TypeError, match=r"`alpha_dropout`: `input` must be dense.*input.to_dense\(\)"):
        F.alpha_dropout(x.to_sparse(), 0.5, True)


# Gradients of embeddings.

TOKENS = torch.tensor([[1, 2, 2], [0, 3, 9]])

EMBEDDINGS: dict[str, Callable[[bool], torch.nn.Module]] = {
    "plain": lambda sparse: torch.nn.Embedding(10, 7, sparse=sparse),
    "padding": lambda sparse: torch.nn.Embedding(10, 7, sparse=sparse, padding_idx=2),
    "max_norm": lambda sparse: torch.nn.Embedding(10, 7, sparse=sparse, max_norm=1.0),
    "bag": lambda sparse: torch.nn.EmbeddingBag(10, 7, sparse=sparse),
    "bag of sums": lambda sparse: torch.nn.EmbeddingBag(10, 7, sparse=sparse, mode="sum", padding_idx=2),
    "bag with max_norm": lambda sparse: torch.nn.EmbeddingBag(10, 7, sparse=sparse, max_norm=0.5),
}


def embedding(name: str, sparse: bool, shared: tuple[int, ...] = (1,)) -> torch.nn.Module:
    torch.manual_seed(0)
    return drop_connect(EMBEDDINGS[name](sparse), "weight", 0.5, broadcast_dims=shared)


@pytest.mark.parametrize("shared", [(), (1,), (0,), (0, 1)], ids=str)
@pytest.mark.parametrize("name", EMBEDDINGS)
def test_a_sparse_gradient_is_the_dense_one(name: str, shared: tuple[int, ...]) -> None:
    found = []
    for sparse in (True, False):
        layer = embedding(name, sparse, shared)
        torch.manual_seed(1)
        output = layer(TOKENS)
        output.square().sum().backward()
        gradient = layer.get_parameter("weight").grad
        assert gradient is not None
        assert gradient.is_sparse == sparse
        found.append((output, gradient.to_dense(), layer.get_parameter("weight")))
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled:UserWarning")  # torch's Adagrad
@pytest.mark.parametrize("make", [torch.optim.SparseAdam, torch.optim.SGD, torch.optim.Adagrad])
def test_an_optimiser_for_sparse_gradients_trains(make: Callable[..., torch.optim.Optimizer]) -> None:
    layer = embedding("plain", True)
    before = layer.get_parameter("weight").detach().clone()
    optimiser = make(layer.parameters(), lr=0.1)
    for _ in range(4):
        optimiser.zero_grad()
        layer(TOKENS).square().sum().backward()
        optimiser.step()
    changed = (layer.get_parameter("weight") != before).any(1)
    assert changed[[1, 2, 3]].any()
    assert not changed[[4, 5, 6, 7, 8]].any()


def test_dropped_words_have_a_gradient_of_zero() -> None:
    layer = embedding("plain", True)
    output = layer(TOKENS)
    output.sum().backward()
    gradient = layer.get_parameter("weight").grad
    assert gradient is not None
    kept = torch.zeros(10, dtype=torch.bool)
    kept[TOKENS] = (output != 0).all(2)
    assert torch.equal(gradient.to_dense().any(1), kept)


@pytest.mark.parametrize("recomputed", [False, True])
def test_in_a_stream_and_recomputed(recomputed: bool) -> None:
    found = []
    for sparse in (True, False):
        model = torch.nn.Sequential(embedding("plain", sparse), torch.nn.Linear(7, 2))
        with thinned.stream(model, seed=1) as s:
            for _ in range(2):
                y = checkpoint(model, TOKENS, use_reentrant=False) if recomputed else model(TOKENS)
                y.square().sum().backward()
                s.step()
        gradient = model.get_parameter("0.weight").grad
        assert gradient is not None
        assert gradient.is_sparse == sparse
        found.append(gradient.to_dense())
    torch.testing.assert_close(*found)
    assert found[0].any()


def test_max_norm_bounds_the_parameter_and_not_the_masked_weight() -> None:
    """Else a word at the bound would lose what inverted scaling gives it."""
    layer = embedding("max_norm", False)
    weight = layer.get_parameter("weight")
    with torch.no_grad():
        weight.fill_(10.0)
    lengths = torch.stack([layer(TOKENS).detach().norm(dim=2) for _ in range(20)])
    assert set(lengths.mul(1e3).round().div(1e3).unique().tolist()) == {0.0, 2.0}
    torch.testing.assert_close(weight[TOKENS].norm(dim=2), torch.ones(2, 3))
    assert layer.max_norm == 1.0
    with pytest.raises(IndexError):
        layer(torch.tensor([10]))
    assert layer.max_norm == 1.0
    assert layer.weight is weight


def test_parametrized_too() -> None:
    layer = torch.nn.Embedding(10, 7, sparse=True)
    torch.nn.utils.parametrize.register_parametrization(layer, "weight", DropConnect(0.5, broadcast_dims=(1,)))
    layer(TOKENS).sum().backward()
    gradient = layer.get_parameter("parametrizations.weight.original").grad
    assert gradient is not None
    assert gradient.is_sparse
