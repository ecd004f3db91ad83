"""What others get wrong at p = 0, p = 1, near them, and about p itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.regressions.example import FEATURES, build, field, run, sample
from torch.nn.utils.rnn import pack_sequence

import thinned.nn
import thinned.nn.functional as F
from thinned.nn.variants import Variant

DRAWS = 1 << 17


@pytest.mark.dropping
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("p", [1e-6, 0.001, 0.005, 0.01, 0.1])
def test_a_small_rate_is_not_rounded_to_8_bits(keyed: Variant, p: float, dtype: torch.dtype) -> None:
    """flash-attention 2 and torch's copy of it: p = 0.001 drops 0.0039; Transformer Engine: p = 0.1 is refused.

    Bound: 16 bits' rounding, 2**-17, and five standard deviations of 2**17 draws.
    """
    x = field(keyed, DRAWS, dtype)
    y = keyed.module(p=p)(x * math.nan, key=31)
    dropped = DRAWS * (~y.isnan()).sum().item() / y.numel()
    assert abs(dropped / DRAWS - p) <= 2**-17 + 5 * math.sqrt(p * (1 - p) / DRAWS)


@pytest.mark.parametrize(("asked", "given"), [(0.001, 1 / 256), (0.005, 2 / 256), (0.01, 3 / 256)])
def test_8_bit_rates_are_outside_that_bound(asked: float, given: float) -> None:
    """The power of the test above: what flash-attention 2 gives for what is asked."""
    dropped = int((thinned.nn.Dropout(given)(torch.ones(DRAWS), key=31) == 0).sum())
    assert abs(dropped / DRAWS - asked) > 2**-17 + 5 * math.sqrt(asked * (1 - asked) / DRAWS)


@pytest.mark.dropping
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_a_draw_that_happens_to_drop_everything_is_no_nan(keyed: Variant, dtype: torch.dtype) -> None:
    """dropblock 0.3 (PyPI): the scale is taken from the realised mask, so a map dropped whole is 0 / 0 = nan."""
    x = field(keyed, 4, dtype).requires_grad_()
    y = keyed.module(p=1 - 2**-16)(x, key=1)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert y.unique().numel() == 1, "one of 2**16 is kept: with this key none of these few"
    assert y.isfinite().all()
    assert torch.equal(gradient, torch.zeros_like(x))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize(("rate", "weight"), [("dropout", "weight_ih"), ("recurrent_dropout", "weight_hh")])
def test_p_one_in_a_recurrent_network_drops_everything(kind: str, rate: str, weight: str) -> None:
    """keras 3.15: LSTM(dropout=1.0) and recurrent_dropout >= 1.0 mean no dropout at all (0 < p < 1 is asked for)."""
    torch.manual_seed(0)
    ours = getattr(thinned.nn, kind)(FEATURES, 4, 2, bidirectional=True, **{rate: 1.0})
    cut = getattr(torch.nn, kind)(FEATURES, 4, 2, bidirectional=True)
    cut.load_state_dict(ours.state_dict())
    x = torch.rand(5, 3, FEATURES)
    assert not torch.allclose(ours(x)[0], cut(x)[0]), "the weights matter"
    with torch.no_grad():
        for name, parameter in cut.named_parameters():
            if name.startswith(weight):
                parameter.zero_()
    torch.testing.assert_close(ours(x), cut(x))
    if rate == "dropout":
        torch.testing.assert_close(ours(torch.full_like(x, math.inf)), cut(x))


def test_p_one_gives_no_nan_in_any_gradient(variant: Variant) -> None:
    """equinox 0.13: x / q with q = 0 has the gradient nan; torch 2.13 on Metal: LSTM(dropout=1) is nan."""
    module, x = build(variant, 1.0), sample(variant).requires_grad_()
    output = run(module, x)
    assert output.isfinite().all()
    output.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.zeros_like(x))
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters() if parameter.grad is not None)


def test_a_rate_raised_from_zero_takes_effect(variant: Variant) -> None:
    """keras 3.15: built at rate 0, a layer has no seed generator, and a later rate is an AttributeError."""
    module, x = build(variant, 0.0), sample(variant)
    plain = run(module, x)
    assert torch.equal(run(module, x), plain)
    for name in ("p", "dropout", "recurrent_dropout"):
        if hasattr(module, name):
            setattr(module, name, 0.5)
    assert not torch.equal(run(module, x), plain)
    assert not torch.equal(run(module, x), run(module, x))


def test_an_unknown_argument_is_refused(variant: Variant) -> None:
    """timm 1.0: unknown arguments only warn, and the layer goes on with its default rate."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'drop_prob'"):
        build(variant, 0.5, drop_prob=0.1)


X = torch.ones(2, 3, 4)
FUNCTIONS: dict[str, Callable[[Any, bool], Any]] = {
    "dropout": lambda p, training: F.dropout(X, p, training),
    "dropout_add": lambda p, training: F.dropout_add(X, X, p, training),
    "dropout1d": lambda p, training: F.dropout1d(X, p, training),
    "dropout2d": lambda p, training: F.dropout2d(X[None], p, training),
    "dropout3d": lambda p, training: F.dropout3d(X[None, None], p, training),
    "alpha_dropout": lambda p, training: F.alpha_dropout(X, p, training),
    "feature_alpha_dropout": lambda p, training: F.feature_alpha_dropout(X, p, training),
    "gaussian_dropout": lambda p, training: F.gaussian_dropout(X, p, training),
    "locked_dropout": lambda p, training: F.locked_dropout(X, p, training),
    "locked_dropout, packed": lambda p, training: F.locked_dropout(pack_sequence([X[0]]), p, training),
    "stochastic_depth": lambda p, training: F.stochastic_depth(X, p, training=training),
    "linear_decay": lambda p, _: F.linear_decay(p, 3),
    "DropConnect": lambda p, training: F.drop_connect(torch.nn.Linear(3, 2).train(training), p=p),
}


@pytest.mark.parametrize(
    ("p", "error", "got"),
    [
        (math.nan, ValueError, "nan"),
        (1.5, ValueError, "1.5"),
        (-0.5, ValueError, "-0.5"),
        (90, ValueError, "90. If 90 % was meant, pass 0.9"),
        (None, TypeError, "None. For no dropout, pass 0.0"),
        (True, TypeError, "True"),
    ],
)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_refuses_what_is_no_rate(
    name: str, training: bool, p: object, error: type[Exception], got: str
) -> None:
    """flax 0.12, equinox 0.13: 1.5, nan and 90 silently zero all; mmcv: p = -0.5 gives x / 1.5; paddle 3.3: nan."""
    with pytest.raises(error) as caught:
        FUNCTIONS[name](p, training)
    assert str(caught.value).startswith(f"`{name.partition(',')[0]}`: `p` must be a number in [0, 1]. Got {got}.")


def test_every_function_is_in_that_list() -> None:
    functions = set(F.__all__) - {"drop_path", "drop_connect", "remove_drop_connect"}
    assert functions == {name for name in FUNCTIONS if name.islower() and "," not in name}
