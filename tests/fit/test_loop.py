"""The training loop: what it visits, what it decays, and that its masks and its order come from its seeds alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from thinned.fit.loop import Course, Loop
from thinned.fit.perceptron import Perceptron

COURSE = Course(0.01, lambda step, steps: 1 - step / steps, 0.1, batch=8, epochs=2, order=3, masks=5)
X, Y = torch.linspace(-1, 1, 60).reshape(20, 3), torch.arange(20) % 2


def network(p: float = 0.5) -> Perceptron:
    return Perceptron(3, (16,), 2, p, generator=torch.Generator().manual_seed(0))


def trained(course: Course = COURSE, p: float = 0.5) -> torch.Tensor:
    made = network(p)
    loop = Loop(made, X, Y, course)
    for _ in range(course.epochs):
        for _ in loop.epoch():
            pass
    return torch.cat([parameter.detach().flatten() for parameter in made.parameters()])


def test_torchs_generator_is_neither_asked_nor_moved() -> None:
    state = torch.get_rng_state()
    first = trained()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert torch.equal(trained(), first)


@pytest.mark.parametrize("change", [{"order": 4}, {"masks": 6}, {"lr": 0.02}, {"weight_decay": 0.2}, {"batch": 7}])
def test_every_part_of_a_course_matters(change: dict[str, float]) -> None:
    assert not torch.equal(trained(replace(COURSE, **change)), trained())  # type: ignore[arg-type]


def test_masks_are_of_no_account_without_dropout() -> None:
    assert torch.equal(trained(p=0.0), trained(replace(COURSE, masks=6), p=0.0))


def test_an_epoch_has_every_row_once_and_asks_for_each_steps_share() -> None:
    asked: list[tuple[int, int]] = []

    def share(step: int, steps: int) -> float:
        asked.append((step, steps))
        return 1.0

    seen: list[torch.Tensor] = []
    made = network()
    made.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    loop = Loop(made.eval(), X, Y, replace(COURSE, lr_share=share))
    assert [rows for _ in range(2) for _, rows in loop.epoch()] == [8, 8, 4] * 2
    assert made.training
    assert asked == [(step, 6) for step in range(6)]
    first, second = (torch.cat(seen[start : start + 3]) for start in (0, 3))
    assert not torch.equal(first, second)
    for order in (first, second):
        assert torch.equal(order[order[:, 0].argsort()], X)
