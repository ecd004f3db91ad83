"""Schedules: every curve by its formula, and a model that follows them, resumes, and is compiled once."""

from __future__ import annotations

import copy
import io
import itertools
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn import functional as F

import thinned
from thinned.schedules import (
    ByDepth,
    Constant,
    Cosine,
    Curriculum,
    Curve,
    EarlyDropout,
    LateDropout,
    Linear,
    Product,
    WarmUp,
)

# Each curve, and the formula of its source at step t.
CURVES: dict[str, tuple[Curve, Callable[[int], float]]] = {
    "constant": (Constant(0.3), lambda t: 0.3),
    "linear": (Linear(0.1, 0.5, steps=40), lambda t: 0.1 + 0.4 * min(t, 40) / 40),
    "linear down": (Linear(1.0, 0.0, steps=7), lambda t: 1 - min(t, 7) / 7),
    "cosine": (Cosine(0.5, 0.1, steps=40), lambda t: 0.1 + 0.2 * (1 + math.cos(math.pi * min(t, 40) / 40))),
    "warm-up": (WarmUp(0.3, steps=10), lambda t: 0.3 * min(t / 10, 1)),
    "early": (EarlyDropout(0.2, steps=30), lambda t: max(0.2 * (1 - t / 30), 0)),
    "early, constant": (EarlyDropout(0.2, 30, shape="constant"), lambda t: 0.2 if t < 30 else 0),
    "late": (LateDropout(0.2, steps=30), lambda t: 0 if t < 30 else 0.2),
    # Morerio et al. 2017: units are *kept* with probability (1 - theta) exp(-gamma t) + theta.
    "curriculum": (Curriculum(0.4, gamma=0.1), lambda t: 1 - ((1 - 0.6) * math.exp(-0.1 * t) + 0.6)),
    "product": (
        WarmUp(1.0, steps=10) * Cosine(0.5, 0.0, steps=40),
        lambda t: min(t / 10, 1) * 0.25 * (1 + math.cos(math.pi * min(t, 40) / 40)),
    ),
    "times a number": (0.5 * LateDropout(0.2, steps=30), lambda t: 0 if t < 30 else 0.1),
    "by depth": (ByDepth(0.5).block(2, of=8), lambda t: 0.125),
}


@pytest.mark.parametrize("name", CURVES)
def test_curves(name: str) -> None:
    curve, formula = CURVES[name]
    for step in [*range(60), 10**6, 2**62]:
        assert curve(step) == pytest.approx(formula(step), abs=1e-15, rel=1e-12)
        assert 0 <= curve(step) <= 1
    assert pickle.loads(pickle.dumps(curve)) == copy.deepcopy(curve) == curve
    assert eval(repr(curve)) == curve
    assert hash(curve) == hash(copy.deepcopy(curve))


def test_ends_are_exact() -> None:
    """Early dropout ends with nothing dropped and a ramp at the number that was asked for, whatever the rounding."""
    for steps, (start, end) in itertools.product(range(1, 60), [(0.1, 0.7), (0.3, 0.0), (1.0, 0.0), (0.0, 1.0)]):
        for kind in (Linear, Cosine):
            curve = kind(start, end, steps)
            assert (curve(0), curve(steps), curve(steps + 1)) == (start, end, end)
            assert all(min(start, end) <= curve(step) <= max(start, end) for step in range(steps))


def test_curriculum_is_within_5e_5_at_the_end() -> None:
    curve = Curriculum(0.5, gamma=10 / 1000)
    assert curve(0) == 0
    assert 0.5 * (1 - 5e-5) < curve(1000) < 0.5


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Constant(20), ValueError, r"`Constant`: `p` must be a number in \[0, 1\]. Got 20. If 20 % was meant"),
        (lambda: Linear(0, 1.5, 3), ValueError, "`Linear`: `end` must be a number"),
        (
            lambda: EarlyDropout(0.1, 0),
            ValueError,
            r"`EarlyDropout`: `steps` must be an integer in \[1, 2\*\*63\). Got 0",
        ),
        (
            lambda: EarlyDropout(0.1, 9.5),  # type: ignore[arg-type]
            TypeError,
            "`EarlyDropout`: `steps` must be an integer .* Got 9.5. Pass an int",
        ),
        (lambda: EarlyDropout(0.1, 9, "cosine"), ValueError, "`EarlyDropout`: `shape` must be one of 'linear', 'const"),
        (
            lambda: Curriculum(0.1, 0),
            ValueError,
            "`Curriculum`: `gamma` must be a finite number above 0. Got 0. 10 / T",
        ),
        (lambda: Constant(0.5) * 2, ValueError, "`Constant`: `p` must be a number"),
        (lambda: ByDepth(0.5).block(9, of=8), ValueError, r"`ByDepth`: `number` must be an integer in \[1, 8\]. Got 9"),
        (lambda: Constant(0.5)(-1), ValueError, r"`Constant`: `step` must be an integer in \[0, 2\*\*63\). Got -1"),
        (lambda: Constant(0.5)(True), TypeError, "`Constant`: `step` must be an integer"),
    ],
)
def test_bad_arguments(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.5, batch_first=True)
    return nn.Sequential(nn.TransformerEncoder(layer, 3, enable_nested_tensor=False), nn.Dropout(0.5))


