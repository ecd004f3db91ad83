"""What others get wrong about memory: a mask read off the output, strides, writing in place, what is kept."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from tests.regressions.example import build, field, run, sample
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from thinned.nn.variants import Variant


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_a_zero_that_is_kept_has_a_gradient(keyed: Variant, dtype: torch.dtype) -> None:
    """candle, kaldi: the backward pass takes for dropped what is zero in the output, so a kept zero learns nothing.

    Zeros of both signs, and what the layer itself puts in place of a dropped unit.
    """
    x = field(keyed, 300, dtype)
    layer = keyed.module(p=0.5)
    incoming = torch.linspace(1, 2, x.numel()).reshape(x.shape).to(dtype)
    expected = gradient_of(layer, x, incoming)
    assert expected.any()
    fill = layer(x * math.nan, key=3)
    like_dropped = torch.where(fill.isnan(), 0, fill).abs().max() * -torch.ones_like(x)
    assert torch.equal(gradient_of(layer, torch.zeros_like(x), incoming), expected)
    assert torch.equal(gradient_of(layer, -torch.zeros_like(x), incoming), expected)
    assert torch.equal(gradient_of(layer, like_dropped, incoming), expected)


@pytest.mark.having("inplace")
def test_a_zero_that_is_kept_has_a_gradient_in_place_too(keyed: Variant) -> None:
    """candle, kaldi: as above; in place, the output is all that is left to read a mask from."""
    x = field(keyed, 300)
    incoming = torch.linspace(1, 2, x.numel()).reshape(x.shape)
    expected = gradient_of(keyed.module(p=0.5), x, incoming)
    layer = keyed.module(p=0.5, inplace=True)
    assert torch.equal(gradient_of(lambda x, key: layer(x * 1 - x.detach(), key=key), x, incoming), expected)


def gradient_of(layer: Callable[..., Tensor], x: Tensor, incoming: Tensor) -> Tensor:
    leaf = x.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(layer(leaf, key=3), leaf, incoming)
    return gradient


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "every axis order reversed": lambda x: (
        x.permute(*reversed(range(x.ndim))).contiguous().permute(*reversed(range(x.ndim)))
    ),
    "first two axes swapped": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "channels last": lambda x: x.movedim(1, -1).contiguous().movedim(-1, 1),
    "every second of the last axis": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "every second of the first axis": lambda x: x.repeat_interleave(2, 0)[1::2],
    "a window of a larger tensor": lambda x: torch.nn.functional.pad(x, (3, 5))[..., 3:-5],
    "an address of its own": lambda x: torch.cat((x.new_zeros(1), x.flatten()))[1:].view(x.shape),
}


@pytest.mark.parametrize("size", ["odd", "long"])
@pytest.mark.parametrize("view", VIEWS)
def test_strides_do_not_change_a_mask(keyed: Variant, view: str, size: str) -> None:
    """torch 2.13: one seed has other masks for NCHW and channels_last; flash-attention 4: rows and columns swapped in
    the backward pass. Forward, backward and a gradient of yet other strides; sizes that leave a rest in each axis, and
    rows that a kernel may cut into tiles."""
    axes = len(keyed.layout.split())
    sizes = [9, 13, 7, 5, 3][:axes] if size == "odd" else [*[20, 3, 2, 2][: axes - 1], 256]
    plain = torch.linspace(1, 2, math.prod(sizes)).reshape(sizes)
    strange = VIEWS[view](plain)
    assert torch.equal(strange, plain)
    layer = keyed.module(p=0.4)
    expected = layer(plain, key=3)
    leaf = strange.detach().requires_grad_()
    y = layer(leaf, key=3)
    assert torch.equal(y, expected)
    expected = gradient_of(layer, plain, plain)
    torch.testing.assert_close(expected, layer(plain, key=3) - layer(torch.zeros_like(plain), key=3))
    for other in VIEWS.values():
        (gradient,) = torch.autograd.grad(y, leaf, other(plain), retain_graph=True)
        assert torch.equal(gradient, expected)


def test_values_that_share_memory_are_dropped_one_by_one(keyed: Variant) -> None:
    """torch 2.13 draws in memory order; here expanded and overlapping inputs have a draw for each unit all the same."""
    sizes = [9, 13, 7, 5, 3][: len(keyed.layout.split())]
    layer = keyed.module(p=0.4)
    memory = torch.linspace(1, 2, 64)
    for strides in ([0] * len(sizes), [0, 1, 2, 3, 4][: len(sizes)], [1] * len(sizes)):
        x = memory.as_strided(sizes, strides)
        assert torch.equal(layer(x, key=3), layer(x.contiguous(), key=3))


@pytest.mark.parametrize("inplace", [True, False])
@pytest.mark.having("inplace")
def test_what_is_kept_does_not_grow_with_the_input(keyed: Variant, inplace: bool) -> None:
    """torch 2.13: noise of the full size and dtype is kept, on CUDA with inplace=True too: 4 bytes a unit. Ours: 0."""

    def kept(draws: int) -> int:
        saved: list[Tensor] = []

        def pack(tensor: Tensor) -> Tensor:
            saved.append(tensor)
            return tensor

        x = field(keyed, draws).requires_grad_() * 1
        with saved_tensors_hooks(pack, lambda tensor: tensor):
            y = keyed.module(p=0.5, inplace=inplace)(x)
        assert (y is x) == inplace
        assert y.requires_grad
        return sum(tensor.untyped_storage().nbytes() for tensor in saved)

    assert kept(30) == kept(3000) <= 64, "a key, and at most the numbers that p stands for"


@pytest.mark.having("inplace")
def test_in_place_on_a_view_changes_the_view_alone(keyed: Variant) -> None:
    """paddle 3.3: dropout1d ignores inplace, with a warning, and along an axis it is not implemented.

    Here every variant that has the argument writes to a view and to no more of its base, and its gradient is that map.
    """
    base = torch.linspace(1, 2, math.prod([9, 13, 7, 5, 3])).reshape(9, 13, 7, 5, 3)
    rest: list[slice | int] = [slice(None)] * (len(keyed.layout.split()) - 2)
    view = (slice(None), slice(2, 11), *rest, *[0] * (3 - len(rest)))
    layer = keyed.module(p=0.5, inplace=True)
    leaf = base.clone().requires_grad_()
    whole = leaf * 1
    part = whole[view]
    assert layer(part, key=3) is part
    expected = base.clone()
    expected[view] = keyed.module(p=0.5)(base[view], key=3)
    assert torch.equal(whole, expected)
    (gradient,) = torch.autograd.grad(whole, leaf, base)
    expected = base.clone()
    expected[view] = gradient_of(keyed.module(p=0.5), base[view], base[view])
    assert torch.equal(gradient, expected)


@pytest.mark.having("inplace")
def test_in_place_on_shared_memory_is_refused(keyed: Variant) -> None:
    """concretedropout 0.2 writes in place into whatever it is given. Here: torch's error, and nothing written."""
    x = torch.ones(1).expand([4] * len(keyed.layout.split()))
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        keyed.module(p=0.5, inplace=True)(x, key=3)
    assert torch.equal(x, torch.ones_like(x))


