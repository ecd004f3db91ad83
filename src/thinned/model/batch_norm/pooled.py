"""Mean and variance of all that a batch normalisation layer has read, as if it had been one batch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..._torch import BatchNorm
from ...nn.names import Module


class Pooled:
    """A layer's statistics over many batches: a hook before its forward takes them, `store` puts them in the layer.

    The sums of squares within the batches and between them are added (Chan, Golub and LeVeque 1979), in float64.
    """

    def __init__(self, name: str, layer: BatchNorm) -> None:
        self.name, self.layer = name, layer
        self.calls, self.count = 0, 0
        self.mean = self.squares = torch.zeros((), dtype=torch.float64, device="cpu")
        assert layer.running_var is not None
        self.before = layer.running_var.clone()

    def __call__(self, layer: Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].detach()
        count = x.numel() // x.shape[1]
        if count < 2:
            raise ValueError(
                f"`recalibrate_batchnorm`: a batch must give {self.name} two values a channel. Got {tuple(x.shape)}. "
                "Leave the last batch out (drop_last=True), or take larger ones."
            )
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        variance, mean = torch.var_mean(x, [0, *range(2, x.ndim)], correction=0)
        if x.device.type == "mps":  # which has no float64
            variance, mean = variance.cpu(), mean.cpu()
        apart = mean.double() - self.mean
        total = self.count + count
        self.mean = self.mean + apart * (count / total)
        self.squares = self.squares + variance.double() * count + apart.square() * (self.count * count / total)
        self.calls, self.count = self.calls + 1, total

    def store(self) -> float:
        """Put them in the layer. The answer is the new variance over the old, a median over channels that vary.

        Raises:
            ValueError: they are not finite.
        """
        variance = self.squares / (self.count - 1)  # unbiased, as the layer itself keeps it
        if not bool((self.mean.isfinite() & variance.isfinite()).all()):
            raise ValueError(
                f"`recalibrate_batchnorm`: what layers read must be finite. Got inf or nan in front of {self.name}. "
                "Look for it in the data and the weights."
            )
        for buffer, value in ((self.layer.running_mean, self.mean), (self.layer.running_var, variance)):
            if buffer is not None:
                buffer.copy_(value)
        if self.layer.num_batches_tracked is not None:
            self.layer.num_batches_tracked.fill_(self.calls)
        # A mean would be that of the few channels with the wildest ratio. Below epsilon the layer sees no variance.
        before = self.before.to(variance)
        alive = torch.maximum(variance, before) > self.layer.eps
        return float((variance / before)[alive].median()) if alive.any() else 1.0
