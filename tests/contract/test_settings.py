"""Arguments, repr, copies and the table itself: what every variant promises about being configured."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import thinned.nn
import thinned.nn.functional as F
from thinned.nn.variants import VARIANTS, Variant

BAD = [
    (math.nan, ValueError, "Got nan."),
    (1.5, ValueError, "Got 1.5."),
    (-0.1, ValueError, "Got -0.1."),
    ("0.5", TypeError, "Got '0.5'. Pass the number 0.5, not text."),
    (None, TypeError, "Got None. For no dropout, pass 0.0."),
    (True, TypeError, "Got True."),
    (20, ValueError, "Got 20. If 20 % was meant, pass 0.2."),
]


def build(variant: Variant, **rates: Any) -> torch.nn.Module:
    """The variant's module with small sizes where it needs sizes."""
    sizes = dict.fromkeys(("in_features", "out_features", "input_size", "hidden_size"), 3)
    wanted = inspect.signature(variant.module).parameters
    return variant.module(**{name: size for name, size in sizes.items() if name in wanted}, **rates)


def rate_names(variant: Variant) -> list[str]:
    wanted = inspect.signature(variant.module).parameters
    return [name for name in ("p", "dropout", "recurrent_dropout") if name in wanted]


@pytest.mark.parametrize(("value", "error", "text"), BAD)
def test_a_bad_rate_is_refused_at_construction_and_on_assignment(
    variant: Variant, value: Any, error: type[Exception], text: str
) -> None:
    for name in rate_names(variant):
        wording = f"`{variant.name}`: `{name}` must be a number in [0, 1]. {text}"
        with pytest.raises(error) as caught:
            build(variant, **{name: value})
        assert str(caught.value).startswith(wording)
        layer = build(variant, **{name: 0.25})
        with pytest.raises(error) as caught:
            setattr(layer, name, value)
        assert str(caught.value).startswith(wording)
        assert getattr(layer, name) == 0.25


@pytest.mark.parametrize("value", [1, "1", None, (0.5,), (None,), (True,), {0}, ["0"], 0, "", False])
@pytest.mark.having("broadcast_dims")
def test_axes_that_are_no_sequence_of_numbers_are_refused(keyed: Variant, value: Any) -> None:
    layer = keyed.module(broadcast_dims=(0,))
    for attempt in (
        lambda: keyed.module(broadcast_dims=value),
        lambda: setattr(layer, "broadcast_dims", value),
    ):
        with pytest.raises(TypeError, match=f"`{keyed.name}`: `broadcast_dims` must be a sequence of axis numbers"):
            attempt()
    with pytest.raises(ValueError, match=r"axes must be in \[-2, 2\) for a 2-D input. Got 5"):
        keyed.module(broadcast_dims=(5,))(torch.ones(2, 2))


@pytest.mark.parametrize("value", [(0, 0), [1, 1], (0, -1, 0)])
@pytest.mark.having("broadcast_dims")
def test_an_axis_that_is_named_twice_is_refused(variant: Variant, value: Any) -> None:
    layer = build(variant, broadcast_dims=(0,))
    for attempt in (
        lambda: build(variant, broadcast_dims=value),
        lambda: setattr(layer, "broadcast_dims", value),
        lambda: thinned.nn.drop_connect(torch.nn.Linear(2, 2), broadcast_dims=value),
    ):
        with pytest.raises(ValueError, match=r"`broadcast_dims` must be a sequence of axis numbers. Got .* axis once"):
            attempt()
    assert layer.broadcast_dims == (0,)


@pytest.mark.having("broadcast_dims")
def test_a_layer_has_axes_of_its_own(variant: Variant) -> None:
    """A list that the caller changes later, a range, and integers of NumPy."""
    axes: list[Any] = [np.int64(0)]
    layer, other = build(variant, broadcast_dims=axes), build(variant)
    setattr(other, "broadcast_dims", axes)  # noqa: B010  mypy takes an unknown attribute of a module for a tensor
    axes.append("no axis")
    for each in (layer, other, build(variant, broadcast_dims=range(1))):
        assert each.broadcast_dims == (0,)
        assert "broadcast_dims=(0,)" in repr(each)


@pytest.mark.parametrize("value", [None, 0, "", (0, 0), 1])
@pytest.mark.parametrize("function", [F.dropout, F.gaussian_dropout, F.dropout_add])
def test_a_function_refuses_them_too(function: Any, value: Any) -> None:
    inputs = [torch.ones(2, 2)] * (2 if function is F.dropout_add else 1)
    with pytest.raises((TypeError, ValueError), match="`broadcast_dims` must be a sequence of axis numbers"):
        function(*inputs, broadcast_dims=value)


