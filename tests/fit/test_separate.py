"""Networks of any kind have the course of a stack's: the same rules, rows and masks, and their whole state is kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import thinned.nn as tnn
from thinned.fit.perceptron import Perceptron
from thinned.fit.separate import Separate, answers
from thinned.fit.stack import Member, Stack, squared_error
from thinned.fit.training import Check, TrainedMember, train
from thinned.nn.names import site_number
from thinned.noise import fold_in

INPUTS, HIDDEN, BATCH = 3, (16,), 16


def member(**settings: Any) -> Member:
    return Member(**({"rows": 0, "key": 5, "p": 0.0, "p_input": 0.0, "lr": 0.003, "weight_decay": 0.0} | settings))


def data(classes: int, rows: int = 40, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, rows, INPUTS, generator=generator)
    y = x.sum(2).sin() + 0.3 * torch.randn(2, rows, generator=generator)
    return (x, (y > 0).long()) if classes else (x, y)


class Net(nn.Module):
    """Batch normalisation and dropout of ours; `extra` layers and torch's own dropout where wanted."""

    def __init__(self, p: float, extra: bool = False, torch_p: float = 0.0) -> None:
        super().__init__()
        self.first, self.norm, self.drop = nn.Linear(INPUTS, 12), nn.BatchNorm1d(12), tnn.Dropout(p)
        self.before = tnn.Dropout(0.5) if extra else nn.Identity()
        self.own = nn.Dropout(torch_p) if torch_p else nn.Identity()
        self.last = nn.Linear(12, 1)
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.first(self.before(x))).relu()
        if self.training:
            self.seen.append(self.drop(torch.ones_like(hidden)).detach() != 0)
        output: Tensor = self.last(self.own(self.drop(hidden)))
        return output


def separate(networks: list[nn.Module], members: list[Member], batch: int = BATCH) -> Separate:
    x, y = data(0)
    builds: list[Any] = [lambda generator, own=own: own for own in networks]
    return Separate(members, x, y, builds, batch)


@pytest.mark.parametrize("classes", [0, 2])
def test_a_perceptron_by_itself_has_the_course_that_it_has_in_a_stack(classes: int) -> None:
    (x, y), (x_val, y_val) = data(classes), data(classes, 30, seed=2)
    members = [member(lr=0.001, rows=1, p=0.3, p_input=0.2, key=6), member(lr=0.003, p=0.5, weight_decay=0.1)]
    outputs = max(classes, 1)
    seen: dict[str, list[Check]] = {"stack": [], "separate": []}
    stacked = train(
        Stack(members, x, y, outputs, HIDDEN, BATCH), x_val, y_val, max_steps=150, watch=seen["stack"].append
    )
    builds: list[Any] = [
        lambda generator, one=one: Perceptron(INPUTS, HIDDEN, outputs, one.p, one.p_input, generator) for one in members
    ]
    alone = train(Separate(members, x, y, builds, BATCH), x_val, y_val, max_steps=150, watch=seen["separate"].append)
    for one, other in zip(stacked, alone, strict=True):
        assert (one.best_step, one.steps, one.ended) == (other.best_step, other.steps, other.ended)
        assert one.val_loss == pytest.approx(other.val_loss, rel=1e-4)
        for name, value in one.state.items():
            torch.testing.assert_close(other.state[name], value, rtol=1e-3, atol=1e-4)
    for check, other_check in zip(seen["stack"], seen["separate"], strict=True):
        assert (check.step, check.members) == (other_check.step, other_check.members)
        assert check.train_loss == pytest.approx(other_check.train_loss, rel=1e-3, nan_ok=True)
        assert check.val_loss == pytest.approx(other_check.val_loss, rel=1e-3)


def test_equal_keys_give_equal_masks_nested_in_p_whatever_else_the_network_has() -> None:
    networks = [Net(0.5), Net(0.5, extra=True), Net(0.2), Net(0.5)]
    group = separate([*networks], [*[member() for _ in range(3)], member(key=6)])
    for _ in range(3):
        group.step(1.0)
    plain, other, lower, another = (torch.cat(network.seen) for network in networks)
    assert torch.equal(plain, other)
    assert bool((plain <= lower).all())
    assert not torch.equal(plain, lower)
    assert not torch.equal(plain, another)
    assert not torch.equal(networks[0].seen[0], networks[0].seen[1])
    by_stream = tnn.functional.dropout(
        torch.ones(BATCH, 12), 0.5, key=fold_in(fold_in(fold_in(5, 2), site_number("drop")), 1)
    )
    assert torch.equal(networks[0].seen[1], by_stream != 0)


def test_running_statistics_belong_to_the_state_that_is_kept() -> None:
    x_val, y_val = data(0, 30, seed=2)
    (result,) = train(separate([Net(0.3)], [member()]), x_val, y_val, max_steps=120)
    assert int(result.state["norm.num_batches_tracked"]) == result.best_step > 0
    network = Net(0.3)
    network.load_state_dict(result.state)
    found = squared_error(answers(network, x_val[0])[None], y_val[:1]).item()
    assert found == pytest.approx(result.val_loss, rel=1e-6)


@pytest.mark.parametrize("torch_p", [0.0, 0.4])
@pytest.mark.parametrize("build", [lambda g: Net(0.3), lambda g: nn.LSTM(INPUTS, 1)], ids=["net", "lstm"])
def test_equal_trainings_give_equal_bits_and_leave_torch_s_generator_alone(build: Any, torch_p: float) -> None:
    class Last(nn.Module):
        def __init__(self, generator: torch.Generator) -> None:
            super().__init__()
            self.inner, self.noise = build(generator), nn.Dropout(torch_p)

        def forward(self, x: Tensor) -> Tensor:
            found = self.inner(self.noise(x))
            output: Tensor = found[0] if isinstance(found, tuple) else found
            return output

    (x, y), (x_val, y_val) = data(0), data(0, 30, seed=2)

    def run() -> TrainedMember:
        (found,) = train(Separate([member()], x, y, [Last], BATCH), x_val, y_val, max_steps=20)
        return found

    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    one = run()
    assert torch.equal(torch.rand(2), expected)
    other = run()
    assert one.val_loss == other.val_loss
    assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)


def test_a_last_batch_of_one_row_is_no_batch_for_batch_normalisation() -> None:
    network = Net(0.0)
    group = separate([network], [member()], batch=13)  # 40 = 3 x 13 + 1
    for _ in range(4):
        group.step(1.0)
    assert [len(mask) for mask in network.seen] == [13] * 4


def test_members_that_leave_take_their_networks_along() -> None:
    group = separate([Net(0.1), Net(0.2), Net(0.3)], [member(key=key) for key in (1, 2, 3)])
    group.step(1.0)
    group.remember([2])
    best = group.best(2)
    group.step(1.0)
    group.keep([0, 2])
    assert [one.key for one in group.members] == [1, 3]
    assert all(torch.equal(group.best(1)[name], value) for name, value in best.items())
    assert group.answer(data(0)[0]).shape == (2, 40, 1)
    assert group.loss().shape == (2,)
