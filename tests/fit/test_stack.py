"""Networks that are trained side by side are what they would be alone: the same masks, and the same numbers but for
rounding."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from thinned.fit.adamw import adamw
from thinned.fit.loss import training_loss
from thinned.fit.perceptron import Perceptron
from thinned.fit.stack import Member, Stack, loss_and_gradient, squared_error
from thinned.fit.stacked_perceptron import StackedPerceptron
from thinned.nn import Dropout
from thinned.nn.functional import dropout
from thinned.noise import fold_in

ROWS, INPUTS, HIDDEN, BATCH = 30, 5, (16, 12), 8
MEMBERS = [
    Member(rows=0, key=11, p=0.0, p_input=0.0, lr=0.002, weight_decay=0.0),
    Member(rows=1, key=12, p=0.5, p_input=0.2, lr=0.002, weight_decay=0.0),
    Member(rows=0, key=11, p=0.3, p_input=0.0, lr=0.01, weight_decay=0.5),
    Member(rows=1, key=12, p=0.3, p_input=0.0, lr=0.01, weight_decay=0.1),
]


def data(classes: int, sets: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(sets, ROWS, INPUTS, generator=generator)
    if classes:
        return x, torch.randint(classes, (sets, ROWS), generator=generator)
    return x, x.square().sum(2) / INPUTS - 1


def stacked(members: Sequence[Member], classes: int) -> Stack:
    x, y = data(classes)
    return Stack(members, x, y, max(classes, 1), HIDDEN, BATCH)


def share(step: int) -> float:
    return 1 - step / 20


def alone(member: Member, classes: int, steps: int) -> tuple[Perceptron, list[float]]:
    """A network, trained by itself with torch's own optimiser and gradient, and the loss of each step."""
    x, y = (values[member.rows] for values in data(classes))
    network = Perceptron(
        INPUTS,
        HIDDEN,
        max(classes, 1),
        member.p,
        member.p_input,
        torch.Generator().manual_seed(fold_in(member.key, 0)),
    )
    optimiser = adamw(network, member.lr, member.weight_decay)
    order, masks = torch.Generator().manual_seed(fold_in(member.key, 1)), fold_in(member.key, 2)
    batches: list[Tensor] = []
    losses = []
    for step in range(steps):
        batches = batches or list(torch.randperm(ROWS, generator=order).split(BATCH))
        rows = batches.pop(0)
        for group in optimiser.param_groups:
            group["lr"] = member.lr * share(step)
        keys = [fold_in(fold_in(masks, layer), step) for layer in range(len(HIDDEN) + 1)]
        optimiser.zero_grad()
        loss = training_loss(network(x[rows], keys), y[rows])
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return network.eval(), losses


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_each_member_is_what_it_would_be_alone(classes: int) -> None:
    """In 12 steps, 3 epochs. Sums in another order give other last bits, which AdamW's quotient can amplify where a
    gradient is next to nothing: so a weight may be 2 % of a step's way off, and losses 1e-5."""
    stack = stacked(MEMBERS, classes)
    losses = []
    for step in range(12):
        stack.step(share(step))
        losses.append(stack.loss())
    x, _ = data(classes)
    answers = stack.answer(x)
    for number, member in enumerate(MEMBERS):
        network, expected = alone(member, classes, 12)
        torch.testing.assert_close(torch.stack(losses)[:, number], torch.tensor(expected), rtol=1e-5, atol=1e-5)
        state = network.state_dict()
        found = stack.network.state(number)
        assert found.keys() == state.keys()
        for name, value in found.items():
            torch.testing.assert_close(value, state[name], rtol=1e-4, atol=0.02 * member.lr)
        with torch.no_grad():
            torch.testing.assert_close(answers[number], network(x[member.rows]), rtol=1e-3, atol=1e-3)


def test_first_weights_are_the_perceptrons_bit_for_bit() -> None:
    stack = stacked(MEMBERS, 3)
    for number, member in enumerate(MEMBERS):
        network, _ = alone(member, 3, steps=0)
        assert all(
            torch.equal(stack.network.state(number)[name], value) for name, value in network.state_dict().items()
        )


def test_masks_are_those_of_separate_layers_bit_for_bit() -> None:
    """Layers that pass on what they are given, so that the outputs are the masks."""
    width, ps, p_inputs = 8, [0.5, 0.3, 0.0], [0.2, 0.0, 0.5]
    separate = [Perceptron(width, (width, width), width, p, p_input) for p, p_input in zip(ps, p_inputs, strict=True)]
    for network in separate:
        for layer in network.linear:
            torch.nn.init.eye_(layer.get_parameter("weight"))
            torch.nn.init.zeros_(layer.get_parameter("bias"))
    together = StackedPerceptron([network.state_dict() for network in separate], ps, p_inputs)
    keys = [[fold_in(layer, number) for number in range(3)] for layer in range(3)]
    for rows in (1, 5, 16):
        x = torch.full((3, rows, width), 2.0)
        found = together.train_forward(x.clone(), keys)
        for number, network in enumerate(separate):
            expected = network.train()(x[number], [layer[number] for layer in keys])
            assert torch.equal(found[number] == 0, expected == 0)
            assert (expected == 0).any()
            torch.testing.assert_close(found[number], expected)  # the factor of survivors


