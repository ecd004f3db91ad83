"""Training that stops in the middle of an epoch and goes on from a file is training that never stopped, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.stream.network import Network, batch, loss, network

import thinned
from thinned.nn.stream.saved import ENTRY
from thinned.nn.stream.stream import Stream

SEED = 2**64 - 3


def train(model: Network, stream: Stream, optimiser: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        torch.randn(step)  # whatever else the loop draws
        loss(model, batch(step)).backward()
        optimiser.step()
        optimiser.zero_grad()
        stream.step()


def adam(model: Network) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=0.01)


def unbroken() -> dict[str, torch.Tensor]:
    model = network()
    with thinned.stream(model, SEED) as stream:
        train(model, stream, adam(model), range(6))
    return model.state_dict()


def test_a_stream_s_state_resumes(tmp_path: Path) -> None:
    model = network()
    optimiser = adam(model)
    with thinned.stream(model, SEED) as stream:
        train(model, stream, optimiser, range(3))
        parts = (model, optimiser, stream)
        torch.save([part.state_dict() for part in parts], tmp_path / "half.pt")
    assert stream.state_dict() == {"seed": SEED, "step": 3, "version": 1}

    torch.manual_seed(99)
    model = Network()
    optimiser = adam(model)
    with thinned.stream(model, 0) as stream:
        halves: list[Any] = [model, optimiser, stream]
        for part, state in zip(halves, torch.load(tmp_path / "half.pt"), strict=True):
            part.load_state_dict(state)
        assert (stream.seed, stream.steps) == (SEED, 3)
        train(model, stream, optimiser, range(3, 6))
    torch.testing.assert_close(model.state_dict(), unbroken(), rtol=0, atol=0)


def test_a_model_s_state_dict_holds_the_stream_if_asked(tmp_path: Path) -> None:
    model = network()
    optimiser = adam(model)
    with thinned.stream(model, SEED, in_state_dict=True) as stream:
        train(model, stream, optimiser, range(3))
        torch.save((model.state_dict(), optimiser.state_dict()), tmp_path / "half.pt")
        whole = torch.nn.ModuleDict({"inner": model}).state_dict()
    assert f"inner.{ENTRY}" in whole

    model = Network()
    optimiser = adam(model)
    with thinned.stream(model, 0, in_state_dict=True) as stream:
        state, moments = torch.load(tmp_path / "half.pt")
        model.load_state_dict(state)
        optimiser.load_state_dict(moments)
        assert (stream.seed, stream.steps) == (SEED, 3)
        train(model, stream, optimiser, range(3, 6))
    torch.testing.assert_close(model.state_dict(), unbroken(), rtol=0, atol=0)
    with stream, pytest.raises(RuntimeError, match=rf'Missing key\(s\) in state_dict: "{ENTRY}"'):
        model.load_state_dict(network().state_dict())
    with pytest.raises(RuntimeError, match=rf'Unexpected key\(s\) in state_dict: "{ENTRY}"'):
        model.load_state_dict(state)


def test_a_state_can_be_loaded_before_the_stream_is_entered() -> None:
    model = network()
    stream = thinned.stream(model, 0)
    stream.load_state_dict({"seed": SEED, "step": 4, "version": 1})
    with stream, thinned.stream(network(), SEED) as other:
        for _ in range(4):
            other.step()
        assert stream.key("blocks.0.twice") == other.key("blocks.0.twice")
        assert torch.equal(model(batch(0)), other.model(batch(0)))
