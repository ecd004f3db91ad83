"""What else takes a model works on a second device as on the CPU, and leaves its tensors there."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer, load_diabetes
from tests.models import having, made
from tests.run import Run
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import thinned
import thinned.nn
from thinned.interop.sklearn import DropoutClassifier, DropoutRegressor

DEVICE = "twin"


def devices(module: nn.Module) -> set[str]:
    return {tensor.device.type for tensor in (*module.parameters(), *module.buffers())}


def plain() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.4), nn.Linear(32, 3))


@pytest.mark.parametrize("kind", having("places"))
def test_inspect_finds_the_same_places(kind: str) -> None:
    model, x = made(kind, 4)
    moved = copy.deepcopy(model).to(DEVICE)
    found = []
    for inspection in (thinned.inspect(model, x), thinned.inspect(moved, x.to(DEVICE))):
        rows = json.loads(inspection.to_json())["places"]
        # What is drawn and what it costs may differ.
        found.append([{key: row[key] for key in row if key not in ("measured", "share")} for row in rows])
    assert found[0]
    assert found[1] == found[0]
    assert devices(moved) == {DEVICE}


@pytest.mark.parametrize("kind", having("places", "rates"))
def test_rates_are_set_and_have_their_effect(kind: str) -> None:
    model, x = made(kind, 4)
    model.to(DEVICE)
    x = x.to(DEVICE)
    found = thinned.rates(model, example=x)
    assert found
    thinned.set_rates(model, dict.fromkeys(found, 0.25), example=x)
    assert set(thinned.rates(model, example=x).values()) == {0.25}
    thinned.scale_rates(model, 2.0, example=x)
    assert set(thinned.rates(model, example=x).values()) == {0.5}
    model.train()
    with thinned.disabled(model, example=x):
        calm = [model(x) for _ in range(2)]
    assert torch.equal(*calm)
    assert not torch.equal(model(x), model(x))


def test_eval_guard_names_the_noise() -> None:
    model = nn.Sequential(nn.Linear(6, 6), Run(lambda m, x: F.dropout(x, 0.5))).to(DEVICE)
    x = torch.randn(4, 6, device=DEVICE)
    with thinned.eval_guard(model):
        model.train()(x)
        with pytest.raises(thinned.NoiseInEval, match="must draw no noise in eval mode") as caught:
            model.eval()(x)
        assert caught.value.p == 0.5
    quiet = nn.Sequential(plain(), nn.LSTM(3, 4, 2, dropout=0.5)).to(DEVICE).eval()
    with thinned.eval_guard(quiet):
        assert quiet(x)[0].shape == (4, 4)


def test_the_ways_to_stand_for_all_networks() -> None:
    model, x = plain(), torch.randn(5, 6)
    moved = copy.deepcopy(model).to(DEVICE)
    scaled = thinned.weight_scaling(moved, x.to(DEVICE))
    assert scaled.device.type == DEVICE
    assert torch.equal(scaled.cpu(), thinned.weight_scaling(model, x))
    assert torch.equal(thinned.geometric_mean(moved, x.to(DEVICE), n=9), thinned.geometric_mean(model, x, n=9))


@pytest.mark.parametrize("kind", having("places"))
def test_thinned_networks_are_the_cpu_s(kind: str) -> None:
    model, x = made(kind, 5)
    moved = copy.deepcopy(model).to(DEVICE)
    ours = thinned.thinned_networks(model, 3, x[:2], seed=9)
    theirs = thinned.thinned_networks(moved, 3, x[:2].to(DEVICE), seed=9)
    assert not torch.equal(ours[0](x), ours[1](x))
    for here, there in zip(ours, theirs, strict=True):
        assert devices(there) == {DEVICE}
        for found in (
            there(x.to(DEVICE)).cpu(),
            copy.deepcopy(there)(x.to(DEVICE)).cpu(),
            copy.deepcopy(there).cpu()(x),
        ):
            torch.testing.assert_close(found, here(x), rtol=0, atol=2e-6)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_calibration_is_the_cpu_s(task: str) -> None:
    model, x = plain(), torch.randn(60, 6)
    y = torch.randint(3, (60,)) if task == "classification" else torch.randn(60, 3)
    here = thinned.calibrate(model, (x, y), task=task, p=(0.2,), n=8)
    moved = copy.deepcopy(model).to(DEVICE)
    loader = DataLoader(TensorDataset(x, y), batch_size=32)
    for data in ((x, y), (x.to(DEVICE), y.to(DEVICE)), loader):
        there = thinned.calibrate(moved, data, task=task, p=(0.2,), n=8)
        for name in ("temperature", "sigma", "nll", "nll_before"):
            assert getattr(there, name) == pytest.approx(getattr(here, name), rel=1e-5), name
        assert there.p == here.p
        torch.testing.assert_close(there.predict(x).mean, here.predict(x).mean)


def test_batch_normalisation_is_recalibrated_as_on_the_cpu() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.ReLU(), nn.BatchNorm1d(8))
    moved, batches = copy.deepcopy(model).to(DEVICE), torch.randn(64, 6).split(16)
    assert thinned.recalibrate_batchnorm(moved, batches) == pytest.approx(thinned.recalibrate_batchnorm(model, batches))
    for there, here in zip(moved.buffers(), model.buffers(), strict=True):
        assert there.device.type == DEVICE
        torch.testing.assert_close(there.cpu(), here)


def test_converted_models_draw_the_cpu_s_masks() -> None:
    model = nn.Sequential(nn.Linear(6, 40), nn.Dropout(0.4), nn.Linear(40, 6), nn.AlphaDropout(0.2))
    x = torch.randn(5, 6)
    results = []
    for place in ("cpu", DEVICE):
        converted = copy.deepcopy(model).to(place).train()
        thinned.convert(converted)
        with thinned.stream(converted, 3):
            results.append(converted(x.to(place)).cpu())
        thinned.revert(converted)
        assert type(converted[1]) is nn.Dropout
        assert devices(converted) == {place}
    assert torch.equal(*results)


def test_a_plan_is_applied_there() -> None:
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))
    results = []
    for place in ("cpu", DEVICE):
        moved, x = copy.deepcopy(model).to(place), torch.ones(4, 6, device=place)
        plan = thinned.plan(moved, x)
        applied = thinned.apply(moved, plan)
        assert applied.places
        with thinned.stream(moved.train(), 5):
            results.append((applied.places, moved(x).tolist()))
    assert results[0] == results[1]


def test_max_norm_bounds_weights_there() -> None:
    model = nn.Sequential(nn.Linear(6, 32), nn.Conv1d(1, 4, 3), nn.LSTM(6, 5)).to(DEVICE)
    constraint = thinned.MaxNorm(model, c=0.2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    constraint.attach(optimizer)
    model[0](torch.ones(2, 6, device=DEVICE)).sum().backward()
    optimizer.step()
    for norms in constraint.norms().values():
        assert float(norms.max()) <= 0.2 * (1 + 1e-6)
    assert devices(model) == {DEVICE}


def test_a_frozen_part_stays_quiet() -> None:
    model = nn.Sequential(plain(), plain().requires_grad_(False)).to(DEVICE)
    thinned.freeze(model[0])
    x = torch.randn(4, 6, device=DEVICE)
    model.train()
    assert torch.equal(model[0](x), model[0](x))


ROWS: dict[str, Any] = {"hidden_layer_sizes": (32,), "max_epochs": 5, "n_samples": 8, "random_state": 0}


@pytest.mark.parametrize(("kind", "load"), [(DropoutClassifier, load_breast_cancer), (DropoutRegressor, load_diabetes)])
def test_estimators_train_there_and_keep_their_network_here(kind: Any, load: Any) -> None:
    x, y = load(return_X_y=True)
    here, there = kind(**ROWS).fit(x, y), kind(**ROWS, device=DEVICE).fit(x, y)
    assert devices(there.network_) == {"cpu"}
    assert np.allclose(there.predict(x), here.predict(x), rtol=1e-4, atol=1e-4)
    if kind is DropoutClassifier:
        assert np.allclose(there.predict_proba(x), here.predict_proba(x), atol=1e-5)
    copied = pickle.loads(pickle.dumps(there)).set_params(device="cpu")
    assert np.allclose(copied.predict(x), there.predict(x), rtol=1e-4, atol=1e-4)


def test_a_state_dict_goes_from_one_device_to_the_other() -> None:
    layer = nn.Sequential(nn.Linear(6, 6), thinned.nn.Dropout(0.3), thinned.nn.DropConnectLinear(6, 6, p=0.3))
    moved = copy.deepcopy(layer).to(DEVICE)
    moved.load_state_dict(layer.state_dict())
    layer.load_state_dict(moved.state_dict())
    assert (devices(layer), devices(moved)) == ({"cpu"}, {DEVICE})
    assert thinned.rates(moved) == thinned.rates(layer)
    x: Tensor = torch.ones(4, 6)
    torch.manual_seed(0)
    expected = layer.train()(x)
    torch.manual_seed(0)
    assert torch.equal(moved.train()(x.to(DEVICE)).cpu(), expected)
