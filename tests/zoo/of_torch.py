"""Plain torch: its own transformers, and networks of papers and tutorials as their authors wrote them, made small."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from tests.zoo.architecture import Architecture, images, tokens
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

VOCABULARY = 50


class Classifier(nn.Module):
    """torch's encoder behind token embeddings, one answer a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(32, 3)

    def forward(self, ids: Tensor) -> Tensor:
        output: Tensor = self.head(self.encoder(self.embedding(ids)).mean(1))
        return output


class Tagger(nn.Module):
    """A two-layer bidirectional LSTM over words, one answer a word."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 16)
        self.dropout = nn.Dropout(0.5)
        self.lstm = nn.LSTM(16, 16, num_layers=2, dropout=0.3, bidirectional=True, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, ids: Tensor) -> Tensor:
        hidden, _ = self.lstm(self.dropout(self.embedding(ids)))
        output: Tensor = self.head(self.dropout(hidden))
        return output


class WordLanguageModel(nn.Module):
    """The recurrent model of torch's own examples: one dropout at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.2)
        self.encoder = nn.Embedding(VOCABULARY, 16)
        self.rnn = nn.GRU(16, 16, 2, dropout=0.2)
        self.decoder = nn.Linear(16, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        hidden, _ = self.rnn(self.drop(self.encoder(ids)))
        return F.log_softmax(self.decoder(self.drop(hidden)).view(-1, VOCABULARY), dim=1)


class Digits(nn.Module):
    """The MNIST network of torch's own examples."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = torch.flatten(self.dropout1(F.max_pool2d(x, 2)), 1)
        return F.log_softmax(self.fc2(self.dropout2(F.relu(self.fc1(x)))), dim=1)


class Variational(nn.Module):
    """The variational autoencoder of torch's own examples: normal noise in both modes, and no dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 64)
        self.fc21 = nn.Linear(64, 8)
        self.fc22 = nn.Linear(64, 8)
        self.fc3 = nn.Linear(8, 64)
        self.fc4 = nn.Linear(64, 784)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = F.relu(self.fc1(x))
        mean, logarithm = self.fc21(hidden), self.fc22(hidden)
        code = mean + torch.randn_like(logarithm) * torch.exp(0.5 * logarithm)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(code)))), mean, logarithm


class PointNet(nn.Module):
    """Qi et al. 2017, the widely copied torch version: dropout between a linear layer and its batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(3, 32, 1), nn.Conv1d(32, 64, 1)
        self.norm1, self.norm2 = nn.BatchNorm1d(32), nn.BatchNorm1d(64)
        self.fc1, self.fc2, self.fc3 = nn.Linear(64, 48), nn.Linear(48, 32), nn.Linear(32, 10)
        self.bn1, self.bn2 = nn.BatchNorm1d(48), nn.BatchNorm1d(32)
        self.dropout = nn.Dropout(p=0.3)

    def forward(self, points: Tensor) -> Tensor:
        x = F.relu(self.norm2(self.conv2(F.relu(self.norm1(self.conv1(points)))))).amax(2)
        x = F.relu(self.bn1(self.fc1(x)))
        x = F.relu(self.bn2(self.dropout(self.fc2(x))))
        return F.log_softmax(self.fc3(x), dim=1)


class WideBlock(nn.Module):
    """Zagoruyko and Komodakis 2016: dropout between the two convolutions of a pre-activated block."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(out)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(channels, out, 1, bias=False) if channels != out else None

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        out = F.relu(self.bn2(self.conv1(active)))
        out = self.conv2(F.dropout(out, p=0.3, training=self.training))
        branch: Tensor = out + (x if self.shortcut is None else self.shortcut(active))
        return branch


class SelfAttention(nn.Module):
    """nanoGPT's: fused attention, told by hand whether it trains."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.resid_dropout = nn.Dropout(dropout)
        self.heads, self.dropout = heads, dropout

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = (part.view(b, t, self.heads, -1).transpose(1, 2) for part in self.c_attn(x).split(c, dim=2))
        dropout = self.dropout if self.training else 0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        output: Tensor = self.resid_dropout(self.c_proj(y.transpose(1, 2).reshape(b, t, c)))
        return output


class Block(nn.Module):
    """nanoGPT's block."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = SelfAttention(width, heads, dropout)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        output: Tensor = x + self.mlp(self.ln_2(x))
        return output


