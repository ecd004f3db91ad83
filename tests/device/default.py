"""torch's default device is a second one: what the library makes for itself stays where it belongs.

That is `torch.set_default_device("cuda")` at the top of a script. Every door gives the CPU's numbers then, whether its
model and data are on that device or on the CPU.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.device.samples import KINDS, ROUNDED
from tests.device.tools import devices, plain
from tests.models import having, made
from tests.run import Run
from tests.stream.network import SEED, gradients, network
from tests.transforms.conftest import CASES, Case
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset
from typer.testing import CliRunner

import thinned
import thinned.nn
from thinned.cli.app import app
from thinned.interop.sklearn import DropoutClassifier
from thinned.uncertainty import scores

DEVICE = "twin"
ROOT = Path(__file__).parents[2]

PLACES = (DEVICE, "cpu")


@contextmanager
def default_device() -> Iterator[None]:
    torch.set_default_device(DEVICE)
    try:
        assert torch.empty(0).device.type == DEVICE
        yield
    finally:
        torch.set_default_device(None)


class Strays(TorchDispatchMode):
    """Which operators have made something on the default device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if any(isinstance(value, Tensor) and value.device.type == DEVICE for value in tree_leaves(result)):
            self.found.add(str(func))
        return result


def assert_the_cpu_s(
    door: Callable[[str], Any], *, rounded: float = 0.0, makes: bool = False, places: Sequence[str] = PLACES
) -> None:
    """Where torch has a default device, a door gives what it gives on the CPU without one: of things there, and of
    things on the CPU.

    With all that it is given on the CPU nothing is made elsewhere, unless the door itself `makes` tensors where torch
    does.
    """
    torch.manual_seed(0)
    expected = tree_leaves(door("cpu"))
    for place in places:
        strays = Strays()
        with default_device(), nullcontext() if place == DEVICE or makes else strays:
            torch.manual_seed(0)
            found = tree_leaves(door(place))
        assert not strays.found
        assert len(found) == len(expected)
        for there, here in zip(found, expected, strict=True):
            if isinstance(here, (Tensor, float)):
                there = there.detach().cpu() if isinstance(there, Tensor) else there
                torch.testing.assert_close(
                    there,
                    here,
                    rtol=rounded,
                    atol=rounded,
                    equal_nan=True,
                    msg=partial("of things on {}: {}".format, place),
                )
            else:
                assert there == here, place


# Layers.


@pytest.mark.parametrize("case", CASES, ids=str)
def test_layers_and_their_gradients(case: Case) -> None:
    weights, x = case.layer().double().state_dict(), case.sample(torch.float64)

    def door(place: str) -> Any:
        layer = case.layer().double().to(place)
        layer.load_state_dict(weights)
        leaf = x.to(place, copy=True).requires_grad_()
        found = []
        for seed in (0, 1):
            y = case.call(layer, leaf, seed)
            assert y.device.type == place
            found += [y, *torch.autograd.grad(y.sin().sum(), [leaf, *layer.parameters()])]
        return [*found, case.call(layer.eval(), leaf, 2)]

    assert_the_cpu_s(door, rounded=1e-9, makes=True)


@pytest.mark.parametrize("case", [case for case in CASES if case.variant.keyed], ids=str)
def test_masks_of_a_key(case: Case) -> None:
    layer, x = case.layer(), case.sample()

    def door(place: str) -> Any:
        rows = x.expand(3, *x.shape).to(place)
        keyed = [
            layer(x.to(place), key=key) for key in (5, torch.tensor(5, device=place), torch.tensor(5))
        ]  # the last where torch makes it
        return keyed, torch.vmap(layer, randomness="different")(rows)

    assert_the_cpu_s(door, rounded=0.0 if case.variant.law.startswith("bernoulli") else 1e-6, makes=True)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.variant.name in ("Dropout", "GaussianDropout", "LSTM")], ids=str
)
@pytest.mark.parametrize("place", PLACES)
def test_compiled(case: Case, place: str) -> None:
    layer, x = case.layer(), case.sample().to(place)
    layer.to(place)
    torch._dynamo.reset()
    with default_device(), torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(case.call(compiled, x, 0), case.call(layer, x, 0))
    torch._dynamo.reset()


