"""`predict` looks at a model once, and again after any change that its noise may depend on."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

import thinned
from thinned.uncertainty.predictor import Predictor

LOOKS = [0]


@pytest.fixture(autouse=True)
def looks(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Predictor._looked
    LOOKS[0] = 0

    def counted(self: Predictor, *arguments: Any) -> Any:
        LOOKS[0] += 1
        return look(self, *arguments)

    monkeypatch.setattr(Predictor, "_looked", counted)


def net() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        *(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.3)),
        *(nn.Linear(16, 16), thinned.nn.Dropout(0.2), nn.Sequential(nn.Linear(16, 3))),
    )


X = torch.randn(7, 6, generator=torch.Generator().manual_seed(0))


def looked(model: nn.Module, x: Any = X, **options: Any) -> int:
    """How often the model is looked at in one call."""
    before = LOOKS[0]
    thinned.predict(model, x, **{"n": 6} | options)
    return LOOKS[0] - before


def same(model: nn.Module, x: Any = X, **options: Any) -> None:
    """The answer is that of a model that was never seen."""
    found, expected = (thinned.predict(one, x, 6, **options) for one in (model, deepcopy(model)))
    assert torch.equal(found.mean, expected.mean)
    assert torch.equal(found.std, expected.std)
    assert found.places == expected.places
    assert found.engine == expected.engine


def test_a_model_is_looked_at_once() -> None:
    model = net()
    assert [looked(model) for _ in range(3)] == [1, 0, 0]
    others: list[dict[str, Any]] = [
        {"seed": 5},
        {"n": 9, "levels": (0.2,), "samples": True},
        {"memory": 4096},
        {"task": "classification", "temperature": 2.0},
    ]
    for options in others:
        assert looked(model, **options) == 0
    assert looked(model, X[:2]) == 0
    same(model)
    same(model, X[:1], task="classification")


def rate(model: Any) -> None:
    model[3].p = 0.6


def rate_of_ours(model: Any) -> None:
    model[5].p = 0.6


def rate_by_name(model: Any) -> None:
    thinned.set_rates(model, {"3": 0.7})


def other_layer(model: Any) -> None:
    model[3] = nn.AlphaDropout(0.3)


def same_layer_anew(model: Any) -> None:
    model[3] = nn.Dropout(0.3)


def deeper(model: Any) -> None:
    model[6].append(nn.Dropout(0.5))


def gone(model: Any) -> None:
    del model[3]


def swapped(model: Any) -> None:
    model[2], model[3] = model[3], model[2]


def twice(model: Any) -> None:
    model[2] = model[3]


def named_anew(model: Any) -> None:
    model._modules = {f"layer{name}": child for name, child in model._modules.items()}


def hook(model: Any) -> None:
    model[2].register_forward_hook(lambda module, _, y: F.dropout(y, 0.5, True))


def earlier_hook(model: Any) -> None:
    model[2].register_forward_pre_hook(lambda module, args: (F.dropout(args[0], 0.5, module.training),))


def parametrized(model: Any) -> None:
    class Thin(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(x, 0.5, self.training)

    parametrize.register_parametrization(model[4], "weight", Thin())


def dropped_weights(model: Any) -> None:
    thinned.nn.drop_connect(model[4], p=0.4)


def own_forward(model: Any) -> None:
    model[2].forward = lambda x: F.dropout(x, 0.5, model[2].training)


def other_class(model: Any) -> None:
    class Noisy(nn.Tanh):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(x, 0.5, self.training)

    model[2].__class__ = Noisy


def shared_mask(model: Any) -> None:
    model[5].broadcast_dims = (0,)


def law(model: Any) -> None:
    model[5].scaling = "classic"


def wider(model: Any) -> None:
    model[4], model[6] = nn.Linear(16, 20), nn.Linear(20, 3)


def double(model: Any) -> None:
    model.double()


CHANGES: list[Callable[[Any], None]] = [
    *(rate, rate_of_ours, rate_by_name, other_layer, same_layer_anew, deeper, gone, swapped, twice, named_anew),
    *(hook, earlier_hook, parametrized, dropped_weights, own_forward, other_class, shared_mask, law, wider),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_brings_another_look(change: Callable[[Any], None]) -> None:
    model = net()
    thinned.predict(model, X, 6)
    change(model)
    assert looked(model) == 1
    same(model)
    thinned.predict(model, X, 6)
    same(model)


def test_numbers_of_another_type_bring_another_look() -> None:
    model = net()
    thinned.predict(model, X, 6)
    model.double()
    assert looked(model, X.double()) == 1
    same(model, X.double())


def test_modes_weights_and_statistics_bring_none_and_are_used() -> None:
    model = net()
    before = thinned.predict(model, X, 6).mean

    def retrained() -> None:
        model[4].weight = nn.Parameter(torch.randn(16, 16))
        model[1].running_mean.add_(1.0)  # type: ignore[operator]
        model.load_state_dict({name: 1.5 * value for name, value in model.state_dict().items()})

    for change in (model.eval, model.train, model[3].eval, retrained):
        change()
        modes = [module.training for module in model.modules()]
        assert looked(model) == 0
        assert modes == [module.training for module in model.modules()]
        same(model)
    assert not torch.allclose(thinned.predict(model, X, 6).mean, before)


WAYS: list[dict[str, Any]] = [
    {"p": 0.5},
    {"p": {"3": 0.4}},
    {"p": {"3": 0.4, "*": 0.1}},
    {"p": {"*": 0.1, "3": 0.4}},
    {"sites": "3"},
    {"sites": ["5"]},
    {"shared_masks": True},
    {"select": lambda answer: answer[:, :1]},
    {"p": 1},
]


def test_each_way_of_asking_has_its_own_look() -> None:
    model = net()
    thinned.predict(model, X, 6)
    for options in WAYS:
        assert looked(model, **options) == 1
        same(model, **options)
    for options in reversed(WAYS):
        same(model, **options)


def test_rows_of_another_shape_bring_another_look() -> None:
    model = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.4), nn.Linear(16, 2))
    shapes = (X, torch.randn(5, 3, 6), torch.randn(2, 6), torch.randn(5, 4, 6))
    assert [looked(model, x) for x in shapes] == [1, 1, 0, 1]
    for x in shapes:
        same(model, x)


def test_rows_that_depend_on_one_another_are_looked_at_each_time() -> None:
    model = nn.Sequential(nn.Softmax(0), nn.Dropout(0.4))
    assert [looked(model) for _ in range(2)] == [1, 1]
    same(model)


def test_a_forward_of_the_users_is_looked_at_each_time() -> None:
    """It may ask for anything: here for a global variable, and for the values in the rows."""

    class Own(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(x, RATE[0] if x.sum() < 1e6 else 0.0, self.training)

    model = nn.Sequential(Own(), nn.Dropout(0.2))
    same(model)
    RATE[0] = 0.7
    same(model)
    RATE[0] = 0.1


RATE = [0.1]


@pytest.fixture
def _noisy_tanh() -> Iterator[None]:
    plain = torch.nn.Tanh.forward
    yield
    torch.nn.Tanh.forward = plain  # type: ignore[method-assign]


@pytest.mark.usefixtures("_noisy_tanh")
def test_another_forward_of_one_of_torchs_classes() -> None:
    model = net()
    thinned.predict(model, X, 6)
    torch.nn.Tanh.forward = lambda self, x: F.dropout(x, 0.5, self.training)  # type: ignore[method-assign,assignment]
    assert looked(model) == 1
    same(model)


def test_another_function_of_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2))
    thinned.predict(model, X, 6)
    dropout = F.dropout
    monkeypatch.setattr(F, "relu", lambda x, inplace=False: dropout(x, 0.5, True))
    assert looked(model) == 1
    same(model)


def test_a_hook_of_all_modules() -> None:
    model = net()
    thinned.predict(model, X, 6)

    def noisy(module: nn.Module, _: Any, y: Tensor) -> Any:
        return F.dropout(y, 0.5, module.training) if isinstance(module, nn.Tanh) else None

    handle = nn.modules.module.register_module_forward_hook(noisy)
    try:
        assert looked(model) == 1
        same(model)
    finally:
        handle.remove()
    same(model)


def test_what_is_not_a_plain_tensor_is_looked_at_each_time() -> None:
    model = net()
    for given in ({"input": X}, (X,), X.clone().requires_grad_()):
        thinned.predict(model, X, 6)
        same(model, given)


def test_probabilities_are_refused_by_the_weights_of_now() -> None:
    """Dropout hides them in the samples, so they are found in the answer without noise."""
    model = nn.Sequential(nn.Linear(6, 40), nn.Dropout(0.5))
    x = torch.randn(30, 6)
    thinned.predict(model, x, 6, task="classification")
    with torch.no_grad():
        model[0].weight.zero_()  # type: ignore[operator]
        model[0].bias.copy_(torch.full((40,), 1 / 40))  # type: ignore[operator]
    outcomes = []
    for one in (model, deepcopy(model)):
        try:
            outcomes.append(str(thinned.predict(one, x, 6, task="classification").mean))
        except ValueError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


def test_an_error_is_not_remembered() -> None:
    model = net()
    thinned.predict(model, X, 6)
    with pytest.raises(RuntimeError):
        thinned.predict(model, torch.randn(7, 5), 6)
    same(model)


def test_neither_the_model_nor_a_tensor_of_it_is_held() -> None:
    model = net()
    thinned.predict(model, X, 6)
    weight, layer, copied = weakref.ref(model[4].weight), weakref.ref(model[3]), deepcopy(model)
    model[4].weight = nn.Parameter(torch.randn(16, 16))
    gc.collect()
    assert weight() is None
    whole = weakref.ref(model)
    del model
    gc.collect()
    assert whole() is layer() is None
    same(copied)


def test_threads_have_the_answers_of_one(one_thread: None) -> None:
    model = net()
    expected = [thinned.predict(model, X, 6, seed=seed).mean for seed in range(3)]
    with ThreadPoolExecutor(3, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        calls = [pool.submit(thinned.predict, model, X, 6, seed=seed % 3) for seed in range(12)]
        assert all(torch.equal(call.result().mean, expected[n % 3]) for n, call in enumerate(calls))
