"""`thinned.convert` and `thinned.revert` on models of torch, timm, torchvision and Hugging Face."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.utils.prune
from scipy.stats import binom
from torch import Tensor

import thinned

Module = torch.nn.Module


class LanguageModel(Module):
    """Embedding, a recurrent network and a head, as everybody's first one."""

    def __init__(self, kind: Any = torch.nn.LSTM) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(11, 6)
        self.dropout = torch.nn.Dropout(0.2)
        self.rnn = kind(6, 8, num_layers=2, batch_first=True, dropout=0.3)
        self.head = torch.nn.Linear(8, 11)

    def forward(self, tokens: Tensor) -> Tensor:
        output, _ = self.rnn(self.dropout(self.embedding(tokens)))
        logits: Tensor = self.head(self.dropout(output))
        return logits


def encoder() -> tuple[Module, Tensor]:
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.2, batch_first=True)
    layer.self_attn.dropout = 0.0  # it is a call's argument, and stays torch's noise
    return layer, torch.randn(4, 5, 16)


def language_model() -> tuple[Module, Tensor]:
    return LanguageModel(), torch.randint(11, (4, 7))


def vit() -> tuple[Module, Tensor]:
    import timm

    settings: dict[str, Any] = {"img_size": 32, "depth": 3, "embed_dim": 24, "num_heads": 2, "num_classes": 5}
    model: Module = timm.create_model(
        "vit_tiny_patch16_224", drop_rate=0.1, proj_drop_rate=0.2, drop_path_rate=0.3, **settings
    )
    return model, torch.randn(8, 3, 32, 32)


def convnext() -> tuple[Module, Tensor]:
    import timm

    model: Module = timm.create_model(
        "convnext_atto", depths=(1, 1, 2, 1), dims=(8, 16, 24, 32), drop_path_rate=0.4, drop_rate=0.2, num_classes=5
    )
    return model, torch.randn(8, 3, 32, 32)


def efficientnet() -> tuple[Module, Tensor]:
    from torchvision.models import efficientnet_b0

    return efficientnet_b0(num_classes=5, stochastic_depth_prob=0.4), torch.randn(4, 3, 32, 32)


def swin() -> tuple[Module, Tensor]:
    from transformers import SwinConfig, SwinForImageClassification

    config = SwinConfig(
        image_size=16,
        patch_size=2,
        embed_dim=8,
        depths=[1, 2],
        num_heads=[2, 2],
        window_size=4,
        drop_path_rate=0.4,
        hidden_dropout_prob=0.2,
    )
    return SwinForImageClassification(config), torch.randn(8, 3, 16, 16)


def beit() -> tuple[Module, Tensor]:
    from transformers import BeitConfig, BeitForImageClassification

    config = BeitConfig(
        image_size=16,
        patch_size=4,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        drop_path_rate=0.4,
        hidden_dropout_prob=0.2,
    )
    return BeitForImageClassification(config), torch.randn(8, 3, 16, 16)


def hugging_convnext() -> tuple[Module, Tensor]:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 2], num_stages=2, drop_path_rate=0.4)
    return ConvNextForImageClassification(config), torch.randn(8, 3, 32, 32)


MODELS = [encoder, language_model, vit, convnext, efficientnet, swin, beit, hugging_convnext]


def output(model: Module, input: Tensor) -> Tensor:
    result = model(input)
    tensor: Tensor = getattr(result, "logits", result)
    return tensor


def copies(model: Module) -> Iterator[Module]:
    """The model by way of deepcopy, pickle and torch.save."""
    yield copy.deepcopy(model)
    yield pickle.loads(pickle.dumps(model))
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    yield torch.load(file, weights_only=False)


@contextmanager
def watched(model: Module) -> Iterator[list[tuple[str, Module, Tensor, Tensor]]]:
    """Every call of a layer of ours: its name, the layer, its input, its output, both as they were."""
    calls: list[tuple[str, Module, Tensor, Tensor]] = []
    inputs: list[Tensor] = []
    handles = []
    for name, layer in model.named_modules():
        if hasattr(layer, "_noises") and hasattr(layer, "p"):
            handles.append(layer.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach().clone())))
            handles.append(
                layer.register_forward_hook(
                    lambda layer, _, output, name=name: calls.append(
                        (name, layer, inputs.pop(), output.detach().clone())
                    )
                )
            )
    yield calls
    for handle in handles:
        handle.remove()


@pytest.fixture(params=MODELS, ids=lambda factory: factory.__name__)
def example(request: pytest.FixtureRequest) -> tuple[Module, Tensor]:
    torch.manual_seed(1)
    model, input = request.param()
    return model, input


def test_inference_state_and_parameters_stay_and_going_back_is_exact(example: tuple[Module, Tensor]) -> None:
    model, input = example
    model.eval()
    result = output(model, input)
    state = model.state_dict()
    parameters = dict(model.named_parameters())
    modules = dict(model.named_modules())
    inside = {name: dict(vars(module)) for name, module in modules.items()}

    report = thinned.convert(model, recurrent=True)
    assert report.changed
    assert not report.left
    for row in report.changed:
        layer = model.get_submodule(row.path)
        assert type(layer).__module__.startswith("thinned.")
        assert not layer.training
        p = "dropout" if isinstance(layer, torch.nn.RNNBase) else "p"
        assert getattr(layer, p) == row.p
    assert torch.equal(output(model, input), result)
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(model.state_dict()[name], state[name]) for name in state)
    assert list(dict(model.named_modules())) == list(modules)
    assert all(parameter is parameters[name] for name, parameter in model.named_parameters())

    thinned.revert(model)
    assert list(dict(model.named_modules())) == list(modules)
    for name, module in model.named_modules():
        assert module is modules[name]
        assert vars(module).keys() == inside[name].keys()
        assert all(vars(module)[key] is value or vars(module)[key] == value for key, value in inside[name].items())
    assert torch.equal(output(model, input), result)


