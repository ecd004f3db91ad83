"""Running statistics estimated again with dropout off: exact, all or nothing, and a cure on a trained network."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

import thinned
from thinned.nn import Dropout
from thinned.noise import realised

KINDS = {nn.BatchNorm1d: (7, 5), nn.BatchNorm2d: (7, 5, 3, 2), nn.BatchNorm3d: (7, 5, 2, 3, 2)}


def sorted_batches(shape: tuple[int, ...]) -> list[Tensor]:
    """Three batches of 7, 2 and 3 rows, far apart from one another."""
    x = torch.rand(12, *shape[1:], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x += torch.arange(12).reshape(-1, *[1] * (len(shape) - 1)) * 3
    return list(x.float().split([7, 2, 3]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("momentum", [0.1, None])
def test_statistics_are_those_of_one_great_batch(kind: type[nn.BatchNorm2d], momentum: float | None) -> None:
    norm, batches = kind(5, momentum=momentum), sorted_batches(KINDS[kind])
    model = nn.Sequential(Dropout(0.5), norm).train()
    model(batches[0])
    before = norm.running_var
    assert before is not None
    old = before.clone()
    shift = thinned.recalibrate_batchnorm(model, batches)
    axes = [0, *range(2, batches[0].ndim)]
    variance, mean = torch.var_mean(torch.cat(batches).double(), axes)
    torch.testing.assert_close(norm.running_mean, mean.float())
    torch.testing.assert_close(norm.running_var, variance.float())
    assert shift == {"1": pytest.approx((variance / old).median().item(), rel=1e-6)}
    assert norm.num_batches_tracked == 3
    assert norm.momentum == momentum
    assert [module.training for module in model.modules()] == [True] * 3
    update_bn(batches, model[1:])
    assert bool((before < 0.7 * variance).all())  # the mean of the batches' variances, which torch takes


class Data:
    """The digits that scikit-learn ships, and a net with dropout directly before each batch normalisation."""

    def __init__(self, seed: int, p: float = 0.5, steps: int = 150) -> None:
        digits = load_digits()
        x, y = torch.tensor(digits.data, dtype=torch.float64) / 16, torch.tensor(digits.target)
        torch.manual_seed(seed)
        order = torch.randperm(len(x))
        (self.x, self.y), (self.test_x, self.test_y) = ((x[rows], y[rows]) for rows in (order[:300], order[300:]))
        sizes = [64, 128, 128, 128, 128]
        blocks = [(nn.Linear(a, b), nn.ReLU(), Dropout(p), nn.BatchNorm1d(b)) for a, b in pairwise(sizes)]
        # In float64 the course of training is the same on every machine.
        self.model = nn.Sequential(*(layer for block in blocks for layer in block), nn.Linear(128, 10)).double()
        optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)
        for _ in range(steps):
            rows = torch.randint(300, (64,))
            optimizer.zero_grad()
            F.cross_entropy(self.model(self.x[rows]), self.y[rows]).backward()
            optimizer.step()

    @torch.no_grad()
    def right(self) -> Tensor:
        """Which test digits the model knows."""
        right: Tensor = self.model.eval()(self.test_x).argmax(1) == self.test_y
        return right

    @torch.no_grad()
    def shifts(self) -> list[float]:
        """At inference, for each layer, the variance of what it reads over the one that it remembers: a median."""
        found, x = [], self.x
        for layer in self.model.eval():
            if isinstance(layer, nn.BatchNorm1d):
                remembered, variance = layer.running_var, x.var(0)
                assert remembered is not None
                found.append(float((variance / remembered)[variance > 1e-3].median()))
            x = layer(x)
        return found


def test_the_gap_closes_on_a_trained_network(pytestconfig: pytest.Config) -> None:
    data = Data(0)
    before, right = data.shifts(), data.right()
    thinned.recalibrate_batchnorm(data.model, data.x.split(100))
    after = data.shifts()
    assert max(before) < 0.45
    assert after[0] == pytest.approx(1.0, abs=1e-9)
    assert after == pytest.approx([1.0] * 4, abs=0.02)  # the later layers have read what batches of 100 make of it
    lost, won = int((right & ~data.right()).sum()), int((~right & data.right()).sum())
    if pytestconfig.getoption("rounding"):  # of another network: no more is lost than by chance (McNemar)
        assert lost - won <= 3 * math.sqrt(lost + won)
    else:
        assert won > lost  # 152 of 1497 wrong against 172


def test_the_shift_of_a_trained_network_is_the_theory_s() -> None:
    """Var_test / Var_train = q v / (v + p c^2), channel by channel, at five standard errors of 400 batches' mean."""
    data = Data(0)
    first, norm = data.model[:3].train(), data.model[3]
    p = realised(0.5)
    with torch.no_grad():
        clean = data.model[:2](data.x)
        v, c = torch.var_mean(clean, 0, correction=0)
        variances = torch.stack([first(data.x[torch.randint(300, (64,))]).var(0) for _ in range(400)])
    alive = v > 1e-3
    assert int(alive.sum()) > 50
    mean, error = variances.mean(0), variances.std(0) / 20
    theory = (1 - p) * v / (v + p * c**2)
    assert bool(((v / mean - theory).abs() < 5 * error / mean * theory)[alive].all())
    # What the function reports is this ratio, once the layer remembers exactly what it read in training.
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_var is not None
    norm.running_var.copy_(mean)
    found = thinned.recalibrate_batchnorm(data.model, [data.x])["3"]
    assert found == pytest.approx(float(theory[alive].median()), rel=0.05)


def failing(error: BaseException) -> Iterator[Tensor]:
    yield torch.rand(4, 3)
    raise error


