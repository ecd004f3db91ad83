"""freeze: off, and off it stays, while the rest of a real model trains; and back exactly as it was."""

from __future__ import annotations

import copy
import io
import pickle
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.models import made, named, transformer
from torch import Tensor, nn
from torch.nn import functional as F

import thinned
from thinned.model.quiet.freeze import is_frozen, thaw

PARTS = {"transformer": "1", "timm vit with dropout": "blocks", "torchvision efficientnet": "features"}


@pytest.fixture(params=named(*PARTS))
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, str, Tensor]:
    model, x = made(request.param)
    return model.train(), PARTS[request.param], x


def observed(model: nn.Module, part: str, x: Tensor) -> Tensor:
    """What the part makes of the same input, inside the whole model's forward."""
    outputs: list[Tensor] = []
    module = model.get_submodule(part)
    inputs: list[Any] = []
    hooks = (
        # As it comes: where nothing needs a gradient torch's fused path runs, and rounds otherwise.
        module.register_forward_pre_hook(lambda _, given: inputs.append(given[0])),
        module.register_forward_hook(lambda _, given, output: outputs.append(output.detach())),
    )
    model(x)
    for hook in hooks:
        hook.remove()
    again = module(inputs[0])
    assert torch.equal(again, outputs[0]) == (not module.training)
    return outputs[0]


def step(model: nn.Module, x: Tensor) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0.5)
    optimizer.zero_grad(set_to_none=False)
    output = model(x)
    F.cross_entropy(output.flatten(0, -2), torch.arange(output[..., 0].numel()) % 3).backward()
    optimizer.step()


def state(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def test_the_part_stays_as_it_is_while_the_rest_trains(case: tuple[nn.Module, str, Tensor]) -> None:
    model, part, x = case
    observed(model, part, x)  # noise in training, or the next lines would show nothing
    step(model, x)
    before = state(model)
    frozen = thinned.freeze(model.get_submodule(part))
    assert state(model).keys() == before.keys()
    for _ in range(2):
        model.eval()
        model.train()
        step(model, x)
        observed(model, part, x)
    inside = [name.startswith(f"{part}.") for name in before]
    same = [torch.equal(old, new) for old, new in zip(before.values(), state(model).values(), strict=True)]
    assert all(equal for equal, frozen in zip(same, inside, strict=True) if frozen)
    assert not all(equal for equal, frozen in zip(same, inside, strict=True) if not frozen)
    frozen.thaw()
    step(model, x)
    observed(model, part, x)
    moved = [not torch.equal(old, new) for old, new in zip(before.values(), state(model).values(), strict=True)]
    assert any(change for change, frozen in zip(moved, inside, strict=True) if frozen)


def test_thaw_restores_exactly(case: tuple[nn.Module, str, Tensor]) -> None:
    model, part, _ = case
    block = model.get_submodule(part)
    for number, parameter in enumerate(block.parameters()):
        parameter.requires_grad_(number % 3 > 0)
    for number, module in enumerate(block.modules()):
        module.training = number % 2 == 0

    def settings() -> list[Any]:
        return [
            [parameter.requires_grad for parameter in model.parameters()],
            [(module.training, sorted(module.__dict__)) for module in model.modules()],
        ]

    before = settings()
    frozen = thinned.freeze(block)
    assert not any(parameter.requires_grad for parameter in block.parameters())
    assert not any(module.training for module in block.modules())
    assert settings() != before
    assert frozen.thaw() is block
    assert settings() == before
    assert repr(frozen).endswith(", thawed)")


def test_whoever_calls_train() -> None:
    model = transformer()
    frozen = thinned.freeze(model[1])
    for module in model.modules():  # as people switch on Monte Carlo dropout
        module.train()
        module.train(mode=True)
    assert not any(module.training for module in frozen.module.modules())
    assert model.training
    assert frozen.module.train() is frozen.module
    assert frozen.module.eval() is frozen.module


def test_functional_noise_that_asks_self_training_is_off() -> None:
    class Block(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(x, 0.5, self.training)

    model, x = nn.Sequential(Block()), torch.ones(100)
    assert not torch.equal(model(x), x)
    thinned.freeze(model[0])
    assert torch.equal(model.train()(x), x)


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch.save"])
def test_copies_are_frozen_and_thawed_on_their_own(how: str) -> None:
    model = transformer()
    frozen = thinned.freeze(model[1])
    if how == "deepcopy":
        twin = copy.deepcopy(model)
    elif how == "pickle":
        twin = pickle.loads(pickle.dumps(model))
    else:
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        twin = torch.load(file, weights_only=False)
    twin.train()
    assert not any(module.training for module in twin[1].modules())
    assert twin[1].train() is twin[1]
    thaw(twin)
    assert all(module.training for module in twin.modules())
    assert all(parameter.requires_grad for parameter in twin.parameters())
    assert not any(map(is_frozen, twin.modules()))
    assert all(map(is_frozen, frozen.module.modules()))
    with pytest.raises(ValueError, match=r"`thaw`: `module` must be frozen, or have a frozen part. Got Sequential"):
        thaw(twin)


@pytest.mark.parametrize("inner_first", [True, False])
@pytest.mark.parametrize("inner_ends_first", [True, False])
def test_freezes_overlap_and_end_in_any_order(inner_first: bool, inner_ends_first: bool) -> None:
    model = transformer()
    whole = model.get_submodule("1")
    part = model.get_submodule("1.layers.0")
    order = [part, whole] if inner_first else [whole, part]
    handles = {id(module): thinned.freeze(module) for module in order}
    first, second = (part, whole) if inner_ends_first else (whole, part)
    handles[id(first)].thaw()
    assert not any(module.training for module in second.modules())
    assert not any(parameter.requires_grad for parameter in second.parameters())
    if not inner_ends_first:
        assert model.get_submodule("1.layers.1.dropout").training
    handles[id(second)].thaw()
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any("train" in module.__dict__ for module in model.modules())
    handles[id(second)].thaw()  # once more does nothing


def test_gradients_go_through_and_leftovers_are_dropped() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.Dropout()), nn.Linear(4, 1))
    model(torch.ones(3, 4)).sum().backward()
    thinned.freeze(model[1])
    assert all(parameter.grad is None for parameter in model[1].parameters())
    model.zero_grad()
    model(torch.ones(3, 4)).sum().backward()
    assert all(parameter.grad is not None for parameter in model[0].parameters())
    assert all(parameter.grad is None for parameter in model[1].parameters())