def test_training_draws_our_noise_of_the_same_law(example: tuple[Module, Tensor]) -> None:
    model, input = example
    thinned.convert(model, recurrent=True)
    model.train()
    torch.manual_seed(2)
    with watched(model) as calls:
        result = output(model, input)
    assert not torch.equal(output(model, input), result)
    assert calls
    for _, layer, before, after in calls:
        assert isinstance(layer.p, float)
        realised = round(65536 * layer.p) / 65536
        rows = isinstance(layer, thinned.nn.StochasticDepth)
        zeros = (after == 0).flatten(1).all(1) if rows else after[before != 0] == 0
        low, high = binom.interval(1 - 1e-9, zeros.numel(), realised)
        assert low <= int(zeros.sum()) <= high
        kept = after != 0
        torch.testing.assert_close(after[kept], before[kept] / (1 - realised))


def test_streams_reach_the_converted_layers(example: tuple[Module, Tensor]) -> None:
    model, input = example
    # The language model calls one layer twice, batch normalisation remembers: each run is of a copy.
    thinned.convert(model, recurrent=True)
    model.train()
    runs = []
    for seed in (1, 1, 2):
        again = copy.deepcopy(model)
        with thinned.stream(again, seed) as stream, watched(again) as calls:
            runs.append(output(again, input))
            seen: set[str] = set()
        for name, layer, before, after in calls:
            key = stream.key(name, int(name in seen))
            seen.add(name)
            assert torch.equal(layer(before, key=key), after)
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_an_optimiser_goes_on(example: tuple[Module, Tensor]) -> None:
    model, input = example
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> float:
        before = [parameter.detach().clone() for parameter in model.parameters()]
        optimiser.zero_grad()
        output(model.train(), input).square().mean().backward()
        optimiser.step()
        pairs = zip(model.parameters(), before, strict=True)
        return sum(float((new.detach() - old).abs().sum()) for new, old in pairs)

    assert step() > 0
    held = [id(parameter) for group in optimiser.param_groups for parameter in group["params"]]
    thinned.convert(model, recurrent=True)
    assert step() > 0
    thinned.revert(model)
    assert step() > 0
    assert [id(parameter) for parameter in model.parameters()] == held
    assert {int(state["step"]) for state in optimiser.state.values()} == {3}


def test_copies_are_converted_too_and_go_back_on_their_own(example: tuple[Module, Tensor]) -> None:
    model, input = example
    result = output(model.eval(), input)
    kinds = [type(module) for module in model.modules()]
    report = thinned.convert(model, recurrent=True)
    for other in copies(model):
        assert torch.equal(output(other, input), result)
        assert [type(module) for module in other.modules()] == [type(module) for module in model.modules()]
        assert len(thinned.revert(other).changed) == len(report.changed)
        assert [type(module) for module in other.modules()] == kinds
        assert torch.equal(output(other, input), result)
        assert {id(parameter) for parameter in other.parameters()}.isdisjoint(map(id, model.parameters()))
    assert thinned.convert(model).already  # the model itself is still converted


def test_converting_twice_changes_nothing_and_says_so(example: tuple[Module, Tensor]) -> None:
    model, _ = example
    first = thinned.convert(model, recurrent=True)
    modules = list(model.modules())
    second = thinned.convert(model, recurrent=True)
    assert all(old is new for old, new in zip(modules, model.modules(), strict=True))
    assert not second.changed
    assert not second.left
    assert sorted(second.already) == sorted(row.path for row in first.changed)
    assert str(second).startswith("Nothing was changed.\n\n")
    assert f"{len(first.changed)} thinned's already" in str(second)
    assert second.revert().changed == ()
    assert len(first.revert().changed) == len(first.changed)
    assert str(thinned.revert(model)) == "Nothing was changed."


def test_models_in_torch_s_wrappers_are_converted_by_their_own_names() -> None:
    inner, input = encoder()
    compiled: Any = torch.compile(inner, backend="eager")
    inner.eval()
    result = compiled(input)
    report = thinned.convert(compiled)
    assert {row.path for row in report.changed} == {"dropout", "dropout1", "dropout2"}
    assert torch.equal(compiled(input), result)
    # The graph that was compiled for the old layers is not used for ours.
    inner.train()
    with thinned.stream(inner, 5):
        expected = inner(input)
    with thinned.stream(compiled, 5):
        assert torch.equal(compiled(input), expected)
    report.revert()
    inner.eval()
    assert torch.equal(compiled(input), result)
    single: Any = torch.compile(torch.nn.Dropout(0.5), backend="eager")
    alone = torch.nn.Sequential(single)
    (row,) = thinned.convert(alone).left
    assert "compiled on its own" in row.reason


def test_a_model_in_distributed_data_parallel_trains_on() -> None:
    store = torch.distributed.HashStore()  # type: ignore[attr-defined]
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        inner, tokens = language_model()
        model = torch.nn.parallel.DistributedDataParallel(inner)
        assert {row.path for row in thinned.convert(model, recurrent=True).changed} == {"dropout", "rnn"}
        model(tokens).sum().backward()
        assert all(parameter.grad is not None for parameter in inner.parameters())
        assert len(thinned.revert(model).changed) == 2
        # What shards the parameters keeps the recurrent layer, whose weights it holds.
        sharded: Any = torch.distributed.fsdp.fully_shard(language_model()[0])
        report = thinned.convert(sharded, recurrent=True)
        assert [row.path for row in report.changed] == ["dropout"]
        assert ["sharded" in row.reason for row in report.left] == [True]
        sharded(tokens).sum().backward()
    finally:
        torch.distributed.destroy_process_group()
