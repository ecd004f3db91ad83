"""Calls of the operators that our functions never make: refused by name, and no memory beyond a tensor is touched."""

from __future__ import annotations

import random
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from thinned.noise.kernel import kernel

X = torch.ones(4, 64)
KEY = torch.tensor(7)
HALF = torch.tensor([32768.0, 2.0, 0.0, 0.0], dtype=torch.float64)
GIVEN: dict[str, Any] = {"x": X, "key": KEY, "law": HALF, "linear": False, "strides": [64, 1], "base": 0}
TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64)
# What is changed in a right call of `drop`, and what the refusal says.
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "more keys than rows": ({"key": torch.arange(5)}, "shape of the first axes"),
    "fewer keys than rows": ({"x": X[:1], "key": torch.arange(2), "strides": [64, 1]}, "shape of the first axes"),
    "more axes of keys than axes": ({"x": X[0], "key": torch.zeros(64, 1).long(), "strides": [1]}, "first axes"),
    "keys of another type": ({"key": torch.tensor(7.0)}, "`key` must be int64. Got torch.float32"),
    "a law of three": ({"law": HALF[:3]}, r"`law` must hold 4 number\(s\). Got shape \(3,\)"),
    "a law with two axes": ({"law": HALF.reshape(1, 4)}, r"Got shape \(1, 4\)"),
    "a law in float32": ({"law": HALF.float()}, "`law` must be float64. Got torch.float32"),
    "too few strides": ({"strides": [1]}, "a number for each of the 2 axes of `x`. Got 1"),
    "too many strides": ({"strides": [1, 1, 1]}, "Got 3"),
    "integers": ({"x": X.int()}, "`x` must be floating-point or complex. Got torch.int32"),
}
# Seen in values, which fake tensors do not have.
VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "a level above all": ({"law": HALF.clone().index_fill_(0, torch.tensor(0), 65537.0)}, "Got 65537.0"),
    "a level below 0": ({"law": HALF.clone().index_fill_(0, torch.tensor(0), -1.0)}, "Got -1.0"),
    "half a level": ({"law": HALF.clone().index_fill_(0, torch.tensor(0), 0.5)}, "Got 0.5"),
    "no level": ({"law": HALF.clone().index_fill_(0, torch.tensor(0), torch.nan)}, "Got nan"),
    "no end of a level": ({"law": HALF.clone().index_fill_(0, torch.tensor(0), torch.inf)}, "Got inf"),
}


def call(name: str, given: dict[str, Any]) -> Tensor:
    result: Tensor = getattr(torch.ops.thinned, name)(*given.values())
    return result


@pytest.mark.parametrize("case", [*WRONG, *VALUES])
def test_a_wrong_call_is_refused_by_name(case: str) -> None:
    changed, message = (WRONG | VALUES)[case]
    with pytest.raises((TypeError, ValueError), match=f"`thinned::drop`: .*{message}"):
        call("drop", GIVEN | changed)


@pytest.mark.parametrize("case", [*WRONG, *VALUES])
def test_without_the_compiled_kernel_too(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thinned.noise.kernel._announced", True)
    monkeypatch.setattr(kernel, "run", None)
    changed, message = (WRONG | VALUES)[case]
    with pytest.raises((TypeError, ValueError), match=message):
        call("drop", GIVEN | changed)


@pytest.mark.parametrize("case", WRONG)
def test_a_fake_tensor_is_refused_likewise(case: str) -> None:
    """So that a wrong call ends a trace or an export, not the run of its graph."""
    changed, message = WRONG[case]
    with FakeTensorMode() as fake:
        given = {
            name: fake.from_tensor(value) if isinstance(value, Tensor) else value
            for name, value in (GIVEN | changed).items()
        }
        with pytest.raises((TypeError, ValueError), match=message):
            call("drop", given)


@pytest.mark.parametrize(("name", "law"), [("gaussian", 0.5), ("uniform", 0.0)])
@pytest.mark.parametrize("case", ["more keys than rows", "keys of another type", "too few strides", "integers"])
def test_the_other_operators_too(name: str, law: float, case: str) -> None:
    changed, message = WRONG[case]
    with pytest.raises((TypeError, ValueError), match=f"`thinned::{name}`: .*{message}"):
        call(name, GIVEN | {"law": torch.tensor([law], dtype=torch.float64)} | changed)


def test_random_calls_end_in_a_result_or_a_refusal() -> None:
    """2,000 calls: shapes, types and numbers at random, every answer of the shape and type of `x`."""
    draw = random.Random(0)
    answered, refusals = 0, list[str]()
    for _ in range(2000):
        shape = [draw.choice((0, 1, 2, 3, 17)) for _ in range(draw.randrange(4))]
        own = draw.random() < 0.7
        others = [draw.choice((0, 1, 2, 5)) for _ in range(draw.randrange(4))]
        key = torch.full(shape[: draw.randrange(len(shape) + 1)] if own else others, draw.randrange(-(2**63), 2**63))
        x = torch.ones(shape, dtype=draw.choice(TYPES))
        level = draw.choice((0.0, 1.0, 32768.0, 65536.0, 65537.0, -1.0, 0.25, float("nan")))
        law = torch.tensor([level, 2.0, 0.0, 0.0][: draw.choice((4, 4, 4, 3))], dtype=torch.float64)
        strides = [draw.choice((0, 1, 64, -1, 2**62)) for _ in range(len(shape) + draw.choice((0, 0, 0, 1, -1)))]
        base = draw.choice((0, 3, -1, 2**63 - 1, -(2**63)))
        try:
            y = torch.ops.thinned.drop(x, key, law, draw.random() < 0.5, strides, base)
        except (TypeError, ValueError) as error:
            refusals.append(str(error))
        else:
            answered += 1
            assert y.shape == x.shape
            assert y.dtype == x.dtype
            assert set(y.unique().tolist()) <= {0.0, 2.0}
    assert all("`thinned::drop`" in refusal for refusal in refusals)
    assert answered > 200
    assert len(refusals) > 200


@pytest.mark.parametrize("fake", [False, True])
def test_a_child_key_is_of_a_key(fake: bool) -> None:
    with (
        FakeTensorMode() if fake else nullcontext(),
        pytest.raises(TypeError, match="`key` must be int64"),
    ):
        torch.ops.thinned.fold_in(torch.tensor(1.5), 3)
