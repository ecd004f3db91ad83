"""DropConnect: moments of a unit's input over the masks, and inference that matches them (docs/design/theory.md).

With a_j = w_ij x_j the input is u_i = b_i + sum_j a_j m_ij / q, so its mean is b_i + sum_j a_j, its variance
(p/q) sum_j a_j^2 and its fourth cumulant p q (1 - 6 p q) / q^4 sum_j a_j^4, from which standard errors are exact.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from thinned.nn import DropConnectLinear, Dropout
from thinned.noise import realised

INPUTS, OUTPUTS, DRAWS = 64, 8, 10_000


def layer(p: float, scaling: str = "inverted", **arguments: object) -> DropConnectLinear:
    generator = torch.Generator().manual_seed(9)
    made = DropConnectLinear(INPUTS, OUTPUTS, p=p, scaling=scaling, dtype=torch.float64, **arguments)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in (made.weight, made.bias):
            parameter.copy_(0.3 * torch.randn(parameter.shape, dtype=torch.float64, generator=generator))
    return made.requires_grad_(False)


def example() -> Tensor:
    return torch.randn(INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(10))


def over_masks(made: DropConnectLinear, x: Tensor) -> Tensor:
    """The layer's training output under `DRAWS` keys, `(DRAWS, ..., OUTPUTS)`."""
    outputs: Tensor = torch.vmap(lambda key: made.train()(x, key=key), chunk_size=2000)(torch.arange(DRAWS))
    return outputs


def fourth_cumulant(p: float) -> float:
    """Of m / q, m ~ Bernoulli(q)."""
    q = 1 - p
    return p * q * (1 - 6 * p * q) / q**4


@pytest.mark.parametrize("scaling", ["inverted", "classic"])
@pytest.mark.parametrize("p", [0.2, 0.5])
def test_mean_and_variance_of_a_unit_s_input(p: float, scaling: str) -> None:
    made, x = layer(p, scaling), example()
    dropped = realised(p)
    q = 1 - dropped
    unit = q if scaling == "classic" else 1.0
    terms = made.weight * x * unit
    mean, variance = made.bias + terms.sum(1), dropped / q * terms.square().sum(1)
    for ours, theirs in zip(made.moments(x), (mean, variance), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    u = over_masks(made, x)
    assert ((u.mean(0) - mean).abs() < 4 * (variance / DRAWS).sqrt()).all()
    fourth = 3 * variance.square() + fourth_cumulant(dropped) * terms.pow(4).sum(1)
    error = ((fourth - variance.square()) / DRAWS).sqrt()
    assert (((u - mean).square().mean(0) - variance).abs() < 4 * error).all()


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_units_are_independent_where_dropout_s_are_not(p: float) -> None:
    """Both have the same variance a unit; only dropout, whose units lose the same inputs, has covariances."""
    made, x = layer(p), example()
    dropped = realised(p)
    ratio = dropped / (1 - dropped)
    terms = made.weight * x
    covariance = ratio * terms @ terms.T
    variance = covariance.diagonal()
    product = variance[:, None] * variance
    squares = terms.square()
    apart = ~torch.eye(OUTPUTS, dtype=torch.bool)

    def sample(u: Tensor) -> Tensor:
        centred = u - (made.bias + terms.sum(1))
        return centred.T @ centred / DRAWS

    of_weights = sample(over_masks(made, x))
    assert (of_weights.abs() < 4 * (product / DRAWS).sqrt())[apart].all()

    thinned = Dropout(p)(x.expand(DRAWS, INPUTS), key=51)
    of_inputs = sample(torch.nn.functional.linear(thinned, made.weight, made.bias))
    # E[u_i^2 u_k^2] - Cov^2 of centred sums of independent terms.
    spread = product + covariance.square() + fourth_cumulant(dropped) * squares @ squares.T
    assert ((of_inputs - covariance).abs() < 4 * (spread / DRAWS).sqrt()).all()
    assert (covariance.abs() > 4 * (spread / DRAWS).sqrt())[apart].any()


def test_one_mask_a_forward_makes_examples_covary() -> None:
    """Cov(u_i(x), u_i(z)) = (p/q) sum_j w_ij^2 x_j z_j; the paper's mask for each example would make it 0."""
    p = 0.5
    made, x = layer(p), example()
    z = x.flip(0) + x
    u = over_masks(made, torch.stack((x, z)))
    of_x, of_z = (u - u.mean(0)).unbind(1)
    weights = made.weight.square()
    covariance, first, second = (p / (1 - p) * weights @ product for product in (x * z, x * x, z * z))
    squares = made.weight.pow(4) @ (x * z).square()
    spread = first * second + covariance.square() + fourth_cumulant(p) * squares
    assert (((of_x * of_z).mean(0) - covariance).abs() < 4 * (spread / DRAWS).sqrt()).all()
    assert (covariance.abs() > 4 * (spread / DRAWS).sqrt()).all()


def relu_closed_form(mean: Tensor, variance: Tensor) -> Tensor:
    """E[max(u, 0)] = mu Phi(mu / s) + s phi(mu / s), u ~ Normal(mu, s^2)."""
    s = variance.sqrt()
    z = mean / s
    expected: Tensor = mean * torch.special.ndtr(z) + s * (-z.square() / 2).exp() / math.sqrt(2 * math.pi)
    return expected


@pytest.mark.parametrize("scaling", ["inverted", "classic"])
@pytest.mark.parametrize("p", [0.2, 0.5])
def test_gaussian_inference_is_the_mean_over_masks_and_the_mean_rule_is_too_low(p: float, scaling: str) -> None:
    made, x = layer(p, scaling, activation=torch.relu, inference="gaussian"), example()
    over = over_masks(made, x)
    truth, error = over.mean(0), over.std(0) / math.sqrt(DRAWS)
    made.eval()
    matched = made(x)
    assert ((matched - truth).abs() < 4 * error).all()
    made.inference = "mean"
    mean_rule = made(x)
    assert (mean_rule <= relu_closed_form(*made.moments(x))).all()
    assert (mean_rule.mean() - truth.mean()).item() < -4 * error.norm().item() / OUTPUTS


@pytest.mark.parametrize("nodes", [16, 64, 128])
def test_the_quadrature_against_relu_s_closed_form(nodes: int) -> None:
    """ReLU's corner costs Gauss-Hermite accuracy: 0.33 / nodes of u's standard deviation at the worst mean."""
    units = 2001
    made = DropConnectLinear(
        1, units, p=0.5, activation=torch.relu, inference="gaussian", nodes=nodes, dtype=torch.float64
    )
    made = made.eval().requires_grad_(False)
    made.weight.fill_(1.0)
    made.bias.copy_(torch.linspace(-6, 4, units, dtype=torch.float64))
    x = torch.ones(1, dtype=torch.float64)
    mean, variance = made.moments(x)
    torch.testing.assert_close(variance, torch.ones_like(variance))
    assert (made(x) - relu_closed_form(mean, variance)).abs().max() < 0.33 / nodes
