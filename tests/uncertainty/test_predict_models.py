"""`thinned.predict` on real models, and on what makes models hard: against plain loops of stock dropout in training."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.zoo.architectures import ARCHITECTURES, named
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, IterableDataset

import thinned
import thinned.nn
from thinned.uncertainty.answer import AnswerTensor


class Run(nn.Module):
    """A model that is one function of itself and its arguments."""

    def __init__(self, function: Callable[..., Any], /, **children: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, *args: Any) -> Any:
        return self.function(self, *args)


# Of every kind: own code, HF with fused and written attention, LayerDrop, always-on masks by hand, NumPy's masks.
STOCK = [
    *(f"torch/{name}" for name in ("awd_lstm", "gcn", "lstm_tagger", "nano_gpt", "self_normalising", "tabular_resnet")),
    *(f"torch/{name}" for name in ("tcn", "text_cnn", "transformer_encoder", "vae")),
    *(f"transformers/{name}" for name in ("BertForSequenceClassification", "GPT2LMHeadModel", "OPTForCausalLM")),
    *(f"transformers/{name}" for name in ("T5ForConditionalGeneration", "ViTForImageClassification")),
    *(f"transformers/{name}" for name in ("SpeechT5ForTextToSpeech", "Wav2Vec2ForCTC")),
]


@pytest.mark.filterwarnings("ignore")  # what the libraries warn of is not ours
@pytest.mark.parametrize("name", named(STOCK))
def test_as_a_loop_of_stock_passes(name: str) -> None:
    """Mean and standard deviation within six standard errors of those of passes with torch's own noise."""
    model, args, kwargs = ARCHITECTURES[name].made()
    n = 60
    select = "spectrogram" if "SpeechT5" in name else None  # its answer has five tensors by name, and no logits
    found = thinned.predict(model, kwargs or args, n=n, seed=3, samples=True, select=select).samples
    assert found is not None
    model.train()
    for module in model.modules():
        if isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)):
            module.eval()
    with torch.no_grad():
        take = AnswerTensor("test", select)
        plain = torch.stack([take(model(*args, **kwargs)).float() for _ in range(n)])
    ours, theirs = found.double(), plain.double()
    assert ours.shape == theirs.shape
    variance = ours.var(0), theirs.var(0)
    error = ((variance[0] + variance[1]) / n).sqrt() + 1e-9
    assert float(((ours.mean(0) - theirs.mean(0)).abs() / error).max()) < 6
    fourth = [((x - x.mean(0)) ** 4).mean(0) - v**2 for x, v in zip((ours, theirs), variance, strict=True)]
    # Entries with few effective draws have no normal error: the typical one is asked as well.
    error = ((fourth[0] + fourth[1]).clamp_min(0) / n).sqrt() + 1e-9
    assert float(((variance[0] - variance[1]).abs() / error).flatten().median()) < 3
    assert 0.5 < float(variance[0].mean() / variance[1].mean()) < 2.0


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))


def test_a_single_row_through_batch_normalisation() -> None:
    assert (thinned.predict(normed(), torch.randn(1, 4)).std > 0).all()
    assert thinned.predict(normed(), torch.randn(1, 4), n=1).std.tolist() == [[0.0, 0.0]]


@pytest.mark.zoo
def test_another_rate_reaches_every_kind_of_module() -> None:
    """A layer that asks its own p, and one that does nothing at p = 0."""
    timm = pytest.importorskip("timm")
    x = torch.ones(400, 8)
    for layer in (
        *(nn.Dropout(p) for p in (0.0, 0.1)),
        *(thinned.nn.Dropout(p) for p in (0.0, 0.1)),
        *(thinned.nn.StochasticDepth(p) for p in (0.0, 0.1)),
        *(timm.layers.DropPath(p) for p in (0.0, 0.1)),
    ):
        p = getattr(layer, "p", getattr(layer, "drop_prob", None))
        for given in (0.5, {"0": 0.5}):
            found = thinned.predict(nn.Sequential(layer), x, n=10, p=given, samples=True)
            assert found.samples is not None
            # 4000 draws at least, eight to a row in some layers: five standard errors.
            assert float((found.samples == 0).float().mean()) == pytest.approx(0.5, abs=5 * (0.25 / 4000) ** 0.5)
        assert getattr(layer, "p", getattr(layer, "drop_prob", None)) == p


def test_layers_that_chance_leaves_out_are_waited_for() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        for layer in m.layers:
            if not (m.training and torch.rand([]) < 0.8):
                x = x + layer(x)
        return x

    layers = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5)) for _ in range(4))
    found = thinned.predict(Run(forward, layers=layers), torch.randn(3, 6), n=4)
    assert set(found.places) == {":LayerDrop", *(f"layers.{number}.1" for number in range(4))}


