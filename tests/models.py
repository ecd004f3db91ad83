"""The small models that tools are tried on: one list, of which a property picks its rows by their traits.

    @pytest.mark.parametrize("name", having("bare"))
    def test_a_property(name: str) -> None:
        model, x = made(name)

A row has every form once that people write dropout in, or that a network has where dropout may go. Architectures as
they are published, with their hundreds of layers, are in tests/zoo.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from tests.run import Run
from tests.zoo.imports import prepare
from torch import Tensor, nn

import thinned.nn

Trait = Literal[
    "bare",  # without dropout: for `plan` and `apply`
    "noisy",  # draws in training, each row in one way, which `predict` must find
    "loop",  # `predict` runs its samples one by one
    "its device",  # what it draws is on the device of its input
    "places",  # a model for every tool: inspect, check, rates, schedules, networks
    "rates",  # its rates can be set
    "convertible",  # `convert` finds what it has layers for
    "library",  # torchvision, timm or transformers built it
]


class Model(NamedTuple):
    """`build()` makes the network, `example(rows)` a batch of inputs."""

    build: Callable[[], nn.Module]
    example: Callable[[int], Tensor]
    traits: frozenset[Trait]
    rows: int


def having(*traits: Trait) -> list[Any]:
    """The models with all these traits, by name, as pytest's parameters."""
    return named(*(name for name, model in MODELS.items() if model.traits.issuperset(traits)))


def named(*names: str) -> list[Any]:
    """Models as pytest's parameters: those of a library are in the zoo's tier."""
    return [pytest.param(name, marks=[pytest.mark.zoo] if "library" in MODELS[name].traits else []) for name in names]


def made(name: str, rows: int | None = None) -> tuple[nn.Module, Tensor]:
    """A model and its input, the same at every call."""
    model = MODELS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return model.build(), model.example(rows or model.rows)


def output(result: Any) -> Tensor:
    """The tensor that a network answers with."""
    result = getattr(result, "logits", result)
    tensor: Tensor = result["logits"] if isinstance(result, dict) else result
    return tensor


def numbers(*row: int) -> Callable[[int], Tensor]:
    """Normal numbers in rows of this shape."""
    return lambda rows: torch.randn(rows, *row)


def tokens(length: int, vocabulary: int, first: int = 0) -> Callable[[int], Tensor]:
    """Sequences of token numbers, from `first` on."""
    return lambda rows: torch.randint(first, vocabulary, (rows, length))


# Networks without dropout, in the styles that people write them.


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


# Networks with dropout of torch's, or written by hand.


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.drop = nn.Linear(6, 20), nn.Linear(20, 6), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.drop(self.first(x).relu())
        result: Tensor = x + self.second(F.dropout(hidden, 0.2, self.training))
        return result


class LanguageModel(nn.Module):
    """Embedding, a recurrent network and a head, as everybody's first one."""

    def __init__(self, kind: Any = nn.LSTM) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.dropout = nn.Dropout(0.2)
        self.rnn = kind(6, 8, num_layers=2, batch_first=True, dropout=0.3)
        self.head = nn.Linear(8, 11)

    def forward(self, tokens: Tensor) -> Tensor:
        output, _ = self.rnn(self.dropout(self.embedding(tokens)))
        logits: Tensor = self.head(self.dropout(output))
        return logits


def mlp() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(6, 40), nn.BatchNorm1d(40), nn.GELU(), nn.Dropout(0.5), nn.Linear(40, 30), nn.Sigmoid(),
        nn.Dropout(0.3), nn.Linear(30, 3),
    )  # fmt: skip


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 20, 3), nn.BatchNorm2d(20), nn.ReLU(), nn.Dropout2d(0.4), nn.MaxPool2d(2), nn.Conv2d(20, 16, 3),
        nn.ReLU(), nn.Dropout2d(0.4), nn.Flatten(), nn.Linear(16 * 9, 4),
    )  # fmt: skip


def normed() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.3), nn.Flatten(), nn.Linear(128, 16),
        nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3),
    )  # fmt: skip


