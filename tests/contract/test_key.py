"""The noise is a pure function of (key, position): one key, one mask, whatever else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

import thinned.nn
from thinned import noise
from thinned.nn.variants import Variant


def axes(variant: Variant) -> list[int]:
    return [12, 10, 8, 6, 4][: len(variant.layout.split())]


def shared_dims(variant: Variant) -> list[int]:
    """The table's `shared` axes as dimensions of its `layout`."""
    layout = variant.layout.split()
    return [layout.index(axis) for axis in variant.shared.split() if axis in layout]


@pytest.mark.dropping
def test_the_mask_is_the_oracle_s_on_the_axes_the_table_names(keyed: Variant) -> None:
    x = torch.rand(axes(keyed), generator=torch.Generator().manual_seed(1)) + 1
    y = keyed.module(p=0.3)(x, key=99)
    fill = keyed.module(p=0.3)(torch.full_like(x, float("nan")), key=99).nan_to_num(nan=0.0).unique()
    kept = torch.from_numpy(noise.bernoulli(99, 0.3, x.shape, broadcast_dims=shared_dims(keyed)))
    dropped_value = fill[fill != 0] if (fill != 0).any() else fill
    assert torch.equal(y == dropped_value, ~kept)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_dtype_and_layout_has_the_same_mask(keyed: Variant, dtype: torch.dtype) -> None:
    x = torch.rand(axes(keyed), generator=torch.Generator().manual_seed(1)) + 1
    layer = keyed.module(p=0.4)
    reference = layer(x, key=5)
    rounded = x.to(dtype)
    y = layer(rounded, key=5)
    assert y.dtype == dtype
    # Half precision is the float32 result rounded once; float64 differs from it by float32's own rounding.
    if dtype == torch.float64:
        torch.testing.assert_close(y.float(), reference)
    else:
        assert torch.equal(y, layer(rounded.float(), key=5).to(dtype))
    order = list(reversed(range(x.ndim)))
    strided = x.permute(order).contiguous().permute(order)
    assert not strided.is_contiguous()
    out = layer(strided, key=5)
    assert out.stride() == strided.stride()
    assert torch.equal(out, reference)


def test_torch_seeds_mean_what_they_mean_for_torch(keyed: Variant) -> None:
    x = torch.ones(axes(keyed))
    layer = keyed.module(p=0.5)
    torch.manual_seed(3)
    first, second = layer(x), layer(x)
    torch.manual_seed(3)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)
    ours = torch.Generator().manual_seed(3)
    before = torch.get_rng_state()
    assert torch.equal(layer(x, generator=ours), first)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_sees_the_same_mask_twice(keyed: Variant, reentrant: bool) -> None:
    layer = keyed.module(p=0.5)
    x = torch.randn(axes(keyed), generator=torch.Generator().manual_seed(2), requires_grad=True)
    torch.manual_seed(4)
    (direct,) = torch.autograd.grad(layer(x).square().sum(), x)
    torch.manual_seed(4)
    checkpoint(layer, x, use_reentrant=reentrant).square().sum().backward()
    assert x.grad is not None
    assert torch.equal(direct, x.grad)


def test_vmap_randomness_means_what_it_means_for_torch(keyed: Variant) -> None:
    layer = keyed.module(p=0.5)
    x = torch.ones([7, *axes(keyed)])
    same = torch.vmap(layer, randomness="same")(x)
    assert all(torch.equal(row, same[0]) for row in same)
    different = torch.vmap(layer, randomness="different")(x)
    assert all(not torch.equal(a, b) for i, a in enumerate(different) for b in different[:i])
    with pytest.raises(RuntimeError, match="randomness"):
        torch.vmap(layer)(x)


def test_only_the_key_and_the_law_are_kept_for_the_backward_pass(keyed: Variant) -> None:
    saved: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor)
        return tensor

    x = torch.randn([40, *axes(keyed)[1:]], requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        keyed.module(p=0.5)(x)
    assert sum(tensor.nbytes for tensor in saved) <= 40  # none with the compiled kernel, which keeps plain numbers


@pytest.mark.dropping
def test_one_key_at_two_rates_gives_nested_masks(keyed: Variant) -> None:
    x = torch.full(axes(keyed), float("nan"))
    light, heavy = (keyed.module(p=p)(x, key=11).isnan() for p in (0.2, 0.6))
    assert (light | ~heavy).all()
    assert (light & ~heavy).any()


def test_the_backward_pass_is_the_same_map_on_the_gradient(keyed: Variant) -> None:
    x = torch.randn(axes(keyed), dtype=torch.float64, generator=torch.Generator().manual_seed(6), requires_grad=True)
    layer = keyed.module(p=0.3)
    assert torch.autograd.gradcheck(lambda x: layer(x, key=8), (x,), check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: layer(x, key=8), (x,), fast_mode=True)


@pytest.mark.having("scaling")
def test_changing_the_scale_does_not_change_the_mask(keyed: Variant) -> None:
    x = torch.ones(axes(keyed))
    inverted = keyed.module(p=0.3)(x, key=2)
    classic = keyed.module(p=0.3, scaling="classic")(x, key=2)
    torch.testing.assert_close(inverted, classic * float(np.float32(noise.scale(0.3))), rtol=0, atol=0)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_keras_s_spatial_dropout_is_a_locked_one(axes: int) -> None:
    """Keras has channels last: docs/reference/nn.md names the layer for each of its three classes."""
    x = torch.rand(5, *[4, 3, 2][:axes], 6) + 1
    shared = tuple(range(1, axes + 1))
    y = thinned.nn.Dropout(0.5, broadcast_dims=shared)(x, key=3)
    kept = (y != 0).flatten(1, -2)
    assert torch.equal(kept.all(1), kept.any(1))
    assert 0 < kept.double().mean() < 1
    if axes == 1:
        assert torch.equal(y, thinned.nn.LockedDropout(0.5, batch_first=True)(x, key=3))
        steps = thinned.nn.SpatialDropout1d(0.5)(x, key=3) != 0
        assert torch.equal(steps.all(2), steps.any(2))