@pytest.mark.parametrize("module", [thinned.nn.LockedDropout(0.4), thinned.nn.LSTM(6, 6, 2, dropout=0.4)])
def test_packed_sequences(module: nn.Module) -> None:
    x = torch.rand(5, 3, 6) + 1

    def door(place: str) -> Any:
        packed = pack_padded_sequence(x.to(place), torch.tensor([2, 5, 3], device="cpu"), enforce_sorted=False)
        y = copy.deepcopy(module).to(place)(packed)
        return y if isinstance(y, PackedSequence) else y[0].data

    assert_the_cpu_s(door, rounded=1e-6)


@pytest.mark.parametrize("way", [lambda model, x: model(x), checkpoint])
def test_streams(way: Callable[..., Tensor]) -> None:
    model, batches = network().double(), torch.randn(3, 8, 6, dtype=torch.float64)

    def door(place: str) -> Any:
        moved = copy.deepcopy(model).to(place)
        found: list[Any] = []
        with thinned.stream(moved, SEED, in_state_dict=True) as stream:
            for x in batches.to(place):
                for index, part in enumerate(x.chunk(2)):
                    with stream.part(index, 2):
                        options = {"use_reentrant": False} if way is checkpoint else {}
                        way(moved, part, **options).square().sum().backward()
                found += gradients(moved)
                stream.step()
            found.append(moved.state_dict())
            moved.load_state_dict(found[-1])
            functional = thinned.nn.functional.dropout(batches[0].to(place))
        return found, functional, stream.state_dict()

    assert_the_cpu_s(door, rounded=1e-9)


def test_max_norm() -> None:
    model, x = nn.Sequential(nn.Linear(6, 32), thinned.nn.Dropout(0.2), nn.Linear(32, 2)), torch.randn(4, 6)

    def door(place: str) -> Any:
        moved = copy.deepcopy(model).to(place)
        constraint = thinned.MaxNorm(moved, c=0.2)
        optimizer = torch.optim.SGD(moved.parameters(), lr=1.0)
        constraint.attach(optimizer)
        moved(x.to(place)).square().sum().backward()
        optimizer.step()
        return constraint.norms(), moved.state_dict()

    assert_the_cpu_s(door, rounded=1e-6)


# Models.


@pytest.mark.parametrize("kind", having("places"))
def test_inspect_and_check(kind: str) -> None:
    model, x = made(kind, 4)

    def door(place: str) -> Any:
        moved = copy.deepcopy(model).to(place)
        rows = json.loads(thinned.inspect(moved, x.to(place)).to_json())["places"]
        assert devices(moved) <= {place}
        findings = thinned.check(moved, x.to(place))
        # torch's fused path, of which THN105 is, is never taken where there is a default device.
        told = [(finding.code, finding.place) for finding in findings if finding.code != "THN105"]
        return [[row[key] for key in row if key not in ("measured", "share")] for row in rows], told

    assert_the_cpu_s(door)


class Unscaled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.rand_like(x) > 0.2) if self.training else x


def test_a_check_that_measures() -> None:
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), Unscaled(), nn.Linear(64, 4))
    x = torch.randn(8, 16)

    def door(place: str) -> Any:
        return [finding.code for finding in thinned.check(copy.deepcopy(model).to(place), x.to(place))]

    assert door("cpu") == ["THN405"]
    assert_the_cpu_s(door)


@pytest.mark.parametrize("kind", having("places", "rates"))
def test_rates_and_schedules(kind: str) -> None:
    model, x = made(kind, 4)

    def door(place: str) -> Any:
        moved, example = copy.deepcopy(model).to(place), x.to(place)
        found = [thinned.rates(moved, example=example)]
        thinned.set_rates(moved, dict.fromkeys(found[0], 0.25), example=example)
        found.append(thinned.rates(moved, example=example))
        thinned.scale_rates(moved, 2.0, example=example)
        found.append(thinned.rates(moved, example=example))
        schedule = thinned.Schedule(moved, {"*": thinned.schedules.EarlyDropout(0.5, steps=4)}, example=example)
        schedule.step()
        found += [schedule.p, thinned.rates(moved, example=example)]
        assert not torch.equal(moved.train()(example), moved(example))
        with thinned.disabled(moved, example=example):
            return found, moved(example)

    assert_the_cpu_s(door, rounded=2e-6)