def test_what_is_no_module_is_refused() -> None:
    parameter: Any = nn.Parameter(torch.ones(1))
    with pytest.raises(TypeError, match=r"`freeze`: `module` must be a torch.nn.Module. Got Parameter. For one"):
        thinned.freeze(parameter)


def test_a_compiled_model_and_streams_go_along() -> None:
    model = nn.Sequential(nn.Linear(4, 4), thinned.nn.Dropout(), nn.Linear(4, 4), thinned.nn.Dropout())
    compiled: Any = torch.compile(model, backend="eager", fullgraph=True)
    thinned.freeze(model[:2])
    compiled.train()
    x = torch.ones(50, 4)
    assert torch.equal(model[1](x), x)
    assert not torch.equal(model[3](x), x)
    with thinned.stream(model, seed=0):
        outputs = [compiled(x) for _ in range(2)]
    assert not torch.equal(*outputs)


TORCHS, NUMPYS = torch.Generator(), np.random.default_rng(0)


def by_global(x: Tensor) -> Tensor:
    return x * torch.rand(1, generator=TORCHS)


class Branches(nn.Module):
    """Draws only for a negative input, so that a first pass over others does not show it."""

    def __init__(self, draw: Callable[[Any, Tensor], Tensor], **own: Any) -> None:
        super().__init__()
        self.draw = draw
        for name, value in own.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.draw(self, x) if x.sum() < 0 else x

    def by_method(self, x: Tensor) -> Tensor:
        return by_global(x)


def closed(generator: torch.Generator) -> Callable[[Any, Tensor], Tensor]:
    return lambda _, x: x * torch.rand(1, generator=generator)


BRANCHES: dict[str, Callable[[], nn.Module]] = {
    "the process's": lambda: Branches(lambda _, x: x * torch.rand(1)),
    "torch's, an attribute": lambda: Branches(
        lambda m, x: x * torch.rand(1, generator=m.own), own=torch.Generator().manual_seed(1)
    ),
    "torch's, in a list": lambda: Branches(lambda m, x: x.clone().normal_(generator=m.own[0]), own=[TORCHS]),
    "torch's, in a closure": lambda: Branches(closed(torch.Generator())),
    "torch's, global": lambda: Branches(lambda _, x: by_global(x)),
    "torch's, global, in a method": lambda: Branches(lambda m, x: m.by_method(x)),
    "NumPy's, an attribute": lambda: Branches(lambda m, x: x * m.own.random(), own=np.random.default_rng(1)),
    "NumPy's, global": lambda: Branches(lambda _, x: x * NUMPYS.random()),
    "Python's, in an object": lambda: Branches(
        lambda m, x: x * m.own.source.random(), own=SimpleNamespace(source=random.Random(1))
    ),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_that_the_first_pass_leaves_out_is_watched_too(name: str) -> None:
    part = BRANCHES[name]()
    model = nn.Sequential(part, nn.Linear(4, 2))
    frozen = thinned.freeze(part)
    x = torch.ones(1, 4)
    for _ in range(2):
        model(x)
    with pytest.raises(thinned.NoiseLeft, match="must draw no noise in a frozen part"):
        model(-x)
    frozen.thaw()
    model(-x)


def test_a_generator_that_a_branch_makes_itself_is_not_seen_after_the_first_pass() -> None:
    """What the docstring states: such a generator is in no attribute, closure or global name."""

    def draw(_: Any, x: Tensor) -> Tensor:
        return x * torch.rand(1, generator=torch.Generator().manual_seed(3))

    x = torch.ones(1, 4)
    later, first = Branches(draw), Branches(draw)
    thinned.freeze(later)
    later(x)
    assert torch.equal(later(-x), later(-x))  # unseen
    thinned.freeze(first)
    with pytest.raises(thinned.NoiseLeft):
        first(-x)