def linear(*middle: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), *middle, nn.Linear(16, 2))


def transformer() -> nn.Sequential:
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.4, batch_first=True)
    return nn.Sequential(nn.Linear(8, 16), nn.TransformerEncoder(layer, 2), nn.Linear(16, 3))


def encoder_layer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.2, batch_first=True)
    layer.self_attn.dropout = 0.0  # it is a call's argument, and `convert` leaves it torch's noise
    return layer


def attention(m: Any, x: Tensor, p: float) -> Tensor:
    q: Tensor = m.inner(x)
    return F.scaled_dot_product_attention(q, q, x, dropout_p=p)


def layer_dropped(m: Any, x: Tensor) -> Tensor:
    for layer in m.layers:
        if not (m.training and torch.rand([]) < 0.5):
            x = x + layer(x)
    return x


def path_dropped(m: Any, x: Tensor) -> Tensor:
    """DropPath as timm has it."""
    kept = x.new_empty(x.shape[0], *(1,) * (x.ndim - 1)).bernoulli_(0.6).div_(0.6)
    branch: Tensor = m.inner(x)
    return x + branch * kept if m.training else x + branch


def hand(m: Any, x: Tensor) -> Tensor:
    y: Tensor = m.inner(x)
    return y * (torch.rand_like(x) < 0.7) if m.training else y


def recurrent(kind: Any, layers: int, **settings: Any) -> nn.Module:
    module = kind(6, 7, layers, dropout=0.4, batch_first=True, **settings)
    return Run(lambda m, x: m.recurrent(x)[0], recurrent=module)


# Small ones of the libraries, by name.