def test_a_model_has_what_the_curves_say_at_every_step() -> None:
    model = transformer()
    early, late = EarlyDropout(0.4, steps=10), LateDropout(0.2, steps=5)
    schedule = thinned.Schedule(model, {"*": Constant(0.1), "0.layers.*": early, "0.*.self_attn": late})
    for step in range(13):
        assert schedule.steps == step
        for name, module in model.named_modules():
            if isinstance(module, nn.MultiheadAttention):
                assert module.dropout == schedule.p[name] == late(step)
            elif isinstance(module, nn.Dropout):
                assert module.p == schedule.p[name] == (early(step) if "layers" in name else 0.1)
        assert schedule.at(step) == schedule.p
        assert schedule.p == pytest.approx(thinned.rates(model))
        schedule.step()


def test_the_model_drops_what_the_schedule_says() -> None:
    """Counted: within z = 5 of the binomial."""
    model, x, n = nn.Sequential(nn.Dropout(0.9)), torch.ones(20000), 20000
    schedule = thinned.Schedule(model, {"*": Linear(0.0, 1.0, steps=10)})
    for step in range(11):
        p = step / 10
        dropped = int((model(x) == 0).sum())
        assert abs(dropped - n * p) <= 5 * math.sqrt(n * p * (1 - p)), step
        schedule.step()


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.p = nn.Linear(8, 8), 0.5

    def forward(self, x: Tensor) -> Tensor:
        branch = F.dropout(self.linear(x), self.p, self.training)
        return x + branch + F.dropout(x, 0.25, self.training)


@pytest.mark.parametrize("example", [None, torch.ones(2, 8)], ids=["source", "example"])
def test_calls_in_a_forward_follow(example: Tensor | None) -> None:
    model = nn.Sequential(Block(), Block())
    ramp = Linear(0.0, 1.0, steps=4)
    schedule = thinned.Schedule(model, {"*:dropout": ramp, "*:dropout#2": 0.0}, example=example)
    x = torch.ones(3, 8)
    for step in range(5):
        assert [block.p for block in model] == [ramp(step)] * 2
        if step == 0:
            torch.testing.assert_close(model(x), model.train()(x))
        schedule.step()
    torch.testing.assert_close(model(x), 4 * x)  # every branch dropped, and x + x at each block


@pytest.mark.zoo
def test_depth_times_time_on_a_timm_model() -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=16, depth=6, drop_path_rate=0.1)
    ramp = WarmUp(0.3, steps=10)
    schedule = thinned.Schedule(model, {"blocks.*.drop_path?": ByDepth(ramp)})
    for _ in range(12):
        for number, block in enumerate(model.blocks, 1):
            if hasattr(block.drop_path1, "drop_prob"):  # timm's first block has none: its rate was 0
                expected = ramp(schedule.steps) * (number - 1) / 5
                assert block.drop_path1.drop_prob == block.drop_path2.drop_prob == pytest.approx(expected)
        schedule.step()


def test_depth_is_counted_in_numbered_modules() -> None:
    stages = [nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.ReLU(), nn.Dropout()) for _ in range(2)]
    model = nn.ModuleDict(
        {"layer1": nn.Sequential(*stages), "layer2": nn.Sequential(nn.ModuleDict({"drop": nn.Dropout()}))}
    )
    assert thinned.Schedule(model, {"*": ByDepth(1.0)}).p == {
        "layer1.0.1": 0.2,
        "layer1.0.3": 0.4,
        "layer1.1.1": pytest.approx(0.6),
        "layer1.1.3": 0.8,
        "layer2.0.drop": 1.0,
    }


def train(schedule: thinned.Schedule, model: nn.Module, steps: int) -> Tensor:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.linspace(-1, 1, 40).reshape(5, 8)
    for _ in range(steps):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
        schedule.step()
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), thinned.nn.Dropout(0.5), nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 1))


CURVES_OF_NET = {"1": WarmUp(1.0, steps=4) * Cosine(0.6, 0.0, steps=20), "3": LateDropout(0.4, steps=9)}


def test_resuming_in_the_middle_is_never_having_stopped() -> None:
    torch.manual_seed(3)
    model = net()
    first = copy.deepcopy(model.state_dict())
    whole = train(thinned.Schedule(model, CURVES_OF_NET), model, 15)
    torch.manual_seed(3)
    model = net()
    model.load_state_dict(first)
    schedule = thinned.Schedule(model, CURVES_OF_NET)
    train(schedule, model, 7)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "schedule": schedule.state_dict(), "rng": torch.get_rng_state()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    torch.manual_seed(99)
    resumed = net()
    again = thinned.Schedule(resumed, CURVES_OF_NET)
    resumed.load_state_dict(saved["model"])
    again.load_state_dict(saved["schedule"])
    assert again.steps == 7
    assert again.p == schedule.p
    assert thinned.rates(resumed) == schedule.p
    torch.set_rng_state(saved["rng"])
    assert torch.equal(train(again, resumed, 8), whole)