def test_a_members_course_is_the_same_when_others_leave() -> None:
    """Within rounding: a product of fewer matrices may be summed in another order."""
    whole, part = stacked(MEMBERS, 3), stacked(MEMBERS, 3)
    for step in range(10):
        whole.step(share(step))
        part.step(share(step))
        if step == 4:  # within an epoch
            part.keep([1, 3])
            assert part.members == [MEMBERS[1], MEMBERS[3]]
    for position, number in enumerate([1, 3]):
        before = whole.network.state(number)
        for name, value in part.network.state(position).items():
            torch.testing.assert_close(value, before[name], rtol=1e-4, atol=0.02 * MEMBERS[number].lr)


def test_equal_calls_give_equal_bits_and_ask_no_generator_of_torchs() -> None:
    def trained() -> list[Tensor]:
        stack = stacked(MEMBERS, 3)
        for step in range(6):
            stack.step(share(step))
        return stack.network.leaves

    state = torch.get_rng_state()
    first = trained()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert all(map(torch.equal, first, trained()))


def test_the_training_loss_is_a_mean_over_rows() -> None:
    """Of batches of 8, 8, 8 and 6 rows."""
    stack = stacked(MEMBERS[:1], 0)
    for step in range(4):
        stack.step(share(step))
    _, losses = alone(MEMBERS[0], 0, 4)
    expected = sum(loss * rows for loss, rows in zip(losses, (8, 8, 8, 6), strict=True)) / 30
    assert stack.loss().tolist() == pytest.approx([expected], rel=1e-4)


def test_answers_do_not_depend_on_how_many_rows_are_asked_for_together() -> None:
    stack = stacked(MEMBERS, 3)
    x = torch.randn(2, 3 * stack.network.rows_at_once() // 2, INPUTS, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(stack.answer(x)[:, -3:], stack.answer(x[:, -3:]))


@pytest.mark.parametrize("classes", [0, 4])
def test_gradients_are_autograds(classes: int) -> None:
    generator = torch.Generator().manual_seed(3)
    output = torch.randn(2, 6, max(classes, 1), generator=generator).requires_grad_()
    y = torch.randint(classes, (2, 6), generator=generator) if classes else torch.randn(2, 6, generator=generator)
    expected = torch.stack([training_loss(*pair) for pair in zip(output, y, strict=True)])
    (grad,) = torch.autograd.grad(expected.sum(), output)
    found, found_grad = loss_and_gradient(output.detach().clone(), y)
    torch.testing.assert_close(found / 6, expected.detach())
    torch.testing.assert_close(found_grad, grad)


def test_squared_errors_are_of_probabilities_or_values() -> None:
    y = torch.tensor([[0, 1]])
    sure = torch.tensor([[[50.0, 0.0], [50.0, 0.0]]])
    assert squared_error(sure, y).tolist() == pytest.approx([1.0])  # right once, wrong once: (0 + 2) / 2
    assert squared_error(torch.tensor([[[1.0], [3.0]]]), torch.tensor([[0.0, 1.0]])).tolist() == [2.5]


@pytest.mark.parametrize("classes", [0, 3])
def test_one_hidden_layer_alone_and_outputs_drop_as_torch_s_gradient_has_it(classes: int) -> None:
    members = [
        Member(0, 11, 0.5, 0.0, 0.002, 0.0, alone=0),
        Member(0, 11, 0.5, 0.0, 0.002, 0.0, alone=1),
        Member(1, 12, 0.0, 0.0, 0.002, 0.0, p_output=0.4),
    ]
    stack = stacked(members, classes)
    for step in range(3):
        stack.step(share(step))
    x, y = data(classes)
    for number, member in enumerate(members):
        generator = torch.Generator().manual_seed(fold_in(member.key, 0))
        network = Perceptron(INPUTS, HIDDEN, max(classes, 1), 0.0, 0.0, generator)
        if member.alone is not None:
            network.dropout[member.alone] = Dropout(member.p)
        optimiser = adamw(network, member.lr, 0.0)
        order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(fold_in(member.key, 1)))
        for step, rows in enumerate(order.split(BATCH)[:3]):
            keys = [fold_in(fold_in(fold_in(member.key, 2), layer), step) for layer in range(len(HIDDEN) + 1)]
            output = network(x[member.rows][rows], keys)
            output = dropout(output, member.p_output, key=fold_in(keys[-1], 1))
            optimiser.param_groups[0]["lr"] = optimiser.param_groups[1]["lr"] = member.lr * share(step)
            optimiser.zero_grad()
            training_loss(output, y[member.rows][rows]).backward()
            optimiser.step()
        for name, value in network.state_dict().items():
            torch.testing.assert_close(stack.network.state(number)[name], value, rtol=1e-4, atol=1e-6)
