"""Networks to plan for: small, without dropout, in the styles that people write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from tests.zoo.imports import prepare
from torch import Tensor, nn


class FunctionalCNN(nn.Module):
    """Activations and pooling as functions; one batch normalisation before the activation, one behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32)
        self.conv2, self.norm2 = nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64)
        self.hidden, self.last = nn.Linear(64 * 36, 256), nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.norm1(self.conv1(x))), 2)
        x = F.max_pool2d(self.norm2(F.relu(self.conv2(x))), 2)
        output: Tensor = self.last(F.relu(self.hidden(x.flatten(1))))
        return output


class Tagger(nn.Module):
    """Two recurrent modules, the first with two layers inside."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.lower = nn.LSTM(16, 32, num_layers=2, bidirectional=True, batch_first=True)
        self.upper = nn.GRU(64, 32, batch_first=True)
        self.tags = nn.Linear(32, 9)

    def forward(self, ids: Tensor) -> Tensor:
        output: Tensor = self.tags(self.upper(self.lower(self.embed(ids))[0])[0])
        return output


class Encoder(nn.Module):
    """torch's own transformer, its dropout at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 9)

    def forward(self, ids: Tensor) -> Tensor:
        output: Tensor = self.head(self.encoder(self.embed(ids)).mean(1))
        return output


class ByHand(nn.Module):
    """No submodules at all, a branch taken by a flag, and a dictionary as output."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Parameter(torch.randn(512, 64) * 0.1)
        self.outer = nn.Parameter(torch.randn(64, 512) * 0.05)
        self.last = nn.Parameter(torch.randn(10, 64) * 0.1)

    def forward(self, x: Tensor, *, deep: bool = False) -> dict[str, Tensor]:
        for _ in range(1 + deep):
            x = x + torch.tanh(F.linear(F.relu(F.linear(x, self.inner)), self.outer))
        return {"logits": F.linear(x, self.last), "features": x}


class Decoder(nn.Module):
    """A transformer's block as in a tutorial: fused attention without an argument for p."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 32)
        self.qkv, self.proj = nn.Linear(32, 96), nn.Linear(32, 32)
        self.up, self.down = nn.Linear(32, 128), nn.Linear(128, 32)
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        q, k, v = self.qkv(self.norm1(x)).view(*ids.shape, 3, 4, 8).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        x = x + self.down(F.gelu(self.up(self.norm2(x))))
        output: Tensor = x @ self.embed.weight.T
        return output


class OwnChildren(nn.Module):
    """Runs over its own children, as many do: one more child would run too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(16, 64), nn.Linear(64, 64), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        for number, child in enumerate(self.children()):
            x = child(x if number == 0 else F.relu(x))
        return x


def perceptron() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 64), nn.Tanh(), nn.Linear(64, 10))


def selu() -> nn.Sequential:
    convolutions = nn.Conv1d(3, 32, 3), nn.SELU(), nn.Conv1d(32, 32, 3), nn.SELU()
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(32 * 12, 64), nn.SELU(), nn.Linear(64, 2))


def resnet() -> nn.Module:
    prepare()
    import torchvision

    model: nn.Module = torchvision.models.resnet18(num_classes=10)
    return model


def alexnet() -> nn.Module:
    prepare()
    import torchvision

    model: nn.Module = torchvision.models.alexnet(num_classes=10)
    return model


def vit() -> nn.Module:
    prepare()
    import timm

    model: nn.Module = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=10)
    return model


def bert() -> nn.Module:
    prepare()
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertForSequenceClassification(config)


def _ids() -> Tensor:
    return torch.randint(5, 50, (16, 12))


Build = Callable[[], nn.Module]
NETWORKS: dict[str, tuple[Build, Callable[[], Tensor]]] = {
    "perceptron": (perceptron, lambda: torch.randn(32, 64)),
    "functional cnn": (FunctionalCNN, lambda: torch.randn(16, 3, 32, 32)),
    "selu": (selu, lambda: torch.randn(16, 3, 16)),
    "tagger": (Tagger, _ids),
    "encoder": (Encoder, _ids),
    "by hand": (ByHand, lambda: torch.randn(64, 64)),
    "decoder": (Decoder, _ids),
    "own children": (OwnChildren, lambda: torch.randn(32, 16)),
    "torchvision resnet18": (resnet, lambda: torch.randn(8, 3, 32, 32)),
    "torchvision alexnet": (alexnet, lambda: torch.randn(4, 3, 64, 64)),
    "timm vit": (vit, lambda: torch.randn(4, 3, 32, 32)),
    "transformers bert": (bert, _ids),
}


def made(name: str) -> tuple[nn.Module, Tensor]:
    """A network and its input, the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        build, example = NETWORKS[name]
        return build(), example()


def output(result: Any) -> Tensor:
    """The tensor that a network answers with."""
    tensor: Tensor = result["logits"] if isinstance(result, dict) else result
    return tensor
