"""When a member of a stack leaves, which state is kept, and that each result is its own."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from thinned.fit.cycles import cycles
from thinned.fit.perceptron import Perceptron
from thinned.fit.stack import Member, squared_error
from thinned.fit.stacked_training import Check, TrainedMember, train_stack

INPUTS, HIDDEN = 3, (16,)


def member(**settings: Any) -> Member:
    return Member(**({"rows": 0, "key": 5, "p": 0.0, "p_input": 0.0, "lr": 0.003, "weight_decay": 0.0} | settings))


def data(classes: int = 0, rows: int = 40, sets: int = 1, noise: float = 0.0, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(sets, rows, INPUTS, generator=generator)
    y = x.sum(2).sin() + noise * torch.randn(sets, rows, generator=generator)
    return (x, (y > 0).long()) if classes else (x, y)


def train(members: list[Member], *, classes: int = 0, noise: float = 0.0, **settings: Any) -> list[TrainedMember]:
    sets = 1 + max(member.rows for member in members)
    x, y = data(classes, sets=sets, noise=noise)
    x_val, y_val = data(classes, rows=30, sets=sets, noise=noise, seed=2)
    options: dict[str, Any] = {"outputs": max(classes, 1), "hidden": HIDDEN, "batch": 16, "max_steps": 700}
    return train_stack(members, x, y, x_val, y_val, **(options | settings))


def same(one: TrainedMember, other: TrainedMember) -> bool:
    figures = [(t.val_loss, t.best_step, t.steps, t.ended) for t in (one, other)]
    return figures[0] == figures[1] and all(torch.equal(one.state[name], other.state[name]) for name in one.state)


def test_cycles_double_and_the_rate_rises_and_falls_in_each() -> None:
    found = list(cycles(12_700))
    assert [cycle.end - cycle.start for cycle in found] == [100, 200, 400, 800, 1600, 3200, 6400]
    assert all(cycle.whole for cycle in found)
    for cycle in found:
        shares = [cycle.lr_share(step) for step in range(cycle.start, cycle.end)]
        top = (cycle.end - cycle.start) // 10
        assert max(shares) == 1.0
        assert shares[: top - 1] == sorted(shares[: top - 1])
        assert shares[top:] == sorted(shares[top:], reverse=True)
        assert 0 < shares[-1] < 0.02
        assert len(cycle.checks()) == 10
        assert cycle.checks()[-1] == cycle.end


@pytest.mark.parametrize(("limit", "ends"), [(1, [1]), (3, [3]), (100, [100]), (101, [100, 101]), (299, [100, 299])])
def test_the_limit_of_steps_cuts_the_last_cycle(limit: int, ends: list[int]) -> None:
    found = list(cycles(limit))
    assert [cycle.end for cycle in found] == ends
    assert all(cycle.checks() == sorted({*cycle.checks()}) and cycle.checks()[-1] == cycle.end for cycle in found)
    assert found[-1].whole == (limit == 100)


@pytest.mark.parametrize("classes", [0, 2])
def test_of_the_states_at_the_ends_of_cycles_the_one_with_the_least_validation_loss_is_kept(classes: int) -> None:
    seen: list[Check] = []
    members = [member(rows=1, key=1), member(rows=0, key=2, p=0.3)]
    results = train(members, classes=classes, noise=0.3, watch=seen.append)
    x_val, y_val = data(classes, rows=30, sets=2, noise=0.3, seed=2)
    for number, (one, result) in enumerate(zip(members, results, strict=True)):
        course = {check.step: check.val_loss[check.members.index(number)] for check in seen if number in check.members}
        ends = {0, 100, 300, 700}
        assert min(course[end] for end in ends & set(course)) == result.val_loss == course[result.best_step]
        assert max(course) == result.steps
        network = Perceptron(INPUTS, HIDDEN, max(classes, 1), 0.0).eval()
        network.load_state_dict(result.state)
        with torch.no_grad():
            loss = squared_error(network(x_val[one.rows])[None], y_val[one.rows][None]).item()
        assert loss == pytest.approx(result.val_loss, rel=1e-4)
    assert seen[0].step == 0
    assert [check.step for check in seen[1:11]] == list(range(10, 101, 10))


def test_a_member_has_converged_when_a_cycle_gained_less_than_a_hundredth() -> None:
    seen: list[Check] = []
    (result,) = train([member()], noise=1.0, max_steps=3100, watch=seen.append)
    assert result.ended == "converged"
    least = [min(check.val_loss[0] for check in seen if check.step <= end) for end in (100, 300, 700, 1500, 3100)]
    gains = [1 - after / before for before, after in pairwise(least)]
    cycle = [300, 700, 1500, 3100].index(result.steps)
    assert all(gain >= 0.01 for gain in gains[:cycle])
    assert gains[cycle] < 0.01


def test_a_limit_that_comes_first_is_said() -> None:
    """A cycle that is cut short is no ground to call a network converged."""
    assert [result.ended for result in train([member(lr=1e-4)], max_steps=300)] == ["steps"]
    (result,) = train([member()], noise=1.0, max_steps=301)
    assert (result.ended, result.steps) in [("converged", 300), ("steps", 301)]
    assert train([member()], max_steps=1)[0].steps == 1


def test_a_learning_rate_far_behind_leaves_the_race() -> None:
    slow = [member(key=key, lr=3e-5) for key in (1, 2)]
    fast = [member(key=key, lr=0.01) for key in (1, 2)]
    results = train([*slow, *fast], max_steps=1500)
    assert [(result.ended, result.steps) for result in results[:2]] == [("raced", 700)] * 2
    assert all(result.ended != "raced" for result in results[2:])
    assert [result.ended for result in train(slow, max_steps=1500)] == ["steps"] * 2


def test_a_loss_that_is_no_number_ends_one_member_and_no_other() -> None:
    results = train([member(lr=0.003), member(lr=1e30), member(lr=0.003, key=6)], max_steps=20)
    assert [result.ended for result in results] == ["steps", "diverged", "steps"]
    assert math.isfinite(results[1].val_loss)
    assert all(value.isfinite().all() for value in results[1].state.values())
    expected = train([member(lr=0.003), member(lr=0.003, key=6)], max_steps=20)
    for found, other in zip((results[0], results[2]), expected, strict=True):
        assert found.val_loss == pytest.approx(other.val_loss, rel=1e-4)
    assert [result.steps for result in train([member(), member(lr=1e30)], max_steps=300)] == [300, 100]


def test_equal_calls_give_equal_bits_and_each_member_its_own_result() -> None:
    members = [member(key=key, lr=lr, p=0.2) for lr in (0.01, 0.001) for key in (1, 2)]
    first = train(members, noise=0.5)
    assert all(map(same, first, train(members, noise=0.5)))
    assert len({result.val_loss for result in first}) == 4
    short = train(members, noise=0.5, max_steps=20)
    turned = train(members[::-1], noise=0.5, max_steps=20)[::-1]
    for one, other in zip(short, turned, strict=True):
        assert one.val_loss == pytest.approx(other.val_loss, rel=1e-4)


def test_what_is_needed_again_is_the_same_and_no_more_is_trained() -> None:
    members = [member(key=key, lr=lr) for lr in (0.01, 1e-4) for key in (1, 2)]
    seen: list[int] = []
    whole = train(members, noise=1.0, max_steps=3100)
    first = min(range(4), key=lambda number: whole[number].steps)
    again = train(members, noise=1.0, max_steps=3100, needed=[first], watch=lambda check: seen.append(check.step))
    assert same(again[first], whole[first])
    assert max(seen) == whole[first].steps
    assert whole[first].steps < max(result.steps for result in whole)


def test_numbers_next_to_nothing_are_zeros_in_training_and_there_alone() -> None:
    def product() -> float:
        return float((torch.tensor([1e-40]) * 1.0).item())

    able = torch.set_flush_denormal(True)
    torch.set_flush_denormal(False)
    seen: list[float] = []
    before = product()
    train([member()], max_steps=10, watch=lambda check: seen.append(product()))
    assert product() == before > 0.0
    assert (seen[-1] == 0.0) == able