def of_torchvision(name: str, **settings: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        prepare()
        import torchvision

        model: nn.Module = getattr(torchvision.models, name)(**settings)
        return model

    return build


def of_timm(name: str, **settings: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        prepare()
        import timm

        model: nn.Module = timm.create_model(name, **settings)
        return model

    return build


def of_transformers(family: str, purpose: str, **settings: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        prepare()
        import transformers

        configuration = getattr(transformers, f"{family}Config")(**settings)
        model: nn.Module = getattr(transformers, f"{family}For{purpose}")(configuration)
        return model

    return build


VIT = "vit_tiny_patch16_224"
THIN = {"embed_dim": 24, "num_heads": 2}
BERT = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
SWIN = {"image_size": 16, "patch_size": 2, "embed_dim": 8, "depths": [1, 2], "num_heads": [2, 2], "window_size": 4}


def _row(build: Callable[[], nn.Module], example: Callable[[int], Tensor], *traits: Trait, rows: int = 8) -> Model:
    return Model(build, example, frozenset(traits), rows)


def _noisy(build: Callable[[], nn.Module], example: Callable[[int], Tensor], *traits: Trait) -> Model:
    return _row(build, example, "noisy", "its device", *traits)


def _run(function: Callable[[Any, Tensor], Tensor], **children: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: Run(function, **{name: child() for name, child in children.items()})


ROW, STEPS, MAP, IDS = numbers(6), numbers(5, 6), numbers(6, 4, 4), tokens(12, 50, first=5)
INNER: Callable[[], nn.Module] = lambda: nn.Linear(6, 16)  # noqa: E731

MODELS: dict[str, Model] = {
    # To plan for.
    "perceptron": _row(perceptron, numbers(64), "bare", rows=32),
    "functional cnn": _row(FunctionalCNN, numbers(3, 32, 32), "bare", rows=16),
    "selu": _row(selu, numbers(3, 16), "bare", rows=16),
    "tagger": _row(Tagger, IDS, "bare", rows=16),
    "encoder": _row(Encoder, IDS, "bare", rows=16),
    "by hand": _row(ByHand, numbers(64), "bare", rows=64),
    "decoder": _row(Decoder, IDS, "bare", rows=16),
    "own children": _row(OwnChildren, numbers(16), "bare", rows=32),
    "torchvision resnet18": _row(of_torchvision("resnet18", num_classes=10), numbers(3, 32, 32), "bare", "library"),
    "torchvision alexnet": _row(
        of_torchvision("alexnet", num_classes=10), numbers(3, 64, 64), "bare", "library", rows=4
    ),
    "timm vit": _row(of_timm(VIT, img_size=32, depth=2, num_classes=10), numbers(3, 32, 32), "bare", "library", rows=4),
    "transformers bert": _row(
        of_transformers(
            "Bert", "SequenceClassification", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **BERT
        ),
        IDS,
        "bare",
        "library",
        rows=16,
    ),
    # For every tool.
    "MLP": _row(mlp, ROW, "places", "rates"),
    "CNN": _row(cnn, numbers(3, 12, 12), "places", "rates"),
    "functional": _row(Mixed, ROW, "places", "rates"),
    "transformer layer": _row(
        lambda: nn.TransformerEncoderLayer(8, 2, 16, 0.3, batch_first=True), numbers(5, 8), "places", "rates"
    ),
    "a mask by hand": _row(_run(hand, inner=lambda: nn.Linear(6, 6)), ROW, "places"),
    "thinned": _row(
        lambda: nn.Sequential(nn.Linear(6, 9), thinned.nn.GaussianDropout(0.2), thinned.nn.AlphaDropout(0.3)),
        ROW,
        "places",
        "rates",
    ),
    "transformer": _row(transformer, numbers(5, 8)),
    # With layers that ours can stand for.
    "encoder layer": _row(encoder_layer, numbers(5, 16), "convertible", rows=4),
    "language model": _row(LanguageModel, tokens(7, 11), "convertible", rows=4),
    "timm vit with dropout": _row(
        of_timm(
            VIT, img_size=32, depth=3, num_classes=5, drop_rate=0.1, proj_drop_rate=0.2, drop_path_rate=0.3, **THIN
        ),
        numbers(3, 32, 32),
        "convertible",
        "library",
    ),
    "timm convnext": _row(
        of_timm(
            "convnext_atto", depths=(1, 1, 2, 1), dims=(8, 16, 24, 32), num_classes=5, drop_rate=0.2, drop_path_rate=0.4
        ),
        numbers(3, 32, 32),
        "convertible",
        "library",
    ),
    "torchvision efficientnet": _row(
        of_torchvision("efficientnet_b0", num_classes=5, stochastic_depth_prob=0.4),
        numbers(3, 32, 32),
        "convertible",
        "library",
        rows=4,
    ),
    # Each file of transformers has a DropPath class of its own: here one for branches of tokens and one for maps.
    "transformers swin": _row(
        of_transformers("Swin", "ImageClassification", drop_path_rate=0.4, hidden_dropout_prob=0.2, **SWIN),
        numbers(3, 16, 16),
        "convertible",
        "library",
    ),
    "transformers convnext": _row(
        of_transformers(
            "ConvNext", "ImageClassification", hidden_sizes=[8, 16], depths=[1, 2], num_stages=2, drop_path_rate=0.4
        ),
        numbers(3, 32, 32),
        "convertible",
        "library",
    ),
    # Of every kind of noise.
    "Dropout": _noisy(lambda: linear(nn.Dropout(0.4)), ROW),
    "in place": _noisy(lambda: linear(nn.Dropout(0.4, inplace=True)), ROW),
    "AlphaDropout": _noisy(lambda: linear(nn.AlphaDropout(0.4)), ROW),
    "Dropout2d": _noisy(lambda: nn.Sequential(nn.Conv2d(6, 8, 3), nn.Dropout2d(0.4), nn.Flatten()), MAP),
    "Dropout1d": _noisy(lambda: nn.Sequential(nn.Conv1d(5, 8, 3), nn.Dropout1d(0.4), nn.Flatten()), STEPS),
    "F.dropout": _noisy(_run(lambda m, x: F.dropout(m.inner(x), 0.4, m.training), inner=INNER), ROW),
    "torch.dropout": _noisy(_run(lambda m, x: torch.dropout(m.inner(x), 0.4, m.training), inner=INNER), ROW),
    "only when training": _noisy(
        _run(lambda m, x: F.dropout(m.inner(x), 0.4) if m.training else m.inner(x), inner=INNER), ROW
    ),
    "attention": _noisy(
        _run(lambda m, x: attention(m, x, 0.4 if m.training else 0.0), inner=lambda: nn.Linear(6, 6)), STEPS
    ),
    "MultiheadAttention": _noisy(
        _run(
            lambda m, x: m.attend(x, x, x)[0],
            attend=lambda: nn.MultiheadAttention(6, 2, dropout=0.4, batch_first=True),
        ),
        STEPS,
    ),
    "TransformerEncoder": _noisy(
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(6, 2, 12, 0.3, batch_first=True), 2, enable_nested_tensor=False
        ),
        STEPS,
    ),
    "LSTM": _noisy(lambda: recurrent(nn.LSTM, 2), STEPS, "loop", "places", "rates"),
    "GRU, bidirectional": _noisy(lambda: recurrent(nn.GRU, 3, bidirectional=True), STEPS, "loop"),
    "time first": _noisy(_run(lambda m, x: F.dropout(m.inner(x.transpose(0, 1)), 0.4).sum(0), inner=INNER), STEPS),
    "rows and steps on one axis": _noisy(_run(lambda m, x: F.dropout(x.flatten(0, 1), 0.4).view(x.shape)), STEPS),
    "steps and rows on one axis": _noisy(
        _run(lambda m, x: F.dropout(x.transpose(0, 1).reshape(-1, 6), 0.4).view(5, -1, 6).transpose(0, 1)), STEPS
    ),
    "rand > p": _row(_run(lambda m, x: x * (torch.rand(x.shape[0], 6) > 0.4) / 0.6 if m.training else x), ROW, "noisy"),
    "rand_like < p": _noisy(_run(lambda m, x: x * (torch.rand_like(x) < 0.6) / 0.6 if m.training else x), ROW),
    "rand < p, a draw a row": _noisy(
        _run(lambda m, x: x * (torch.rand(len(x), 1, device=x.device) < 0.6) if m.training else x), ROW
    ),
    "bernoulli_": _noisy(
        _run(lambda m, x: x * x.new_empty(x.shape[0], 1).bernoulli_(0.5).div_(0.5) if m.training else x), ROW
    ),
    "torch.bernoulli": _noisy(
        _run(lambda m, x: x * torch.bernoulli(torch.full_like(x, 0.5)) if m.training else x), ROW
    ),
    "normal noise": _noisy(_run(lambda m, x: x + torch.randn_like(x) if m.training else x), ROW),
    "DropPath": _noisy(_run(path_dropped, inner=lambda: nn.Linear(6, 6)), STEPS),
    "LayerDrop": _noisy(
        _run(layer_dropped, layers=lambda: nn.ModuleList([nn.Linear(6, 6) for _ in range(4)])), ROW, "loop"
    ),
    "batch normalisation": _noisy(normed, numbers(3, 6, 6)),
    "thinned Dropout": _noisy(lambda: linear(thinned.nn.Dropout(0.4)), ROW),
    "thinned Dropout, classic": _noisy(lambda: linear(thinned.nn.Dropout(0.4, scaling="classic")), ROW),
    "thinned GaussianDropout": _noisy(lambda: linear(thinned.nn.GaussianDropout(0.4)), ROW),
    "thinned LockedDropout": _noisy(
        _run(lambda m, x: m.drop(x), drop=lambda: thinned.nn.LockedDropout(0.4, batch_first=True)), STEPS
    ),
    "thinned StochasticDepth": _noisy(lambda: linear(thinned.nn.StochasticDepth(0.4)), ROW),
    "thinned DropConnect": _noisy(
        lambda: nn.Sequential(thinned.nn.drop_connect(nn.Linear(6, 16), "weight", 0.4), nn.Linear(16, 2)), ROW
    ),
}
