"""A convolutional network for pictures: residual blocks with batch normalisation, and dropout behind the last of them.

Where dropout goes: between the mean over each map and the last layer, as in the heads of EfficientNet and ConvNeXt. A
dropout in front of a batch normalisation makes the variance in training differ from the one at inference, which its
running statistics do not know (Li et al. 2019); behind the last one there is no such shift. And a mask that is shared
by a whole map passes through the mean over this map: so dropout of the means is spatial dropout of the last maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ...nn import Dropout


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut: `relu(shortcut(x) + bn(conv(relu(bn(conv(x))))))`, one stride in both.

    Source: He, Zhang, Ren and Sun 2016.
    """

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential(nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.shortcut(x) + self.norm2(self.conv2(y)))


class ResidualNetwork(nn.Module):
    """A convolution that halves height and width, residual blocks, the mean of each of the last maps, a last Linear.

    Arguments:
        image: height, width and channels of a picture. Rows are flat, channels last.
        channels: maps of each block, such as (16, 32); the first convolution has those of the first.
        outputs: numbers of classes or targets.
        p: the probability that a mean is dropped; p_input: that a value of the picture is.

    >>> network = ResidualNetwork((8, 8, 1), (4, 8), 10, p=0.5)
    >>> network(torch.ones(3, 64)).shape
    torch.Size([3, 10])
    """

    def __init__(
        self, image: tuple[int, int, int], channels: Sequence[int], outputs: int, p: float, p_input: float = 0.0
    ) -> None:
        super().__init__()
        self.image = image
        self.input_dropout = Dropout(p_input)
        self.first = nn.Conv2d(image[2], channels[0], 5, stride=2, padding=2, bias=False)
        self.norm = nn.BatchNorm2d(channels[0])
        blocks = enumerate(pairwise((channels[0], *channels)))
        self.blocks = nn.Sequential(*(ResidualBlock(a, b, stride=2 if block else 1) for block, (a, b) in blocks))
        self.dropout = Dropout(p)
        self.linear = nn.Linear(channels[-1], outputs)

    def features(self, x: Tensor) -> Tensor:
        """What the dropout is given: the mean of each of the last maps, `(B, channels)`."""
        height, width, channels = self.image
        maps = self.input_dropout(x).view(-1, height, width, channels).permute(0, 3, 1, 2)
        maps = torch.relu(self.norm(self.first(maps.contiguous())))
        means: Tensor = self.blocks(maps).mean((2, 3))
        return means

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.linear(self.dropout(self.features(x)))
        return output
