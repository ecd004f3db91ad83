"""The laws' own promises: nested masks, exact means, ends of the range, and refusals in one wording."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from thinned.noise import bernoulli, normal, realised, scale, threshold, uniform
from thinned.noise.law import UNIFORM_DOMAIN
from thinned.noise.philox import blocks

RATES = (0.0, 2**-17, 0.001, 0.1, 0.3, 0.5, 0.9, 0.999, 1 - 2**-17, 1.0)


def test_masks_of_one_key_are_nested() -> None:
    """What is dropped at p is dropped at every larger p: rates are compared on paired noise."""
    masks = [bernoulli(9, p, (64, 129)) for p in RATES]
    for gentler, harsher in itertools.pairwise(masks):
        assert not (harsher & ~gentler).any()
    assert masks[0].all()
    assert not masks[-1].any()


@pytest.mark.parametrize("p", RATES)
def test_realised_probability(p: float) -> None:
    assert abs(realised(p) - p) <= (2**-17 if p <= 1 - 2**-16 or p == 1 else 2**-16)
    assert (realised(p) == 1) == (p == 1)


@pytest.mark.parametrize("p", [p for p in RATES if p < 1])
def test_scale_keeps_the_mean(p: float) -> None:
    """Kept fraction times scale is 1, up to the one rounding to float32."""
    assert abs((1 - realised(p)) * scale(p) - 1) <= 2**-24
    assert scale(p) == np.float32(scale(p))


def test_threshold_is_exact_in_every_double_around_a_tie() -> None:
    for whole in (0, 1, 2, 1000, 32767, 65534):
        tie = (whole + 0.5) / 65536
        assert threshold(tie) == whole + 1
        assert threshold(math.nextafter(tie, 0)) == whole
        assert threshold(math.nextafter(tie, 1)) == whole + 1
    assert (scale(1.0), threshold(1.0), threshold(math.nextafter(1, 0))) == (0.0, 65536, 65535)


def test_uniform_is_inside_the_open_interval() -> None:
    assert (blocks(1, np.arange(4), UNIFORM_DOMAIN).ravel()[:3] + 0.5).tolist() == (uniform(1, (3,)) * 2**32).tolist()
    values = uniform(1, (1 << 16,))
    assert values.min() > 0
    assert values.max() < 1


def test_normal_takes_cosine_and_sine_of_one_pair() -> None:
    u = uniform(5, (1000,))
    radius, angle = np.sqrt(-2 * np.log(u[0::2])), 2 * np.pi * u[1::2]
    n = normal(5, (1000,))
    assert np.allclose(n[0::2], radius * np.cos(angle), rtol=0, atol=1e-12)
    assert np.allclose(n[1::2], radius * np.sin(angle), rtol=0, atol=1e-12)


@pytest.mark.parametrize("law", [bernoulli, uniform, normal])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2)])
def test_no_axes_and_no_elements(law: object, shape: tuple[int, ...]) -> None:
    arguments = (1, 0.5) if law is bernoulli else (1,)
    assert law(*arguments, shape).shape == shape  # type: ignore[operator]


@pytest.mark.parametrize(
    ("p", "error", "message"),
    [
        (20, ValueError, r"`bernoulli`: `p` must be a number in \[0, 1\]\. Got 20\. If 20 % was meant, pass 0\.2\."),
        (-0.1, ValueError, r"Got -0\.1\. `p` is the probability that a unit is dropped"),
        (1.5, ValueError, r"Got 1\.5\. `p` is the probability that a unit is dropped"),
        (math.nan, ValueError, r"Got nan\. Find where the nan came from"),
        (math.inf, ValueError, r"Got inf\."),
        (True, TypeError, r"Got True\. Pass 1\.0 if that was meant\."),
        (None, TypeError, r"Got None\. For no dropout, pass 0\.0\."),
        ("0.5", TypeError, r"Got '0\.5'\. Pass the number 0\.5, not text\."),
        ("half", TypeError, r"Got 'half'\. Pass a number, not text\."),
        ([0.5], TypeError, r"Got \[0\.5\]\. Pass a float\."),
    ],
)
def test_bad_rates_are_refused(p: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bernoulli(1, p, (2,))  # type: ignore[arg-type]


@pytest.mark.parametrize("law", [bernoulli, uniform, normal])
@pytest.mark.parametrize(("key", "error"), [(-1, ValueError), (2**64, ValueError), (1.0, TypeError), (True, TypeError)])
def test_bad_keys_are_refused(law: object, key: object, error: type[Exception]) -> None:
    arguments = (key, 0.5) if law is bernoulli else (key,)
    with pytest.raises(error, match=r"`(bernoulli|uniform|normal)`: `key` must be an integer in \[0, 2\*\*64\)"):
        law(*arguments, (2,))  # type: ignore[operator]
