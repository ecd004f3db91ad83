"""Memory layout decides nothing: a mask depends on logical positions alone, and the output keeps the input's layout."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from thinned.ops import drop, gaussian

IMAGES = torch.linspace(1, 2, 4 * 6 * 8 * 10).reshape(4, 6, 8, 10)
LAYOUTS: dict[str, Tensor] = {
    "contiguous": IMAGES,
    "channels_last": IMAGES.contiguous(memory_format=torch.channels_last),
    "channels_last_3d": IMAGES[None].contiguous(memory_format=torch.channels_last_3d),
    "one channel, channels_last": IMAGES[:, :1].contiguous(memory_format=torch.channels_last),
    "permuted": IMAGES.permute(3, 1, 0, 2),
    "transposed": IMAGES[2, :, :, 5].t(),
    "strided": IMAGES[:, ::2, 1:, ::3],
    "with gaps": IMAGES.flatten().as_strided((3, 4), (1, 20), 7),
    "rows that overlap": IMAGES.flatten().as_strided((5, 6), (3, 1)),
    "expanded": IMAGES[:1, :, :1].expand(4, 6, 8, 10),
    "expanded scalar": IMAGES[0, 0, 0, 0].expand(3, 4),
    "empty": IMAGES[:0].transpose(1, 2),
    "scalar": IMAGES[0, 0, 0, 0],
}
OPERATORS: list[Callable[..., Tensor]] = [drop, gaussian]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shared", [(), (0,)])
def test_layout(operator: Callable[..., Tensor], dtype: torch.dtype, layout: str, shared: tuple[int, ...]) -> None:
    x = LAYOUTS[layout] if dtype == torch.float32 else LAYOUTS[layout].to(dtype)
    shared = shared if x.ndim else ()
    plain = x.contiguous()
    before = x.clone()
    output = operator(x, 0.5, key=5, broadcast_dims=shared)
    assert torch.equal(output, operator(plain, 0.5, key=5, broadcast_dims=shared))
    assert output.stride() == torch.empty_like(x).stride(), "as torch's own pointwise operators"
    assert torch.equal(x, before), "the input is left alone"
    assert output.data_ptr() != x.data_ptr() or not x.numel()
    assert operator(x, 1.0, key=5).stride() == torch.empty_like(x).stride()


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "rows that overlap"])
def test_gradient_meets_the_same_mask_in_another_layout(operator: Callable[..., Tensor], layout: str) -> None:
    x = LAYOUTS[layout].detach().requires_grad_()
    output = operator(x, 0.5, key=5)
    incoming = torch.linspace(-1, 1, x.numel()).reshape(x.shape)
    strange = incoming.flatten().repeat_interleave(2)[::2].reshape(x.shape)  # same values, other strides
    (gradient,) = torch.autograd.grad(output, x, strange)
    assert torch.equal(gradient, operator(incoming, 0.5, key=5))