def steps_in_rows(m: Any, x: Tensor) -> Tensor:
    return F.dropout(x.flatten(0, 1), 0.5, m.training).view(x.shape).sum(1)


def test_batches_of_other_lengths() -> None:
    batches = [torch.randn(3, 5, 4), torch.randn(3, 2, 4), torch.randn(1, 7, 4)]

    class Lengths(IterableDataset[Tensor]):
        def __iter__(self) -> Any:
            return iter(batches)

    net = Run(steps_in_rows)
    found = thinned.predict(net, DataLoader(Lengths(), batch_size=None), n=4, samples=True)
    alone = thinned.predict(net, torch.cat((torch.zeros(3, 2, 4), batches[1])), n=4, samples=True)
    assert found.samples is not None
    assert alone.samples is not None
    assert found.samples.shape == (4, 7, 4)
    assert torch.equal(found.samples[:, 3:6], alone.samples[:, 3:])


def test_packed_sequences_in_the_order_of_their_rows() -> None:
    def forward(m: Any, x: Tensor, lengths: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out = nn.utils.rnn.pad_packed_sequence(m.lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]
        return out.sum(1)

    net = Run(forward, lstm=nn.LSTM(4, 5, 2, dropout=0.5, batch_first=True))
    x = torch.randn(6, 7, 4), torch.tensor([3, 7, 1, 5, 2, 6])
    whole, single = thinned.predict(net, x, n=5), thinned.predict(net, x, n=5, memory=1)
    torch.testing.assert_close(whole.mean, single.mean)
    assert (whole.std[x[1] > 1] > 0).any(1).all()


def test_rows_that_depend_on_one_another_stay_together() -> None:
    """Time before rows, a graph's nodes: cut into chunks they would be other data."""
    lstm = Run(lambda m, x: m.drop(m.lstm(x)[0]), lstm=nn.LSTM(4, 5), drop=nn.Dropout(0.5))
    graph = Run(lambda m, x, a: a @ m.drop(m.inner(x)), inner=nn.Linear(4, 4), drop=nn.Dropout(0.5))
    first = thinned.predict(lstm, torch.randn(9, 3, 4), n=3)
    assert "rows depend on one another" in first.engine
    for net, x in ((lstm, torch.randn(9, 3, 4)), (graph, (torch.randn(5, 4), torch.rand(5, 5)))):
        chunked = thinned.predict(net, x, n=3, samples=True, memory=1).samples
        whole = thinned.predict(net, x, n=3, samples=True).samples
        assert chunked is not None
        assert whole is not None
        assert torch.equal(chunked == 0, whole == 0)
        torch.testing.assert_close(chunked, whole)  # products of other shapes: a sample each, and all at once
        with pytest.raises(ValueError, match="`shared_masks` is for rows that stand alone"):
            thinned.predict(net, x, shared_masks=True)
    rows: Any = torch.ones(4, 3, 4)
    loader: Any = DataLoader(rows, batch_size=2)
    drawn = thinned.predict(lstm, loader, n=3, samples=True).samples
    assert drawn is not None
    assert not torch.equal(drawn[:, :2] != 0, drawn[:, 2:] != 0)


def test_answers_of_another_form_in_training() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        return (m.other(x), m.inner(F.dropout(x, 0.5))) if m.training else m.inner(x)

    net = Run(forward, inner=nn.Linear(4, 2), other=nn.Linear(4, 3))
    x = torch.randn(5, 4)
    with pytest.raises(ValueError, match=r"must answer alike with and without noise\. Got tuple of \[\(2, 3\)"):
        thinned.predict(net, x)
    assert thinned.predict(net, x, output=lambda answer: answer[1]).mean.shape == (5, 2)


def test_modules_that_are_called_only_in_training() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.norm, self.drop = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.norm(self.inner(x))
            return self.drop(x) if self.training else x

    net, x = nn.Sequential(Net(), nn.Linear(4, 2)), torch.randn(3, 4)
    found = thinned.predict(net, x, n=200)
    assert found.places == ("0.drop",)
    assert (found.std > 0).all()
    assert ((found.mean - net.eval()(x)).abs() < 6 * found.std / 200**0.5).all()  # linear after the noise


@pytest.mark.zoo
@pytest.mark.filterwarnings("ignore")
def test_auxiliary_outputs_stay_off() -> None:
    model, args, _ = ARCHITECTURES["torchvision/googlenet"].made()
    found = thinned.predict(model, args, n=2)
    assert found.mean.shape == (2, 10)
    assert found.places == ("dropout",)


def test_what_the_model_writes_into_its_input_stays_there() -> None:
    def before(m: Any, x: Tensor) -> Any:
        return m.drop(x.mul_(2))

    def after(m: Any, x: Tensor) -> Any:
        dropped = m.drop(x)
        x += dropped
        return x

    for function, values in ((before, {0.0, 4.0}), (after, {1.0, 3.0})):
        x = torch.ones(3, 8)
        found = thinned.predict(Run(function, drop=nn.Dropout(0.5)), x, n=6, samples=True)
        assert found.samples is not None
        assert set(found.samples.unique().tolist()) == values
        assert (x == 1).all()


def test_places_left_out_are_off_where_they_always_draw() -> None:
    net = Run(lambda m, x: F.dropout(m.drop(x), 0.5), drop=nn.Dropout(0.5))
    found = thinned.predict(net, torch.ones(4, 50), n=3, sites="drop", samples=True)
    assert found.samples is not None
    assert found.samples.unique().tolist() == [0.0, 2.0]
    hand = Run(lambda m, x: m.drop(x) * torch.bernoulli(torch.full_like(x, 0.5)), drop=nn.Dropout(0.5))
    with pytest.raises(ValueError, match="draws in evaluation mode too can't be left out"):
        thinned.predict(hand, torch.ones(4, 50), sites="drop")
    two = Run(
        lambda m, x: x * torch.rand_like(x).gt(0.5) * torch.bernoulli(x, p=0.5) if m.training else x,
    )
    with pytest.raises(ValueError, match=r"all noise must be drawn by key\. Got draws by aten::rand_like"):
        thinned.predict(two, torch.ones(4, 50), sites="*bernoulli")


def test_bernoulli_with_a_number() -> None:
    net = Run(lambda m, x: torch.bernoulli(x, p=0.25))
    found = thinned.predict(net, torch.ones(50, 50), n=4)
    assert float(found.mean.mean()) == pytest.approx(0.25, abs=5 * (0.1875 / 10000) ** 0.5)


def test_a_cache_that_grows_between_passes() -> None:
    """A first pass of this length makes calls that the next ones don't: they are not taken for one another."""

    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.rows, self.positions = nn.Linear(4, 4), 0, torch.zeros(0, 1)

        def forward(self, x: Tensor) -> Tensor:
            if len(x) > self.rows:
                self.rows = len(x)
                self.positions = torch.arange(self.rows).float()[:, None] * 0
            result: Tensor = F.dropout(self.inner(x).relu() + self.positions[: len(x)] + 1, 0.5, self.training)
            return result

    net, x = Positions(), torch.randn(5, 4)
    found = thinned.predict(net, x, n=400, samples=True)
    assert found.samples is not None
    expected = net.eval()(x).detach()
    assert ((found.samples == 0) | ((found.samples - 2 * expected).abs() < 1e-5)).all()
    assert float((found.samples == 0).float().mean()) == pytest.approx(0.5, abs=5 * (0.25 / 8000) ** 0.5)


def test_checkpoints_and_handlers() -> None:
    inner = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    x = torch.randn(3, 4)
    expected = thinned.predict(Run(lambda m, x: m.inner(x), inner=inner), x)

    def caught(m: Any, x: Tensor) -> Any:
        try:
            return m.inner(x)
        except Exception:
            return x

    for function in (lambda m, x: checkpoint(m.inner, x, use_reentrant=False), caught):
        assert torch.equal(thinned.predict(Run(function, inner=inner), x).mean, expected.mean)
    compiled: Any = torch.compile(inner)
    assert (thinned.predict(compiled, x).std > 0).any()


def test_noise_that_does_not_come_is_no_answer() -> None:
    """Never a spread of 0 because the noise was not found again."""
    state = {"passes": 0}

    def once(m: Any, x: Tensor) -> Any:
        state["passes"] += 1
        return F.dropout(x, 0.5) if state["passes"] < 3 else x  # as long as it is looked at

    with pytest.raises(RuntimeError, match=r"noise must be drawn in a forward pass\. Got none at :dropout"):
        thinned.predict(Run(once), torch.ones(3, 4))


@pytest.mark.parametrize("held", ["drop", "drops['a']"])
def test_modules_that_the_first_forward_makes_are_named(held: str) -> None:
    class Made(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop: nn.Module | None = None
            self.drops: dict[str, nn.Module] = {}

        def forward(self, x: Tensor) -> Any:
            if held == "drop":
                self.drop = self.drop or nn.Dropout(0.5).train(self.training)
                return self.drop(x)
            return self.drops.setdefault("a", nn.Dropout(0.5))(x)

    net, x = Made(), torch.ones(3, 4)
    with pytest.raises(
        ValueError, match=rf"Got .{re.escape(held)}., which its first forward makes. Run the model once"
    ):
        thinned.predict(net, x)
    net(x)
    assert (thinned.predict(net, x).std > 0).any()
