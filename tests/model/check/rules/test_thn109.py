"""THN109 and the column of modes: what the caller left in training or in evaluation, as it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thinned

X = torch.ones(64, 8)


class Adapted(nn.Module):
    """A layer with a side branch, as LoRA's."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer, self.drop, self.side = layer, nn.Dropout(0.1), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layer(x) + self.side(self.drop(x))
        return result


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 8))


def adapted() -> nn.Sequential:
    model = net().eval()
    model[3] = Adapted(nn.Linear(8, 8))
    return model


def monte_carlo() -> nn.Module:
    model = net().eval()
    model[2].train()
    return model


def half_asleep() -> nn.Module:
    model = net()
    model.append(nn.Sequential(nn.Dropout(0.3), nn.Linear(8, 2)).eval())
    return model


def frozen() -> nn.Module:
    model = nn.Sequential(net(), nn.Dropout(0.1), nn.Linear(8, 2))
    thinned.freeze(model[0])
    return model


def backbone() -> nn.Module:
    return nn.Sequential(net().requires_grad_(False).eval(), nn.Linear(8, 2))


CASES: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "training": (net, []),
    "evaluation": (lambda: net().eval(), []),
    "an adapter added in evaluation": (adapted, ["3.drop"]),
    "a dropout put into training": (monte_carlo, ["2"]),
    "a part left in evaluation": (half_asleep, ["4.0"]),
    "a frozen part": (frozen, []),
    "a part without gradients": (backbone, []),
    "p = 0": (lambda: nn.Sequential(nn.Dropout(0.0).eval(), nn.Linear(8, 8)), []),
}


@pytest.mark.parametrize("case", CASES)
def test_modes_that_differ_are_found(case: str) -> None:
    make, expected = CASES[case]
    model = make()
    modes = [module.training for module in model.modules()]
    assert [finding.place for finding in thinned.check(model, X, select=["THN109"])] == expected
    assert [module.training for module in model.modules()] == modes


def test_the_message_counts_them() -> None:
    model = adapted()
    model[0] = Adapted(nn.Linear(8, 8))
    (finding,) = thinned.check(model, X, select=["THN109"])
    assert "in evaluation mode, and 2 dropouts ('0.drop', '3.drop') draw noise now" in finding.message


def test_the_column_tells_mode_and_noise_as_found() -> None:
    places = {place.name: place for place in thinned.inspect(adapted(), X).places}
    assert [(places[name].mode, places[name].now) for name in ("2", "3.drop")] == [("eval", False), ("train", True)]
    inspection = thinned.inspect(adapted(), X)
    header, *rows = str(inspection).splitlines()
    assert "found" in header.split()
    assert any(row.split()[0] == "3.drop" and "train, draws" in row for row in rows)
    assert {"mode", "now"} <= set(inspection.places[0].row())
    for model in (net(), net().eval()):
        (place,) = thinned.inspect(model, X).places
        assert (place.mode, place.now) == (("train", True) if model.training else ("eval", False))


def test_a_leak_draws_in_evaluation_as_it_is() -> None:
    class Leak(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(x, 0.5)

    model = nn.Sequential(nn.Dropout(0.1), Leak()).eval()
    model[0].train()
    found = {place.name: (place.mode, place.now) for place in thinned.inspect(model, X).places}
    assert found == {"0": ("train", True), "1:dropout": ("eval", True)}


@pytest.mark.parametrize("name", ["train", "eval", "modules", "children", "parameters"])
def test_an_attribute_that_hides_a_method_of_torch_does_no_harm(name: str) -> None:
    class Flagged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)
            vars(self)[name] = True

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.drop(x)
            return result

    model = nn.Sequential(nn.Linear(8, 8), Flagged())
    assert [place.active for place in thinned.inspect(model, X).places] == ["train"]
    thinned.check(model, X)
    thinned.plan(model, X)
    assert thinned.set_rates(model, {"*": 0.25}, example=X) == {"1.drop": 0.25}
    with thinned.disabled(model):
        assert torch.equal(model(X), model(X))
    thinned.freeze(model)
    assert torch.equal(model(X), model(X))
    thinned.thaw(model)
    assert vars(model[1])[name] is True


def test_an_exported_program_is_inspected_in_its_one_mode() -> None:
    program = torch.export.export(nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.25)).train(), (X,)).module()
    assert [(place.p, place.active) for place in thinned.inspect(program, X).places] == [(0.5, "both"), (0.25, "both")]
    assert {finding.code for finding in thinned.check(program, X)} >= {"THN101"}