class NanoGPT(nn.Module):
    """Karpathy's nanoGPT, its head tied to its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(VOCABULARY, 32), nn.Embedding(64, 32)
        self.drop = nn.Dropout(0.2)
        self.h = nn.ModuleList(Block(32, 4, 0.2) for _ in range(2))
        self.ln_f, self.lm_head = nn.LayerNorm(32), nn.Linear(32, VOCABULARY, bias=False)
        self.wte.weight = self.lm_head.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.drop(self.wte(ids) + self.wpe(torch.arange(ids.shape[1])))
        for block in self.h:
            x = block(x)
        output: Tensor = self.lm_head(self.ln_f(x))
        return output


class LockedDropout(nn.Module):
    """AWD-LSTM's: a mask drawn by hand, one for all time steps."""

    def forward(self, x: Tensor, dropout: float) -> Tensor:
        if not self.training or not dropout:
            return x
        mask = x.new_empty(1, x.size(1), x.size(2)).bernoulli_(1 - dropout)
        return mask.div_(1 - dropout).expand_as(x) * x


class AWDLSTM(nn.Module):
    """Merity, Keskar and Socher 2018, without their drop-connect: words dropped whole, and locked masks."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Embedding(VOCABULARY, 16)
        self.rnns = nn.ModuleList([nn.LSTM(16, 24), nn.LSTM(24, 16)])
        self.lockdrop = LockedDropout()
        self.decoder = nn.Linear(16, VOCABULARY)
        self.decoder.weight = self.encoder.weight

    def embedded(self, ids: Tensor, dropout: float) -> Tensor:
        weight = self.encoder.weight
        if self.training and dropout:
            mask = weight.new_empty(weight.size(0), 1).bernoulli_(1 - dropout).expand_as(weight) / (1 - dropout)
            weight = mask * weight
        return F.embedding(ids, weight)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.lockdrop(self.embedded(ids, 0.1), 0.4)
        x = self.lockdrop(self.rnns[0](x)[0], 0.25)
        x = self.lockdrop(self.rnns[1](x)[0], 0.4)
        output: Tensor = self.decoder(x)
        return output


class GraphNetwork(nn.Module):
    """Kipf and Welling 2017 on a dense graph: dropout on the features that go in, too, as in the paper."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(20, 16), nn.Linear(16, 4)

    def forward(self, features: Tensor, graph: Tensor) -> Tensor:
        x = graph @ self.first(F.dropout(features, 0.5, training=self.training))
        x = F.dropout(F.relu(x), 0.5, training=self.training)
        return F.log_softmax(graph @ self.second(x), dim=1)


class TemporalBlock(nn.Module):
    """Bai, Kolter and Koltun 2018: element-wise dropout on the maps of weight-normalised convolutions."""

    def __init__(self, channels: int, out: int, dilation: int) -> None:
        super().__init__()
        padding = 2 * dilation
        self.conv1 = weight_norm(nn.Conv1d(channels, out, 3, padding=padding, dilation=dilation))
        self.conv2 = weight_norm(nn.Conv1d(out, out, 3, padding=padding, dilation=dilation))
        self.relu1, self.relu2, self.relu = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.dropout1, self.dropout2 = nn.Dropout(0.2), nn.Dropout(0.2)
        self.downsample = nn.Conv1d(channels, out, 1) if channels != out else None
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        out = self.dropout1(self.relu1(self.conv1(x)[..., : -self.padding]))
        out = self.dropout2(self.relu2(self.conv2(out)[..., : -self.padding]))
        output: Tensor = self.relu(out + (x if self.downsample is None else self.downsample(x)))
        return output


class UNet(nn.Module):
    """Ronneberger et al. 2015 in one step down and one up, spatial dropout at the bottom."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.bottom = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(inplace=True), nn.Dropout2d(0.5))
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.out = nn.Sequential(nn.Conv2d(16, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(8, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down(x)
        x = self.up(self.bottom(F.max_pool2d(skip, 2)))
        output: Tensor = self.out(torch.cat([skip, x], dim=1))
        return output


class TabularBlock(nn.Module):
    """Gorishniy et al. 2021: the residual block for tables."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.linear0, self.linear1 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.dropout(F.relu(self.linear0(self.norm(x))), 0.2, self.training)
        output: Tensor = x + F.dropout(self.linear1(hidden), 0.1, self.training)
        return output


