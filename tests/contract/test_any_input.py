"""An identity returns its input whatever that is, as torch's dropouts do: at inference, and in training at p = 0."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import thinned.nn.functional as F
from thinned.nn.variants import Variant


def nested(layout: torch.layout) -> Tensor:
    return torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)], layout=layout)


INPUTS: dict[str, Callable[[], Tensor]] = {
    "integers": lambda: torch.arange(3),
    "bytes": lambda: torch.zeros(2, 3, 4, dtype=torch.uint8),
    "booleans": lambda: torch.tensor([True, False]),
    "a number": lambda: torch.tensor(1.0),
    "an integer": lambda: torch.tensor(1),
    "one axis": lambda: torch.ones(3),
    "seven axes": lambda: torch.ones([1] * 7),
    "complex": lambda: torch.ones(2, 3, dtype=torch.complex64),
    "float8": lambda: torch.ones(2, 3).to(torch.float8_e4m3fn),
    "no elements": lambda: torch.ones(0),
    "no columns": lambda: torch.ones(2, 0, 3),
    "quint8": lambda: torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.quint8),
    "qint8 by channel": lambda: torch.quantize_per_channel(
        torch.ones(2, 3), torch.ones(2), torch.zeros(2), 0, torch.qint8
    ),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "sparse integers": lambda: torch.eye(3, dtype=torch.int32).to_sparse(),
    "CSR": lambda: torch.eye(3).to_sparse_csr(),
    "CSC": lambda: torch.eye(3).to_sparse_csc(),
    "BSR": lambda: torch.eye(4).to_sparse_bsr((2, 2)),
    "meta": lambda: torch.ones(3, device="meta"),
    "jagged": lambda: nested(torch.jagged),
    "nested": lambda: nested(torch.strided),
    "mkldnn": lambda: torch.ones(2, 3).to_mkldnn(),
    "a parameter": lambda: torch.nn.Parameter(torch.ones(2)),
}

FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "dropout": F.dropout,
    "dropout1d": F.dropout1d,
    "dropout2d": F.dropout2d,
    "dropout3d": F.dropout3d,
    "alpha_dropout": F.alpha_dropout,
    "feature_alpha_dropout": F.feature_alpha_dropout,
    "gaussian_dropout": F.gaussian_dropout,
    "locked_dropout": F.locked_dropout,
    "stochastic_depth": F.stochastic_depth,
}


@pytest.fixture(scope="module")
def inputs() -> dict[str, Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of kinds of tensors that it is about to give up, or is trying out
        return {name: make() for name, make in INPUTS.items()}


def test_a_layer(keyed: Variant, inputs: dict[str, Tensor]) -> None:
    for name, x in inputs.items():
        assert keyed.module(p=0.5).eval()(x) is x, name
        assert keyed.module(p=1.0).eval()(x) is x, name
        assert keyed.module(p=0.0)(x) is x, name


@pytest.mark.having("scaling")
def test_a_layer_with_classic_scaling_at_p_0(keyed: Variant, inputs: dict[str, Tensor]) -> None:
    for name, x in inputs.items():
        layer = keyed.module(p=0.0, scaling="classic")
        assert layer(x) is x, name
        assert layer.eval()(x) is x, name


@pytest.mark.having("inplace")
def test_a_layer_in_place(keyed: Variant, inputs: dict[str, Tensor]) -> None:
    for name, x in inputs.items():
        assert keyed.module(p=0.5, inplace=True).eval()(x) is x, name
        assert keyed.module(p=0.0, inplace=True)(x) is x, name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function(name: str, inputs: dict[str, Tensor]) -> None:
    function = FUNCTIONS[name]
    for kind, x in inputs.items():
        assert function(x, 0.5, training=False) is x, kind
        assert function(x, 0.0, training=True) is x, kind
        assert function(x, torch.tensor(0.0), training=True) is x, kind


@pytest.mark.parametrize(
    "kind", ["integers", "booleans", "complex", "sparse", "meta", "jagged", "nested", "no elements"]
)
def test_the_residual_is_added_whatever_it_is(kind: str, inputs: dict[str, Tensor]) -> None:
    x = inputs[kind]
    for y in (F.dropout_add(x, x, 0.5, training=False), F.dropout_add(x, x, 0.0)):
        assert (type(y), y.dtype, y.layout) == (type(x), x.dtype, x.layout)


def test_a_packed_sequence_is_not_even_padded() -> None:
    packed = torch.nn.utils.rnn.pack_sequence([torch.arange(3), torch.arange(2)])
    assert F.locked_dropout(packed, 0.5, training=False) is packed
    assert F.locked_dropout(packed, 0.0) is packed
    with pytest.raises(
        TypeError, match=r"`locked_dropout`: `input` must be floating-point or complex. Got torch.int64"
    ):
        F.locked_dropout(packed, 0.5)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float64, torch.complex64], ids=str)
def test_under_vmap(keyed: Variant, dtype: torch.dtype) -> None:
    """torch's own samples of its dropouts at inference have these shapes."""
    for shape in ((), (5,), (2, 3), (2, 3, 4), (2, 3, 4, 5), (2, 3, 4, 5, 6)):
        x = torch.ones((3, *shape), dtype=dtype)
        assert torch.equal(torch.vmap(keyed.module(p=0.5).eval())(x), x)
        assert torch.equal(torch.vmap(keyed.module(p=0.0), randomness="different")(x), x)


@pytest.mark.parametrize("p", [-0.1, 1.5, "0.5", None])
def test_a_bad_rate_is_refused_all_the_same(p: object) -> None:
    for function in FUNCTIONS.values():
        with pytest.raises((TypeError, ValueError), match="`p` must be a number"):
            function(torch.arange(3), p, training=False)


def test_what_is_no_tensor_is_refused_all_the_same(keyed: Variant) -> None:
    for p in (0.0, 0.5):
        with pytest.raises(TypeError, match=r"`input` must be a tensor\. Got list\. Pass"):
            keyed.module(p=p).eval()([1.0])
