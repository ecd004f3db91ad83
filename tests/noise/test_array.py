"""NumPy's door to dropout: the same values with the compiled kernel and without, and a clear error for a wrong call."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.noise.jobs import bits
from tests.vectors import read

import thinned.noise
from thinned.noise import array as door
from thinned.noise import bernoulli, drop, scale
from thinned.noise.kernel import TYPES, Kernel

DTYPES = [np.dtype(name) for name in ("float32", "float64", "float16")] + [np.dtype(ml_dtypes.bfloat16)]
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@pytest.fixture(params=["kernel", "plain"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test with the kernel, where it was built, and in plain array arithmetic."""
    name: str = request.param
    if name == "plain":
        monkeypatch.setattr(door, "kernel", Kernel("off"))
        monkeypatch.setattr(door, "announce", lambda: None)
    elif Kernel().run is None:
        pytest.skip(f"no compiled kernel: {Kernel().reason}")
    return name


def expected(x: Any, p: float, kept: Any, residual: Any = None) -> Any:
    wide = np.float64 if x.dtype == np.float64 else np.float32
    with np.errstate(all="ignore"):
        y = np.where(kept, (x.astype(wide) * wide(scale(p))).astype(x.dtype), x.dtype.type(0))
        return y if residual is None else (residual.astype(wide) + y.astype(wide)).astype(x.dtype)


def numbers(dtype: np.dtype[Any], shape: tuple[int, ...], seed: int = 0) -> Any:
    x = np.random.default_rng(seed).standard_normal(shape) * 3
    x.flat[::29] = np.inf
    return x.astype(dtype)


def equal(a: Any, b: Any) -> bool:
    return a.dtype == b.dtype and np.array_equal(bits(a), bits(b))


def test_is_exported() -> None:
    assert thinned.noise.drop is door.drop


@each_dtype
@pytest.mark.parametrize("shared", [(), (0,), (-1,), (0, 1, 2)])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_is_the_contracts_mask_and_scale(dtype: np.dtype[Any], p: float, shared: tuple[int, ...]) -> None:
    """Of a block of a larger whole; an infinity that is dropped is 0, at p = 1 too."""
    place = read.Block(broadcast_dims=shared, offset=(1, 0, 2), global_shape=(6, 7, 40))
    x, residual = numbers(dtype, (5, 7, 33)), numbers(dtype, (5, 7, 33), seed=1)
    kept = bernoulli(11, p, x.shape, **place)
    result = drop(x, p, key=11, **place)
    assert equal(result, expected(x, p, kept))
    assert not np.shares_memory(result, x)
    added = drop(x, p, key=11, residual=residual.copy(), **place)
    finite = np.isfinite(residual)
    assert equal(added[finite], expected(x, p, kept, residual)[finite])


@pytest.mark.parametrize("case", read.masks(), ids=str)
def test_expected_masks(case: read.Mask) -> None:
    assert case.agrees(drop(np.ones(case.shape, np.float32), case.p, key=case.key, **case.block) != 0)


@each_dtype
def test_out(dtype: np.dtype[Any]) -> None:
    """Another array, the input itself, or what is added to."""
    x, residual = numbers(dtype, (40, 9)), np.ones((40, 9), dtype)
    once, sum_ = drop(x, 0.5, key=2), drop(x, 0.5, key=2, residual=residual)
    out = np.empty((9, 80), dtype).T[::2]
    assert drop(x, 0.5, key=2, out=out) is out
    assert equal(out, once)
    assert drop(x, 0.5, key=2, residual=residual, out=residual) is residual
    assert equal(residual, sum_)
    assert drop(x, 0.5, key=2, out=x) is x
    assert equal(x, once)


