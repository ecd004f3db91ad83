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
from tests.models import having, made, output
from torch import Tensor

import thinned

Module = torch.nn.Module


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


@pytest.fixture(params=having("convertible"))
def example(request: pytest.FixtureRequest) -> tuple[Module, Tensor]:
    return made(request.param)


def test_inference_state_and_parameters_stay_and_going_back_is_exact(example: tuple[Module, Tensor]) -> None:
    model, input = example
    model.eval()
    result = output(model(input))
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
    assert torch.equal(output(model(input)), result)
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
    assert torch.equal(output(model(input)), result)


def test_training_draws_our_noise_of_the_same_law(example: tuple[Module, Tensor]) -> None:
    model, input = example
    thinned.convert(model, recurrent=True)
    model.train()
    torch.manual_seed(2)
    with watched(model) as calls:
        result = output(model(input))
    assert not torch.equal(output(model(input)), result)
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
            runs.append(output(again(input)))
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
        output(model.train()(input)).square().mean().backward()
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
    result = output(model.eval()(input))
    kinds = [type(module) for module in model.modules()]
    report = thinned.convert(model, recurrent=True)
    for other in copies(model):
        assert torch.equal(output(other(input)), result)
        assert [type(module) for module in other.modules()] == [type(module) for module in model.modules()]
        assert len(thinned.revert(other).changed) == len(report.changed)
        assert [type(module) for module in other.modules()] == kinds
        assert torch.equal(output(other(input)), result)
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


@pytest.mark.compiler
def test_models_in_torch_s_wrappers_are_converted_by_their_own_names() -> None:
    inner, input = made("encoder layer")
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
        inner, tokens = made("language model")
        model = torch.nn.parallel.DistributedDataParallel(inner)
        assert {row.path for row in thinned.convert(model, recurrent=True).changed} == {"dropout", "rnn"}
        model(tokens).sum().backward()
        assert all(parameter.grad is not None for parameter in inner.parameters())
        assert len(thinned.revert(model).changed) == 2
        # What shards the parameters keeps the recurrent layer, whose weights it holds.
        sharded: Any = torch.distributed.fsdp.fully_shard(made("language model")[0])
        report = thinned.convert(sharded, recurrent=True)
        assert [row.path for row in report.changed] == ["dropout"]
        assert ["sharded" in row.reason for row in report.left] == [True]
        sharded(tokens).sum().backward()
    finally:
        torch.distributed.destroy_process_group()