def test_the_repr_shows_the_rate_and_what_differs_from_the_default(variant: Variant) -> None:
    for name in rate_names(variant):
        assert f"{name}=0.25" in repr(build(variant, **{name: 0.25}))
    parameters = inspect.signature(variant.module).parameters
    others = {"inplace": True, "scaling": "classic", "broadcast_dims": (0,), "batch_first": True, "mode": "batch"}
    for name, value in others.items():
        if name in parameters:
            assert name not in repr(build(variant))
            assert f"{name}={value!r}" in repr(build(variant, **{name: value}))


@pytest.mark.dropping
def test_the_repr_says_when_sixteen_bits_round_p_visibly(keyed: Variant) -> None:
    assert "p=0.001 (realised 0.00100708)" in repr(build(keyed, p=0.001))
    assert "realised" not in repr(build(keyed, p=0.1))


def test_the_repr_of_other_settings() -> None:
    assert "realised" not in repr(thinned.nn.GaussianDropout(0.001))  # its noise takes p as it is
    assert "dropout=0.001 (realised 0.00100708)" in repr(thinned.nn.LSTM(3, 5, dropout=0.001))
    assert "nonlinearity='relu'" in repr(thinned.nn.RNN(3, 5, nonlinearity="relu"))
    layer = thinned.nn.DropConnectLinear(3, 5, activation=torch.relu, inference="gaussian", nodes=8)
    assert all(text in repr(layer) for text in ("activation=", "inference='gaussian'", "nodes=8"))


def test_a_user_s_subclass_with_another_constructor_has_a_repr(variant: Variant) -> None:
    (name, *_) = rate_names(variant)
    base: Any = variant.module

    class Mine(base):  # type: ignore[misc]
        def __init__(self, config: dict[str, Any]) -> None:
            super().__init__(**config)

    sizes = {key: value for key, value in vars(build(variant)).items() if key in ("in_features", "out_features")}
    sizes |= {key: 3 for key in ("input_size", "hidden_size") if key in inspect.signature(base).parameters}
    assert f"{name}=0.25" in repr(Mine({**sizes, name: 0.25}))


def test_copies_are_independent_and_equal(variant: Variant) -> None:
    (name, *_) = rate_names(variant)
    layer = build(variant, **{name: 0.25})
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(twin) == repr(layer)
        setattr(twin, name, 0.75)
        assert getattr(layer, name) == 0.25


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool], ids=str)
def test_an_integer_input_is_refused_where_there_is_noise(keyed: Variant, dtype: torch.dtype) -> None:
    x = torch.ones([4] * len(keyed.layout.split()), dtype=dtype)
    for p in (0.1, 0.5, 1.0):
        with pytest.raises(TypeError, match=rf"must be floating-point or complex. Got {dtype}. Convert it"):
            keyed.module(p=p)(x)


@pytest.mark.having("scaling")
def test_an_integer_input_is_refused_where_inference_scales(keyed: Variant) -> None:
    x = torch.ones([4] * len(keyed.layout.split()), dtype=torch.int64)
    with pytest.raises(TypeError, match=r"must be floating-point or complex. Got torch.int64. Convert it"):
        keyed.module(p=0.5, scaling="classic").eval()(x)


def test_a_new_rate_takes_effect_at_the_next_call(keyed: Variant) -> None:
    layer = keyed.module(p=0.5)
    x = torch.rand([4] * len(keyed.layout.split())) + 1
    assert layer(x) is not x
    setattr(layer, "p", 0.0)  # noqa: B010  mypy takes an unknown attribute of a module for a tensor
    assert layer(x) is x


@pytest.mark.having("inplace")
def test_inplace_overwrites_the_input(variant: Variant) -> None:
    x = torch.rand([4] * len(variant.layout.split())) + 1
    expected = variant.module(p=0.5)(x.clone(), key=1)
    assert variant.module(p=0.5, inplace=True)(x, key=1) is x
    assert torch.equal(x, expected)
    leaf = torch.ones_like(x, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        variant.module(p=0.5, inplace=True)(leaf)


def test_every_name_and_alias_of_the_table_is_public(variant: Variant) -> None:
    assert getattr(thinned.nn, variant.name) is variant.module
    for alias in variant.aliases:
        assert getattr(thinned.nn, alias) is variant.module


def test_every_public_module_is_in_the_table() -> None:
    modules = {
        value for value in vars(thinned.nn).values() if isinstance(value, type) and issubclass(value, torch.nn.Module)
    }
    assert modules == {variant.module for variant in VARIANTS}


@pytest.mark.parametrize("row", [row for row in VARIANTS if hasattr(torch.nn, row.name)], ids=lambda row: row.name)
def test_torch_s_class_is_a_base_where_torch_has_one(row: Variant) -> None:
    assert issubclass(row.module, getattr(torch.nn, row.name))  # type: ignore[arg-type]