@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.having("inplace")
def test_in_place_on_what_autograd_needs_is_noticed(keyed: Variant, detached: bool) -> None:
    """concretedropout 0.2 fails in the backward pass of exp(), which needs its result. So must every writer in place,
    or the gradient is a wrong one in silence: whether it is recorded, or writes to the same memory unrecorded."""
    leaf = field(keyed, 300).requires_grad_()
    needed = leaf.exp()
    keyed.module(p=0.5, inplace=True)(needed.detach() if detached else needed)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        needed.sum().backward()


def test_a_layer_writes_to_nothing_it_is_given(variant: Variant) -> None:
    """concretedropout 0.2: x *= mask on its input, an error on a leaf and after exp(), whose result autograd needs."""
    module, leaf = build(variant, 0.5), sample(variant).requires_grad_()
    before, weights = leaf.detach().clone(), [parameter.detach().clone() for parameter in module.parameters()]
    needed = leaf.exp()
    run(module, needed).sum().backward()
    assert torch.equal(needed, before.exp())
    assert torch.equal(leaf, before)
    assert all(torch.equal(*pair) for pair in zip(module.parameters(), weights, strict=True))


@pytest.mark.parametrize("p", [0.5, 1.0])
def test_an_axis_without_elements(keyed: Variant, p: float) -> None:
    """torch 2.13 gives the input itself, as if nothing were asked; ours has its shape and a backward pass."""
    axes = len(keyed.layout.split())
    for empty in range(axes):
        x = torch.ones([0 if axis == empty else 4 for axis in range(axes)], requires_grad=True)
        y = keyed.module(p=p)(x)
        y.sum().backward()
        assert y.shape == x.shape
        assert x.grad is not None
        assert x.grad.shape == x.shape


ZERO_DIM = {
    "Dropout1d": "Expected 2D or 3D input, but received a 0D input",
    "Dropout2d": "Feature dropout needs a channel axis. Got a 0-D input",
    "Dropout3d": "Feature dropout needs a channel axis. Got a 0-D input",
    "FeatureAlphaDropout": "requires at least 2 dimensions in the input. Got 0",
    "LockedDropout": r"must be \(T, B, C\), \(B, T, C\) or \(T, C\)\. Got \(\)",
    "StochasticDepth": "must have a batch axis in row mode. Got a 0-dim tensor",
}


@pytest.mark.filterwarnings("ignore:dropout.d. Received a 0-D input:UserWarning")
@pytest.mark.parametrize("training", [True, False])
def test_a_number_is_thinned_or_refused_by_name(keyed: Variant, training: bool) -> None:
    """timm 1.0, torchvision 0.28, mmcv: a 0-dim input is "tuple index out of range", where an identity would do too."""
    x = torch.tensor(1.0)
    for p in (0.0, 0.5, 1.0):
        layer = keyed.module(p=p).train(training)
        if p == 0 or not training:
            assert layer(x) is x
        elif keyed.name in ZERO_DIM:
            with pytest.raises((RuntimeError, ValueError), match=ZERO_DIM[keyed.name]):
                layer(x)
        else:
            assert layer(x).ndim == 0
