"""Where each network drops units: hidden places at p, inputs at p_input, nothing at inference, empty words aside."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from thinned.study.networks.named import (
    HIDDEN,
    NetworkName,
    drops,
    hidden_places,
    made,
    rates,
    state_shapes,
    weights_of,
)
from thinned.study.networks.shape import InputShape

NAMES: tuple[NetworkName, ...] = ("cnn", "lstm", "gru", "transformer")
SHAPES: dict[NetworkName, InputShape] = {
    "cnn": InputShape(image=(9, 7, 3)),
    **dict.fromkeys(NAMES[1:], InputShape(2, words=20, length=5)),
}


def rows(name: NetworkName) -> torch.Tensor:
    if name == "cnn":
        return torch.rand(4, 9 * 7 * 3)
    words = torch.tensor([[3, 4, 5, 6, 7], [3, 4, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
    return torch.cat([torch.rand(4, 2), words.float()], dim=1)


@pytest.mark.parametrize("name", NAMES)
def test_p_is_of_every_hidden_place_and_p_input_of_inputs(name: NetworkName) -> None:
    network = made(name, SHAPES[name], HIDDEN[name], 3, 0.5, 0.25)
    assert set(hidden_places(network).values()) == {0.5}
    assert {place: p for place, p in rates(network).items() if place not in hidden_places(network)} == {
        "input_dropout": 0.25
    }
    assert drops(network)
    assert not drops(made(name, SHAPES[name], HIDDEN[name], 3, 0.0))


@pytest.mark.parametrize("name", NAMES)
def test_inference_has_no_noise_and_training_has(name: NetworkName) -> None:
    network = made(name, SHAPES[name], HIDDEN[name], 3, 0.5)
    x = rows(name)
    network.eval()
    assert torch.equal(network(x), network(x))
    network.train()
    assert not torch.equal(network(x), network(x))
    assert network(x).shape == (4, 3)
    assert network(x).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_shapes_are_those_of_the_network_and_nothing_is_made(name: NetworkName) -> None:
    network = made(name, SHAPES[name], HIDDEN[name], 3, 0.5)
    assert state_shapes(name, SHAPES[name], HIDDEN[name], 3) == {
        weight: (tuple(value.shape), value.dtype) for weight, value in network.state_dict().items()
    }
    assert weights_of(name, SHAPES[name], HIDDEN[name], 3) >= sum(w.numel() for w in network.parameters())


@pytest.mark.parametrize("name", ["transformer"])
def test_a_text_is_answered_alike_whatever_stands_behind_it(name: NetworkName) -> None:
    short = made(name, InputShape(words=20, length=5), (16,), 3, 0.0).eval()
    x = torch.tensor([[3.0, 4.0, 0.0, 0.0, 0.0]])
    longer = made(name, InputShape(words=20, length=3), (16,), 3, 0.0).eval()
    state = {key: value[:3] if key == "places" else value for key, value in short.state_dict().items()}
    longer.load_state_dict(state)
    torch.testing.assert_close(short(x), longer(x[:, :3]))


def test_no_batch_normalisation_stands_behind_the_dropout_of_the_cnn() -> None:
    """Else its variance in training would differ from the one at inference."""
    network = made("cnn", SHAPES["cnn"], (4, 8), 3, 0.5)
    order = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d) or module is network.dropout]
    assert order[-1] is network.dropout
    assert sum(module is network.dropout for module in order) == 1
