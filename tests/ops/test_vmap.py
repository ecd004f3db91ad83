"""vmap: `randomness` means what it means for torch, and a key a row is that row's own call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from thinned.ops import as_key, drop, gaussian

OPERATORS: list[Callable[..., Tensor]] = [drop, gaussian]


def distinct(rows: Tensor) -> int:
    return len({tuple(row) for row in rows.flatten(1).tolist()})


@pytest.fixture(params=OPERATORS, ids=lambda operator: str(operator.__name__))
def operator(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_same(operator: Callable[..., Tensor]) -> None:
    """Every row has the mask that one call of a row would have drawn."""
    x = torch.ones(6, 5, 7)
    torch.manual_seed(3)
    rows = vmap(lambda row: operator(row, 0.5), randomness="same")(x)
    torch.manual_seed(3)
    assert torch.equal(rows, operator(x[0], 0.5).expand(6, 5, 7))


def test_different(operator: Callable[..., Tensor]) -> None:
    x = torch.ones(64, 5, 7)
    rows = vmap(lambda row: operator(row, 0.5), randomness="different")(x)
    assert distinct(rows) == 64


def test_error_is_torch_s_own(operator: Callable[..., Tensor]) -> None:
    with pytest.raises(RuntimeError, match="vmap: called random operation while in randomness error mode"):
        vmap(lambda row: operator(row, 0.5))(torch.ones(4, 5))
    assert torch.equal(
        vmap(lambda row: operator(row, 0.5, key=3))(torch.ones(4, 5))[2], operator(torch.ones(5), 0.5, key=3)
    )


def test_dropped_fraction_of_different_rows_is_binomial() -> None:
    """2**20 draws at p = 1/2 in 4096 rows: within 5 standard deviations, 2560."""
    torch.manual_seed(0)
    rows = vmap(lambda row: drop(row, 0.5), randomness="different")(torch.ones(4096, 256))
    assert abs(int((rows == 0).sum()) - 2**19) < 2560


@pytest.mark.parametrize("in_dim", [0, 1, 2, -1])
@pytest.mark.parametrize("shared", [(), (0,), (1,), (0, 1)])
def test_a_key_a_row_is_the_row_s_own_call(
    operator: Callable[..., Tensor], in_dim: int, shared: tuple[int, ...]
) -> None:
    x = torch.linspace(1, 2, 4 * 4 * 4, dtype=torch.float64).reshape(4, 4, 4)
    keys = torch.tensor([3, -1, 5, -(2**63)])

    def one(row: Tensor, key: Tensor) -> Tensor:
        return operator(row, 0.5, key=key, broadcast_dims=shared)

    rows = vmap(one, in_dims=(in_dim, 0))(x, keys)
    for row, key, found in zip(x.unbind(in_dim), keys, rows, strict=True):
        assert torch.equal(found, one(row, key))
    for key, found in zip(keys, vmap(one, in_dims=(None, 0))(x[0], keys), strict=True):
        assert torch.equal(found, one(x[0], key)), "one input under many keys"


def test_offsets_count_within_a_row(operator: Callable[..., Tensor]) -> None:
    block: dict[str, Any] = {"offset": (2, 3), "global_shape": (9, 11)}
    rows = vmap(lambda row: operator(row, 0.5, key=7, **block))(torch.ones(3, 4, 5))
    assert torch.equal(rows, operator(torch.ones(4, 5), 0.5, key=7, **block).expand(3, 4, 5))


@pytest.mark.parametrize(
    ("outer", "inner", "count"),
    [("same", "same", 1), ("same", "different", 5), ("different", "same", 4), ("different", "different", 20)],
)
def test_nested(operator: Callable[..., Tensor], outer: str, inner: str, count: int) -> None:
    torch.manual_seed(1)
    f = vmap(vmap(lambda row: operator(row, 0.5), randomness=inner), randomness=outer)
    rows = f(torch.ones(4, 5, 3, 16))
    assert rows.shape == (4, 5, 3, 16)
    assert distinct(rows.flatten(0, 1)) == count
    if (outer, inner) == ("same", "different"):
        assert torch.equal(rows, rows[:1].expand_as(rows))
    if (outer, inner) == ("different", "same"):
        assert torch.equal(rows, rows[:, :1].expand_as(rows))


def test_nested_keys(operator: Callable[..., Tensor]) -> None:
    """Keys of the outer axis, of the inner one, and of both, against a loop."""
    x = torch.linspace(1, 2, 2 * 3 * 8).reshape(2, 3, 8)
    table = torch.arange(6).reshape(2, 3)

    def one(row: Tensor, key: Tensor) -> Tensor:
        return operator(row, 0.5, key=key)

    both = vmap(vmap(one))(x, table)
    outer = vmap(vmap(one, in_dims=(0, None)))(x, table[:, 0])
    inner = vmap(vmap(one), in_dims=(0, None))(x, table[0])
    for i in range(2):
        for j in range(3):
            assert torch.equal(both[i, j], one(x[i, j], table[i, j]))
            assert torch.equal(outer[i, j], one(x[i, j], table[i, 0]))
            assert torch.equal(inner[i, j], one(x[i, j], table[0, j]))


def test_per_sample_gradients(operator: Callable[..., Tensor]) -> None:
    """vmap of grad, with a mask a sample, equals a loop over samples with those samples' keys."""
    layer = torch.nn.Linear(6, 3)
    parameters = {name: value.detach() for name, value in layer.named_parameters()}
    x, keys = torch.linspace(-1, 1, 24).reshape(4, 6), torch.arange(4)

    def loss(parameters: dict[str, Tensor], row: Tensor, key: Tensor) -> Tensor:
        return (operator(functional_call(layer, parameters, (row,)), 0.5, key=key) ** 2).sum()

    together = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, keys)
    for i in range(4):
        alone = grad(loss)(parameters, x[i], keys[i])
        for name, value in alone.items():
            torch.testing.assert_close(together[name][i], value)


def test_keys_cannot_be_given_by_the_row_without_vmap() -> None:
    with pytest.raises(
        TypeError, match=r"`key`: a tensor must be 0-dim int64\. Got \(4,\) of torch\.int64\..*use torch\.vmap"
    ):
        drop(torch.ones(4, 5), 0.5, key=torch.arange(4))
    assert as_key(torch.tensor(3)).item() == 3
