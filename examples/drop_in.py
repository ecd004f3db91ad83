"""Swap `torch.nn` for `thinned.nn`: the same layers, and a mask that is a pure function of its key."""

import torch

import thinned.nn as nn

net = torch.nn.Sequential(
    torch.nn.Linear(64, 256),
    torch.nn.ReLU(),
    nn.Dropout(0.3),  # after the activation, before the next layer
    torch.nn.Linear(256, 10),  # never on the output
)
x = torch.randn(8, 64)

torch.manual_seed(0)
first = net(x)
torch.manual_seed(0)
print("one torch seed, one mask:", torch.equal(net(x), first))
print("at inference, nothing:   ", torch.equal(net.eval()(x), net(x)))

image = torch.rand(2, 3, 32, 32)
layer = nn.Dropout(0.3)
mask = layer(image, key=7) != 0
print(
    "one key, one mask in every layout:",
    torch.equal(layer(image.to(memory_format=torch.channels_last), key=7) != 0, mask),
)
print("and in every dtype:               ", torch.equal(layer(image.bfloat16(), key=7) != 0, mask))