def test_eval_guard() -> None:
    model, x = nn.Sequential(nn.Linear(6, 6), Run(lambda m, x: F.dropout(x, 0.5))), torch.randn(4, 6)

    def door(place: str) -> Any:
        moved = copy.deepcopy(model).to(place)
        with thinned.eval_guard(moved):
            moved.train()(x.to(place))
            quiet = moved[0](x.to(place))
            with pytest.raises(thinned.NoiseInEval) as caught:
                moved.eval()(x.to(place))
        error = caught.value
        return quiet, error.place, error.function, error.p, error.file, error.line

    assert_the_cpu_s(door)


def test_convert_plan_and_freeze() -> None:
    torch_s = nn.Sequential(nn.Linear(6, 40), nn.Dropout(0.4), nn.Linear(40, 6), nn.AlphaDropout(0.2))
    bare, x = (
        nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3)),
        torch.ones(4, 6),
    )

    def door(place: str) -> Any:
        converted, planned, example = copy.deepcopy(torch_s).to(place), copy.deepcopy(bare).to(place), x.to(place)
        thinned.convert(converted.train())
        with thinned.stream(converted, 3):
            found = [converted(example)]
        thinned.revert(converted)
        assert type(converted[1]) is nn.Dropout
        applied = thinned.apply(planned, thinned.plan(planned, example))
        with thinned.stream(planned.train(), 5):
            found += [applied.places, planned(example)]
        thinned.freeze(planned)
        return [*found, planned.train()(example)]

    assert_the_cpu_s(door, rounded=1e-6)


def test_recalibrate_batchnorm() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.ReLU(), nn.BatchNorm1d(8))
    batches = torch.randn(64, 6).split(16)

    def door(place: str) -> Any:
        moved = copy.deepcopy(model).to(place)
        return thinned.recalibrate_batchnorm(moved, batches), moved.state_dict()

    assert_the_cpu_s(door, rounded=1e-6)


# Predictions.


@pytest.mark.parametrize("kind", KINDS)
def test_predict(kind: str) -> None:
    model, x = made(kind, 5)

    def door(place: str) -> Any:
        found = thinned.predict(copy.deepcopy(model).to(place), x.to(place), n=4, seed=7, samples=True)
        assert found.mean.device.type == "cpu"
        return found.samples, found.std, found.quantiles, found.places, found.engine

    assert_the_cpu_s(door, rounded=2e-6 if kind in ROUNDED else 0.0, makes=kind == "LayerDrop")


@pytest.mark.parametrize("kind", ["Dropout", "TransformerEncoder", "LSTM", "normal noise", "LayerDrop"])
def test_a_predictor_of_classes(kind: str) -> None:
    model, x = made(kind, 5)

    def door(place: str) -> Any:
        options: dict[str, Any] = {"task": "classification", "output": lambda y: y.flatten(1)}
        ask = thinned.Predictor(copy.deepcopy(model).to(place), 4, seed=7, **options)
        found = [ask(x.to(place)), ask(x[3:].to(place), first_row=3), ask(x[3:])]
        return [(part.mean, part.votes, part.entropy, part.mutual_information) for part in found]

    assert_the_cpu_s(door, rounded=2e-6, makes=kind == "LayerDrop")


def test_a_mask_made_where_torch_makes_tensors() -> None:
    model, x = made("rand > p", 5)

    def door(place: str) -> Any:
        return thinned.predict(copy.deepcopy(model).to(place), x.to(place), n=4, seed=7, samples=True).samples

    assert_the_cpu_s(door, places=[DEVICE])


def test_predictions_of_packed_sequences() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 5, 2, dropout=0.5, batch_first=True)

        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            steps, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
            return steps.sum(1)

    model, x, lengths = Packed(), torch.randn(6, 7, 4), torch.tensor([3, 7, 1, 5, 2, 6])

    def door(place: str) -> Any:
        rows = x.to(place), lengths.to(place)
        return thinned.predict(copy.deepcopy(model).to(place), rows, n=4, samples=True).samples

    assert_the_cpu_s(door, rounded=2e-6)


def test_predictions_of_batches() -> None:
    model = plain()
    loader = DataLoader(TensorDataset(torch.randn(6, 6)), batch_size=4)

    def door(place: str) -> Any:
        return thinned.predict(copy.deepcopy(model).to(place), loader, n=4, samples=True).samples

    assert_the_cpu_s(door, makes=True)  # a DataLoader draws a seed