def test_a_state_of_other_schedules_is_refused() -> None:
    schedule = thinned.Schedule(net(), {"1": EarlyDropout(0.1, steps=10)})
    other = thinned.Schedule(net(), {"1": EarlyDropout(0.1, steps=20)})
    for _ in range(3):
        other.step()
    with pytest.raises(
        ValueError, match=r"state` must be of the same schedules, .*steps=10.* Got .*steps=20.*go_to\(3\)"
    ):
        schedule.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match=r"`Schedule`: `state` must be what state_dict\(\) gave. Got {'step': 3}"):
        schedule.load_state_dict({"step": 3})
    assert schedule.steps == 0
    schedule.go_to(3)
    assert schedule.p == {"1": pytest.approx(0.07)}


def test_loading_puts_right_what_was_set_by_hand() -> None:
    model = net()
    schedule = thinned.Schedule(model, {"3": 0.2})
    thinned.set_rates(model, {"*": 0.9})
    schedule.load_state_dict(schedule.state_dict())
    assert thinned.rates(model) == {"1": 0.9, "3": 0.2}


def test_errors_name_the_schedule_and_leave_the_model_alone() -> None:
    model = net()
    with pytest.raises(ValueError, match=r"`Schedule`: `schedules` must name places of the model. Got 'encoder.\*'"):
        thinned.Schedule(model, {"1": 0.1, "encoder.*": 0.3})
    with pytest.raises(ValueError, match=r"`Constant`: `p` must be a number in \[0, 1\]. Got 20"):
        thinned.Schedule(model, {"1": 20})
    with pytest.raises(TypeError, match=r"`Schedule`: `schedules` must be a mapping .* Got EarlyDropout"):
        thinned.Schedule(model, EarlyDropout(0.1, 10))  # type: ignore[arg-type]
    assert thinned.rates(model) == {"1": 0.5, "3": 0.5}


@pytest.mark.compiler
def test_a_compiled_model_is_compiled_once() -> None:
    """More than fifty values of p, 0 and 1 among them, with every layer of ours that has a rate."""
    torch._dynamo.reset()
    layers = [thinned.nn.Dropout(0.5), thinned.nn.AlphaDropout(0.5), thinned.nn.StochasticDepth(0.5)]
    model = nn.Sequential(nn.Linear(8, 8), *layers, thinned.nn.GaussianDropout(0.5), nn.Linear(8, 8))
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    assert isinstance(compiled, nn.Module)
    schedule = thinned.Schedule(compiled, {"?": Linear(0.0, 1.0, steps=60), "4": Cosine(0.9, 0.1, steps=60)})
    x, values = torch.ones(4, 8), set()
    for _ in range(61):
        compiled(x).sum().backward()
        values.add(schedule.p["1"])
        schedule.step()
    assert len(values) == 61
    assert counter.frame_count == 1
    torch._dynamo.reset()


def test_products_nest() -> None:
    curve = 0.5 * (Constant(0.5) * WarmUp(1.0, 2) * Constant(1.0))
    assert isinstance(curve, Product)
    assert [curve(step) for step in range(4)] == [0.0, 0.125, 0.25, 0.25]


def test_depth_is_not_lost_in_products() -> None:
    expected = ByDepth(Constant(0.4) * WarmUp(1.0, 4))
    for curve in (ByDepth(0.4) * WarmUp(1.0, 4), WarmUp(1.0, 4) * ByDepth(0.4), 1.0 * ByDepth(0.4)):
        assert isinstance(curve, ByDepth)
        assert curve.block(1, of=2)(8) == expected.block(1, of=2)(8) == pytest.approx(0.2)
    twice: list[Callable[[], Curve]] = [lambda: ByDepth(0.5) * ByDepth(0.5), lambda: ByDepth(ByDepth(0.5))]
    for make in twice:
        with pytest.raises(ValueError, match=r"`ByDepth`: depth must be counted once, and outermost. Got ByDepth"):
            make()
    with pytest.raises(ValueError, match=r"`Product`: depth must be counted once.* Write ByDepth\(a \* b\)"):
        Product(Constant(0.5), ByDepth(0.5))


@dataclass(frozen=True)
class Sawtooth(Curve):
    period: int

    def at(self, step: int) -> float:
        return (step % self.period) / self.period


def test_a_curve_of_one_s_own() -> None:
    schedule = thinned.Schedule(net(), {"1": 0.5 * Sawtooth(4)})
    assert schedule.at(7) == {"1": 0.375}
    assert schedule.state_dict()["schedules"] == {"1": "Product(first=Sawtooth(period=4), second=Constant(p=0.5))"}