class TextCNN(nn.Module):
    """Kim 2014: convolutions of three widths over words, the largest answer of each, dropout, one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 16)
        self.convs = nn.ModuleList(nn.Conv1d(16, 12, width) for width in (2, 3, 4))
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(36, 2)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids).transpose(1, 2)
        x = torch.cat([F.relu(conv(x)).amax(2) for conv in self.convs], dim=1)
        output: Tensor = self.fc(self.dropout(x))
        return output


class Annotated(nn.Module):
    """The annotated transformer's attention: softmax and dropout written out."""

    def __init__(self) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(32, 32) for _ in range(4))
        self.dropout = nn.Dropout(p=0.1)
        self.norm, self.drop = nn.LayerNorm(32), nn.Dropout(0.1)
        self.feed = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 8))

    def attend(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).view(*x.shape[:2], 4, 8).transpose(1, 2) for layer in list(self.linears)[:3])
        weights = self.dropout((q @ k.transpose(-2, -1) / math.sqrt(8)).softmax(-1))
        output: Tensor = self.linears[3]((weights @ v).transpose(1, 2).reshape(x.shape))
        return output

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.feed(self.norm(x + self.drop(self.attend(x))))
        return output


def perceptron() -> nn.Module:
    """Srivastava et al. 2014 on MNIST: a fifth of the pixels, half of the hidden units."""
    hidden = [nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(nn.Dropout(0.2), *hidden, nn.Linear(256, 10))


def self_normalising() -> nn.Module:
    """Klambauer et al. 2017: SELU with alpha dropout."""
    layers = [nn.Linear(16, 32), nn.SELU(), nn.AlphaDropout(0.05), nn.Linear(32, 32), nn.SELU(), nn.AlphaDropout(0.05)]
    return nn.Sequential(*layers, nn.Linear(32, 3))


def wide_resnet() -> nn.Module:
    blocks = [nn.Conv2d(3, 8, 3, padding=1, bias=False), WideBlock(8, 32), WideBlock(32, 32)]
    return nn.Sequential(
        *blocks, nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)
    )


def temporal() -> nn.Module:
    blocks = [TemporalBlock(4, 8, 1), TemporalBlock(8, 8, 2)]
    return nn.Sequential(*blocks, nn.Conv1d(8, 2, 1))


def tabular() -> nn.Module:
    blocks = [nn.Linear(12, 16), TabularBlock(16), TabularBlock(16)]
    return nn.Sequential(*blocks, nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))


def transformer() -> nn.Module:
    return nn.Transformer(32, 4, 2, 2, 64, dropout=0.1, batch_first=True)


ARCHITECTURES = [
    Architecture("torch/annotated_transformer", Annotated, lambda: (torch.randn(2, 7, 32),)),
    Architecture("torch/awd_lstm", AWDLSTM, lambda: (tokens(VOCABULARY, 3, 9),)),
    Architecture("torch/gcn", GraphNetwork, lambda: (torch.randn(30, 20), torch.rand(30, 30).softmax(1))),
    Architecture("torch/lstm_tagger", Tagger, lambda: (tokens(VOCABULARY, 9),)),
    Architecture("torch/mnist_cnn", Digits, lambda: (torch.randn(2, 1, 28, 28),)),
    Architecture("torch/nano_gpt", NanoGPT, lambda: (tokens(VOCABULARY, 12),)),
    Architecture("torch/perceptron", perceptron, lambda: (torch.rand(8, 784),)),
    Architecture("torch/pointnet", PointNet, lambda: (torch.randn(4, 3, 64),)),
    Architecture("torch/self_normalising", self_normalising, lambda: (torch.randn(8, 16),)),
    Architecture("torch/tabular_resnet", tabular, lambda: (torch.randn(8, 12),)),
    Architecture("torch/tcn", temporal, lambda: (torch.randn(2, 4, 20),)),
    Architecture("torch/text_cnn", TextCNN, lambda: (tokens(VOCABULARY, 9),)),
    Architecture("torch/transformer", transformer, lambda: (torch.randn(2, 9, 32), torch.randn(2, 5, 32))),
    Architecture("torch/transformer_encoder", Classifier, lambda: (tokens(VOCABULARY, 9),)),
    Architecture("torch/unet", UNet, images(32)),
    Architecture("torch/vae", Variational, lambda: (torch.rand(4, 784),)),
    Architecture("torch/wide_resnet", wide_resnet, images(16)),
    Architecture("torch/word_language_model", WordLanguageModel, lambda: (tokens(VOCABULARY, 3, 9),)),
]
