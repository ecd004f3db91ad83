"""Whatever holds places of a model finds them again after `convert`, `revert` and `remove()`, or raises."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thinned
from thinned.model.plan.line import PlanLine
from thinned.schedules import Linear

X = torch.ones(4, 8)


def net(p: float = 0.5) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 8), nn.Dropout(p), nn.Linear(8, 8), nn.Dropout(p), nn.Linear(8, 2))


def test_a_schedule_goes_on_after_convert_and_revert() -> None:
    model = net()
    schedule = thinned.Schedule(model, {"*": Linear(0.0, 1.0, steps=10)})
    for change in (thinned.convert, thinned.revert, thinned.convert):
        schedule.step()
        change(model)
        schedule.step()
        expected = schedule.steps / 10
        assert schedule.p == thinned.rates(model) == {"1": expected, "3": expected}


def test_its_p_is_the_models() -> None:
    model = net()
    schedule = thinned.Schedule(model, {"*": 0.3})
    thinned.convert(model)
    thinned.set_rates(model, {"*": 0.0})
    assert schedule.p == thinned.rates(model) == {"1": 0.0, "3": 0.0}
    thinned.revert(model)
    assert schedule.p == thinned.rates(model)
    schedule.step()
    assert schedule.p == thinned.rates(model) == {"1": 0.3, "3": 0.3}


class Reads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.drop.p, self.training)


def test_a_call_that_reads_a_converted_modules_p_follows() -> None:
    model, reads = nn.Sequential(inner := Reads()), inner
    schedule = thinned.Schedule(model, {"0:dropout": Linear(0.0, 1.0, steps=4)})
    thinned.convert(model)
    schedule.step()
    assert reads.drop.p == schedule.p["0:dropout"] == 0.25


@pytest.mark.parametrize("how", ["new dropouts", "p of a dropout"])
def test_a_schedule_of_a_removed_plan_raises_or_goes_on(how: str) -> None:
    model = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10))
    if how == "p of a dropout":
        model = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Dropout(0.0), nn.Linear(512, 10))
    handle = thinned.apply(model, thinned.plan(model, torch.ones(8, 64)))
    schedule = thinned.Schedule(model, {"*": 0.3})
    handle.remove()
    if how == "p of a dropout":
        assert schedule.p == thinned.rates(model) == {"2": 0.0}
        return
    with pytest.raises(RuntimeError, match=r"`Schedule`: its places must be in the model. Got '1.thinned_output'"):
        schedule.step()
    with pytest.raises(RuntimeError, match="Make a new Schedule"):
        assert schedule.p


def planned() -> tuple[nn.Sequential, thinned.Applied]:
    model = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Dropout(0.0), nn.Linear(512, 10))
    return model, thinned.apply(model, thinned.plan(model, torch.ones(8, 64)))


def test_removing_a_plan_after_convert_puts_the_former_p_back() -> None:
    model, handle = planned()
    (p,) = thinned.rates(model).values()
    assert p > 0
    thinned.convert(model)
    assert handle.plan.enabled[0].p == p
    handle.remove()
    assert thinned.rates(model) == {"2": 0.0}
    thinned.revert(model)
    assert thinned.rates(model) == {"2": 0.0}


def test_removing_a_plan_whose_dropout_is_gone_raises_and_changes_nothing() -> None:
    model, handle = planned()
    model[2] = nn.Identity()
    with pytest.raises(RuntimeError, match=r"`Applied.remove`: the place '2', whose p the plan set, must be"):
        handle.remove()
    with pytest.raises(RuntimeError, match=r"`Applied.plan`: the plan must be in the model. Got no place at 'p of 2'"):
        assert handle.plan
    model[2] = nn.Dropout(0.4)
    handle.remove()
    assert thinned.rates(model) == {"2": 0.0}


def test_a_plan_is_not_removed_while_disabled_holds_its_p() -> None:
    model, handle = planned()
    before = thinned.rates(model)
    with thinned.disabled(model), pytest.raises(RuntimeError, match="Got '2', which `disabled` holds at 0"):
        handle.remove()
    assert thinned.rates(model) == before


def test_no_plan_is_applied_in_an_active_stream() -> None:
    model = nn.Sequential(thinned.nn.Dropout(0.1), nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10))
    plan = thinned.plan(model, torch.ones(8, 64))
    with thinned.stream(model, seed=0), pytest.raises(RuntimeError, match="`apply`: `model` must be in no active stre"):
        thinned.apply(model, plan)


def test_the_plan_of_a_handle_has_the_rates_of_now() -> None:
    model = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10))
    plan = thinned.plan(model, torch.ones(8, 64))
    handle = thinned.apply(model, plan)
    assert handle.plan == plan
    thinned.set_rates(model, {"*": 0.125})
    assert handle.plan == plan.changed("output of 1", p=0.125)
    twin = copy.deepcopy(model)
    thinned.set_rates(twin, {"*": 0.25})
    assert thinned.Applied.of(twin).plan.enabled[0].p == 0.25  # type: ignore[union-attr]
    assert handle.plan.enabled[0].p == 0.125
    handle.remove()
    with pytest.raises(RuntimeError, match="Use the plan that was applied"):
        assert handle.plan


def test_a_guard_names_what_convert_has_put_there() -> None:
    model = net()
    with thinned.eval_guard(model):
        thinned.convert(model)
        model.eval()
        model[1].train()
        model[1](X)  # in training mode by itself
        with (
            pytest.raises(thinned.NoiseInEval, match="'1' must draw no noise in inference mode"),
            torch.inference_mode(),
        ):
            model(X)


def test_frozen_layers_are_not_converted_and_stay_off() -> None:
    model = net()
    frozen = thinned.freeze(model[:2])
    thinned.convert(model)
    assert not model.train()[1].training
    frozen.thaw()
    assert model[1].training


def test_a_schedule_shows_itself() -> None:
    schedule = thinned.Schedule(net(), {"1": Linear(0.0, 0.5, steps=10), "3": 0.1})
    schedule.step()
    assert (
        repr(schedule)
        == "Schedule(Sequential, {'1': Linear(start=0.0, end=0.5, steps=10), '3': Constant(p=0.1)}) at step 1"
    )
    assert schedule.logs() == {"p/1": 0.05, "p/3": 0.1}


def test_a_p_that_disabled_holds_is_changed_by_no_one() -> None:
    """It would be lost at the end of the `with`."""
    model = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Dropout(0.25), nn.Linear(512, 10))
    plan = thinned.Plan((PlanLine("p of 2", "set p", 0.5),))
    schedule = thinned.Schedule(model, {"*": Linear(0.25, 0.5, steps=4)})
    with thinned.disabled(model):
        with pytest.raises(
            ValueError, match=r"`set_rates`: '2' must have its own p. Got one that `disabled` holds at 0"
        ):
            thinned.set_rates(model, {"*": 0.3})
        with pytest.raises(ValueError, match="`Schedule`: '2' must have its own p"):
            schedule.step()
        with pytest.raises(RuntimeError, match=r"`apply`: a dropout must have its own p. Got '2'"):
            thinned.apply(model, plan)
    assert thinned.rates(model) == {"2": 0.25}
    schedule.step()
    assert thinned.rates(model) == {"2": 0.3125}
