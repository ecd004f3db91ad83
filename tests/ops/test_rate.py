"""What p stands for, as a number and as data: the same, whoever computes it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import vmap
from torch.library import opcheck

import thinned.nn.functional as F
from thinned import noise
from thinned.noise import PROBABILITY
from thinned.noise.formulas import SELU_SATURATION, numbers
from thinned.ops import as_rate, drop, gaussian, realised
from thinned.ops.rate import packed, unpacked

# Ties of the 16 bits and their neighbours, the ends, and what lies next to them.
TIES = [(level + 0.5) / 65536 for level in (0, 1, 32767, 65534, 65535)]
RATES = [0.0, 1.0, 2**-17, 0.1, 1 / 3, 0.5, 1 - 1e-9, 1 - 2**-53, 5e-324]
RATES += [math.nextafter(tie, side) for tie in TIES for side in (0.0, tie, 1.0)]


@pytest.mark.parametrize("p", RATES)
def test_laws(p: float) -> None:
    level = noise.threshold(p)
    assert numbers("inverted", p) == (level, noise.scale(p), 0.0, 0.0)
    assert numbers("classic", p) == (level, 1.0, 0.0, 0.0)
    _, a, b, fill = numbers("alpha", p)
    assert numbers("alpha", p)[0] == level
    if p == 1:
        assert (a, b, fill) == (0.0, 0.0, 0.0)
    else:
        dropped = level / 65536
        mean = (1 - dropped) * b + dropped * fill
        second = (1 - dropped) * (a**2 + b**2) + dropped * fill**2
        assert fill == a * SELU_SATURATION + b
        assert mean == pytest.approx(0.0, abs=1e-9)
        assert second == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("formula", ["inverted", "classic", "alpha", "deviation", "realised"])
def test_the_operator_computes_the_numbers(formula: str) -> None:
    for p in RATES:
        for value in (torch.tensor(p, dtype=torch.float64), torch.tensor([p], dtype=torch.float64)):
            found = packed(formula, value, "test")
            assert (found.dtype, found.device.type) == (torch.float64, "cpu")
            assert tuple(found.tolist()) == numbers(formula, p)
            assert torch.equal(found, packed(formula, p, "test"))
    checks = opcheck(torch.ops.thinned.law.default, (torch.tensor([0.3]), formula, "test"))
    assert set(checks.values()) == {"SUCCESS"}


def test_the_linear_part_has_no_constants() -> None:
    law = packed("alpha", 0.3, "test")
    level, gain, *_ = numbers("alpha", 0.3)
    assert unpacked(law, linear=True) == (level, gain, 0.0, 0.0)
    assert unpacked(law, linear=False) == numbers("alpha", 0.3)


def test_an_unknown_law_is_refused() -> None:
    for p in (0.0, 0.5, torch.tensor(0.5)):
        with pytest.raises(
            ValueError, match=r"`drop`: `law` must be one of 'inverted', 'classic', 'alpha'. Got 'gain'"
        ):
            drop(torch.ones(3), p, law="gain")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_a_tensor_in_eager_mode_is_its_number(dtype: torch.dtype) -> None:
    x = torch.linspace(1, 2, 40)
    for p in (0.0, 0.3, 1.0):
        value = torch.tensor(p, dtype=dtype)
        assert torch.equal(drop(x, value, key=3), drop(x, value.item(), key=3))
    assert torch.equal(
        gaussian(x, torch.tensor(0.3, dtype=dtype), key=3), gaussian(x, value.new_tensor(0.3).item(), key=3)
    )
    assert drop(x, torch.tensor(0.0)) is x
    assert F.dropout(x, torch.tensor(0.0)) is x


@pytest.mark.parametrize(
    "bad",
    [
        torch.tensor([0.1, 0.2]),
        torch.tensor(1),
        torch.tensor(True),
        torch.tensor(0.5, requires_grad=True),
        torch.tensor(0.5j),
    ],
    ids=["two values", "integer", "boolean", "with gradient", "complex"],
)
def test_a_tensor_that_is_no_rate_is_refused(bad: Tensor) -> None:
    x = torch.ones(4)
    calls: list[Any] = [drop, F.dropout, F.gaussian_dropout, F.locked_dropout, F.stochastic_depth]
    for call in calls:
        with pytest.raises(
            TypeError, match=r"`p` must be a number in \[0, 1\], or a floating-point tensor of one. Got"
        ):
            call(x.reshape(2, 2), bad)
    with pytest.raises(TypeError, match=r"`gaussian`: `sigma` must be a finite number, 0 or more, or a floating-point"):
        gaussian(x, bad)


@pytest.mark.parametrize("p", [1.5, -0.1, math.nan])
def test_a_tensor_outside_the_unit_interval_is_refused(p: float) -> None:
    for call in (drop, F.dropout, F.gaussian_dropout):
        with pytest.raises(ValueError, match=r"`p` must be a number in \[0, 1\]. Got"):
            call(torch.ones(4), torch.tensor(p))


def test_numbers_of_other_kinds_are_rates() -> None:
    values: list[Any] = [np.float64(0.3), np.float32(0.3), 1, 0]
    for value in values:
        assert as_rate(PROBABILITY, "test", "p", value) == value
        assert torch.equal(drop(torch.ones(9), value, key=2), drop(torch.ones(9), float(value), key=2))
    assert realised(0.001) == noise.realised(0.001)


@pytest.mark.parametrize("function", [F.dropout, F.alpha_dropout, F.gaussian_dropout])
@pytest.mark.parametrize("in_dims", [(None, 0), (0, 0), (1, 0)])
def test_one_rate_a_row(function: Any, in_dims: tuple[int | None, int]) -> None:
    """vmap over p, with one key: the same draws at every rate."""
    rates = torch.tensor([0.0, 0.2, 0.7, 1.0], dtype=torch.float64)
    x = torch.linspace(1, 2, 4 * 4 * 5).reshape(4, 4, 5)
    rows = vmap(lambda x, p: function(x, p, training=True, key=3), in_dims=in_dims)(x, rates)
    for row, p in enumerate(rates):
        part = x if in_dims[0] is None else x.select(in_dims[0], row)
        assert torch.equal(rows[row], function(part, p, training=True, key=3))


def test_one_rate_and_one_key_a_row() -> None:
    rates, keys = torch.tensor([0.2, 0.7]), torch.tensor([5, -6])
    x = torch.ones(50)
    rows = vmap(lambda p, key: drop(x, p, key=key))(rates, keys)
    crossed = vmap(vmap(lambda p, key: drop(x, p, key=key), in_dims=(None, 0)), in_dims=(0, None))(rates, keys)
    for i, p in enumerate(rates):
        assert torch.equal(rows[i], drop(x, p, key=keys[i]))
        for j, key in enumerate(keys):
            assert torch.equal(crossed[i, j], drop(x, p, key=key))