@each_dtype
def test_any_memory(dtype: np.dtype[Any]) -> None:
    """Read-only and repeated inputs, negative strides, fields of packed records: the mask follows logical positions."""
    x = numbers(dtype, (12, 10))
    whole = drop(x, 0.3, key=5)
    x.flags.writeable = False
    assert equal(drop(x, 0.3, key=5), whole)
    assert equal(drop(np.asfortranarray(x), 0.3, key=5), whole)
    assert equal(drop(x[::-1, ::-1].copy()[::-1, ::-1], 0.3, key=5), whole)
    repeated = np.broadcast_to(x[0], x.shape)
    assert equal(drop(repeated, 0.3, key=5), drop(repeated.copy(), 0.3, key=5))
    assert drop(repeated, 0.3, key=5).flags.writeable
    packed = np.zeros((12, 10), [("flag", "u1"), ("value", dtype), ("after", dtype)])
    packed["value"], packed["after"], packed["flag"] = x, 1, 7
    assert equal(drop(packed["value"], 0.3, key=5), whole)
    assert equal(drop(x, 0.3, key=5, residual=packed["after"]), drop(x, 0.3, key=5, residual=np.ones_like(x)))
    drop(packed["value"], 0.3, key=5, out=packed["value"])
    assert equal(packed["value"], whole)
    assert (packed["flag"] == 7).all()
    assert (packed["after"] == 1).all()


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (0, 3), (1, 1)], ids=str)
def test_small_shapes(shape: tuple[int, ...]) -> None:
    x = np.ones(shape, np.float32)
    result = drop(x, 0.5, key=3, broadcast_dims=range(len(shape)))
    assert result.shape == shape
    assert equal(result, expected(x, 0.5, bernoulli(3, 0.5, (1,) * len(shape))))


def test_threads_change_nothing() -> None:
    x = numbers(np.dtype(np.float32), (200_003,))
    assert equal(drop(x, 0.1, key=9), drop(x, 0.1, key=9, threads=3))


X = np.ones((4, 6), np.float32)
READ_ONLY = np.broadcast_to(X, X.shape)


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"array": [1.0]}, TypeError, "`array` must be an array of float32, float64, bfloat16, float16. Got list"),
        ({"array": X.astype(int)}, TypeError, "Got int64 array. Convert it"),
        ({"array": X.astype(complex)}, TypeError, "Got complex128 array"),
        ({"array": X.astype(">f4")}, TypeError, "Got >f4 array. Convert it"),
        ({"p": 20}, ValueError, "If 20 % was meant, pass 0.2"),
        ({"p": None}, TypeError, "For no dropout, pass 0.0"),
        ({"key": -1}, ValueError, r"`key` must be an integer in \[0, 2\*\*64\)"),
        ({"key": 1.0}, TypeError, "Pass an int"),
        ({"threads": 0}, ValueError, r"`threads` must be an integer in \[1, 2\*\*31\). Got 0"),
        ({"threads": "2"}, TypeError, "`threads` must be an integer"),
        ({"broadcast_dims": (2,)}, ValueError, "Got 2. Name axes that the input has"),
        ({"offset": (1, 0), "global_shape": (4, 6)}, ValueError, "must lie inside `global_shape`"),
        ({"residual": X[:, :3]}, ValueError, r"`residual` must be .* \(4, 6\) of float32. Got \(4, 3\) of float32"),
        ({"residual": X.astype(np.float64)}, ValueError, "Got .* of float64. Make it with np.empty_like"),
        ({"residual": 1.0}, ValueError, "`residual` must be an array .* Got float"),
        ({"out": X[:2].copy()}, ValueError, "`out` must be .* Got .* of float32"),
        ({"out": X.astype(">f4")}, ValueError, "`out` must be .* of >f4"),
        ({"out": READ_ONLY, "array": X.copy()}, ValueError, "`out` must be writeable"),
        ({"out": X[::-1]}, ValueError, "`out` must be `array` or not overlap it"),
        ({"out": X[::-1], "array": X.copy(), "residual": X}, ValueError, "`out` must be `residual` or not overlap it"),
    ],
    ids=lambda value: None if isinstance(value, type) else str(value)[:50],
)
def test_a_wrong_call_is_one_clear_error(changed: dict[str, Any], kind: type[Exception], message: str) -> None:
    before = X.copy()
    call: dict[str, Any] = {"array": X, "p": 0.5, "key": 1} | changed
    with pytest.raises(kind, match=message) as raised:
        drop(call.pop("array"), call.pop("p"), **call)
    assert str(raised.value).startswith(("`drop`: ", "`place`: ", "`broadcast_dims`: "))
    assert np.array_equal(X, before)


def test_types_are_those_of_the_kernel() -> None:
    assert sorted(str(dtype) for dtype in DTYPES) == sorted(TYPES)