def test_networks_and_what_stands_for_them() -> None:
    models = [plain(), nn.Sequential(nn.Linear(6, 9), nn.AlphaDropout(0.3), nn.Linear(9, 3)), made("functional")[0]]
    x = torch.randn(5, 6)

    def door(place: str) -> Any:
        found: list[Any] = []
        for model in models:
            moved, rows = copy.deepcopy(model).to(place), x.to(place)
            for each in thinned.thinned_networks(moved, 3, rows[:2], seed=9):
                assert devices(each) == {place}
                found += [each(rows), copy.deepcopy(each)(rows)]
            found += [thinned.weight_scaling(moved, rows), thinned.geometric_mean(moved, rows, n=9)]
        return found

    assert_the_cpu_s(door, rounded=2e-6)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_calibrate_and_scores(task: str) -> None:
    model, x = (
        plain() if task == "classification" else nn.Sequential(*list(plain())[:3], nn.Linear(32, 1)),
        torch.randn(60, 6),
    )
    y = torch.randint(3, (60,)) if task == "classification" else torch.randn(60, 1)

    def door(place: str) -> Any:
        moved, pair = copy.deepcopy(model).to(place), (x.to(place), y.to(place))
        fitted = thinned.calibrate(moved, pair, task=task, p=(0.2,), n=8)
        found = thinned.predict(moved, pair[0], n=8, task=task, samples=True)
        told: list[Any] = [fitted.temperature, fitted.sigma, fitted.p, fitted.nll, fitted.predict(pair[0]).mean]
        if task == "classification":
            bins = scores.reliability(found, pair[1], bins=5)
            curve = scores.risk_coverage(torch.linspace(0, 1, 60, device=place), pair[1] == 1)
            table = scores.class_scores(found, pair[1])
            return (
                told,
                bins.edges,
                bins.rows,
                bins.accuracy,
                curve,
                table.nll,
                table.ece,
                table.error_auroc,
                table.aurc,
            )
        tables = [scores.value_scores(found, pair[1], sigma) for sigma in (0.0, 0.5)]
        return told, [(table.rmse, table.log_likelihood, table.calibration) for table in tables]

    assert_the_cpu_s(door, rounded=1e-5)


# Other doors.


def test_an_estimator() -> None:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((80, 4))
    y = x[:, 0] > 0

    def door(place: str) -> Any:
        estimator = DropoutClassifier(hidden_layer_sizes=(16,), max_epochs=3, n_samples=4, random_state=0, device=place)
        return torch.from_numpy(estimator.fit(x, y).predict_proba(x))

    assert_the_cpu_s(door, rounded=1e-5)


@pytest.mark.parametrize("shape", ["4x8", "int64:4x8", "bool:4x8"])
def test_a_model_whose_module_sets_a_default_device(
    shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "import torch\n\nclass Net(torch.nn.Linear):\n    def forward(self, x):\n"
        "        return torch.nn.functional.dropout(super().forward(x.float()), 0.25, self.training)\n\n"
        "def net():\n    return Net(8, 4)\n"
    )
    (tmp_path / "default_net.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "default_net", raising=False)
    command = ["inspect", "default_net:net", "--input", shape, "--output-format", "json"]
    with default_device():
        done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert [place["name"] for place in json.loads(done.stdout)["places"]] == [":dropout"]


def test_an_import_after_it() -> None:
    program = f"""
import sys
from tests.device import twin
twin.register()
import torch
torch.set_default_device({DEVICE!r})
import thinned, thinned.nn
model = torch.nn.Sequential(torch.nn.Linear(6, 9), thinned.nn.Dropout(0.5), torch.nn.LSTM(9, 5, 2, dropout=0.5))
class Noisy(torch.nn.Module):
    def forward(self, x):
        return (x[0] + torch.randn_like(x[0])) * torch.rand_like(x[0]) if self.training else x[0]
model.append(Noisy())
x = torch.linspace(-1, 1, 24).reshape(4, 6)
found = [thinned.predict(model.to(place), x.to(place), n=3, samples=True).samples for place in ("cpu", {DEVICE!r})]
torch.testing.assert_close(*found)
layer = thinned.nn.Dropout(0.5)
assert torch.equal(layer(x.cpu(), key=3), layer(x, key=3).cpu())
assert thinned.inspect(model, x).places
for name, module in list(sys.modules.items()):
    if name.startswith("thinned"):
        places = {{key: value.device.type for key, value in vars(module).items() if isinstance(value, torch.Tensor)}}
        assert set(places.values()) <= {{"cpu"}}, (name, places)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, errors="replace", check=False
    )
    assert not done.returncode, done.stderr