FAILURES: dict[str, tuple[Callable[[], Any], type[BaseException], str]] = {
    "loader": (lambda: failing(OSError("disk")), OSError, "disk"),
    "interrupt": (lambda: failing(KeyboardInterrupt("^C")), KeyboardInterrupt, "C"),
    "model": (lambda: [torch.rand(4, 3), torch.rand(4, 2)], RuntimeError, "shapes"),
    "nan": (lambda: [torch.full((4, 3), float("nan"))], ValueError, "must be finite. Got inf or nan in front of 2"),
    "one row": (lambda: [torch.rand(4, 3), torch.rand(1, 3)], ValueError, r"two values a channel. Got \(1, 5\)"),
    "no batch": (lambda: iter(()), ValueError, "must give batches that reach .* Got none for 2. Was the loader a gen"),
    "kind": (lambda: ["text"], TypeError, "a batch must be a tensor, .* Got str. Pass `forward`"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_all_or_nothing(name: str) -> None:
    loader, kind, message = FAILURES[name]
    model = nn.Sequential(nn.Linear(3, 5), Dropout(0.5), nn.BatchNorm1d(5))
    model(torch.rand(8, 3))
    model[1].eval()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(kind, match=message):
        thinned.recalibrate_batchnorm(model, loader())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_models_without_are_refused() -> None:
    for loader in (torch.ones(4, 2), 3):
        with pytest.raises(TypeError, match=r"`loader` must give batches. Got (Tensor|int). Pass a DataLoader"):
            thinned.recalibrate_batchnorm(torch.nn.BatchNorm1d(2), loader)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`recalibrate_batchnorm`: `model` must be a torch.nn.Module. Got str. Pass"):
        thinned.recalibrate_batchnorm("model", [torch.rand(4, 3)])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`model` must have batch norm.* Got Linear, which has none. There is"):
        thinned.recalibrate_batchnorm(nn.Linear(3, 3), [torch.rand(4, 3)])
    model = nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), nn.BatchNorm1d(3))
    thinned.freeze(model[1])
    with pytest.raises(ValueError, match=r"Got Sequential, which has none \(frozen, or without .*: 0, 1\)"):
        thinned.recalibrate_batchnorm(model, [torch.rand(4, 3)])
    with pytest.raises(ValueError, match=r"layers must be initialised. Got 0, which is not"):
        thinned.recalibrate_batchnorm(nn.Sequential(nn.LazyBatchNorm1d()), [torch.rand(4, 3)])
    with pytest.raises(ValueError, match=r"`batches` must be an integer in \[1, 2\*\*63\). Got 0"):
        thinned.recalibrate_batchnorm(model, [torch.rand(4, 3)], batches=0)


def test_batches_of_every_kind() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.unused = nn.BatchNorm1d(3), nn.BatchNorm1d(3)

        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            result: Tensor = self.norm(x if y is None else x + y)
            return result

    x, y = torch.rand(6, 3), torch.rand(6, 3)
    plain = x.var(0), (x + y).var(0)
    batches: list[tuple[Any, dict[str, Any], int]] = [
        ([x], {}, 0),
        (((x, y) for _ in range(1)), {}, 0),
        ([[{"x": x, "y": y}, y]], {}, 1),
        ([{"x": x, "y": y}], {}, 1),
        ([(x, y)], {"forward": lambda model, batch: model(*batch)}, 1),
        ([x, x + 100, "never"], {"batches": 1}, 0),
        (torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=6), {"device": "cpu"}, 0),
    ]
    for loader, options, expected in batches:
        model = Model()
        assert [*thinned.recalibrate_batchnorm(model, loader, **options)] == ["norm"]  # the other reads nothing
        torch.testing.assert_close(model.norm.running_var, plain[expected])
        assert model.unused.num_batches_tracked == 0


@pytest.mark.zoo
def test_a_timm_model_whose_norms_have_dropout_inside() -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("efficientnet_b0", num_classes=3, drop_rate=0.5, drop_path_rate=0.5)
    for module in model.modules():
        if isinstance(module, timm.layers.BatchNormAct2d):
            module.drop = nn.Dropout(0.5)
    model.train()
    thinned.freeze(model.bn1)
    untouched = copy.deepcopy(model.bn1.state_dict())
    batches = torch.rand(2, 4, 3, 32, 32).unbind()
    states = []
    for _ in range(2):
        shift = thinned.recalibrate_batchnorm(model, batches)
        states.append(copy.deepcopy(model.state_dict()))
    assert len(shift) == 48
    # The second time nothing shifts, for nothing is random.
    assert [*shift.values()] == pytest.approx([1.0] * 48, abs=1e-6)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert all(torch.equal(value, model.bn1.state_dict()[name]) for name, value in untouched.items())
    assert not model.bn1.training
    assert model.bn2.training
    assert model.bn2.drop.training


@pytest.mark.compiler
def test_a_compiled_model() -> None:
    model = nn.Sequential(nn.Linear(3, 4), Dropout(0.5), nn.BatchNorm1d(4))
    twin = copy.deepcopy(model)
    compiled = torch.compile(model, backend="aot_eager")
    assert isinstance(compiled, nn.Module)
    x = torch.rand(20, 3)
    compiled(x)
    assert thinned.recalibrate_batchnorm(compiled, [x]).keys() == {"2"}
    thinned.recalibrate_batchnorm(twin, [x])
    torch.testing.assert_close(compiled.eval()(x), twin.eval()(x))
    model.compile(backend="aot_eager")
    assert thinned.recalibrate_batchnorm(model, [x]) == {"2": pytest.approx(1.0, abs=1e-6)}
