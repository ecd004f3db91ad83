"""Stochastic depth: whole branches, by row or by batch, and the decay of p over depth."""

from __future__ import annotations

import pytest
import torch

from thinned import noise
from thinned.nn import DropPath, StochasticDepth, linear_decay
from thinned.nn.functional import stochastic_depth


def test_row_mode_drops_whole_rows() -> None:
    y = stochastic_depth(torch.ones(64, 3, 4), 0.25, key=3)
    kept = torch.from_numpy(noise.bernoulli(3, 0.25, (64,)))
    expected = torch.where(kept, noise.scale(0.25), 0.0).view(64, 1, 1).expand(64, 3, 4)
    assert torch.equal(y, expected)


def test_batch_mode_draws_once() -> None:
    values = {tuple(stochastic_depth(torch.ones(4, 2), 0.5, "batch", key=key).unique().tolist()) for key in range(32)}
    assert values == {(0.0,), (2.0,)}


def test_the_paper_s_own_scaling_is_classic() -> None:
    branch = torch.rand(8, 5)
    layer = DropPath(0.25, scaling="classic")
    assert set((layer(branch, key=1) / branch).unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(layer.eval()(branch), 0.75 * branch)


def test_a_zero_dimensional_branch_has_no_rows() -> None:
    with pytest.raises(ValueError, match="must have a batch axis in row mode"):
        stochastic_depth(torch.tensor(1.0), 0.5)
    assert stochastic_depth(torch.tensor(1.0), 0.5, "batch", key=0).ndim == 0


def test_a_mode_typo_is_refused_at_once_and_on_assignment() -> None:
    with pytest.raises(ValueError, match=r"`mode` must be one of 'row', 'batch'\. Got 'sample'"):
        StochasticDepth(0.5, "sample")
    layer = StochasticDepth(0.5)
    with pytest.raises(ValueError, match="`StochasticDepth`: `mode` must be one of"):
        layer.mode = "rows"


def test_linear_decay_is_exact_and_ends_at_p() -> None:
    assert linear_decay(0.1, 5) == [0.1 * i / 5 for i in range(1, 6)]
    assert linear_decay(0.5, 54)[-1] == 0.5
    assert sum(1 - p for p in linear_decay(0.5, 54)) == pytest.approx(40.25, abs=1e-12)


@pytest.mark.parametrize("depth", [0, -1, 2.5, True, None])
def test_linear_decay_refuses_a_bad_depth(depth: object) -> None:
    with pytest.raises((TypeError, ValueError), match="`linear_decay`: `depth` must be an integer"):
        linear_decay(0.5, depth)  # type: ignore[arg-type]
