"""Every function of the vocabulary, through the tools that ask about it: they agree about one model."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.model.known.called import Called, named
from torch import Tensor, nn

import thinned
from thinned.model.known.functions import canonical
from thinned.model.known.operations import (
    ACTIVATIONS,
    ATTENTION,
    CELLS,
    CONVOLUTIONS,
    KINDS,
    LAYERS,
    LINEAR_MAPS,
    NORMS,
    PRODUCTS,
    RECURRENT,
    UNITWISE,
    ZERO_AT_ZERO,
    kinds,
)

WIDTH = 32

# How each activation is called that takes more than a tensor.
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "prelu": (torch.full((1,), 0.25),),
    "threshold": (0.1, 0.0),
    "clamp": (0.0, 6.0),
    "clip": (0.0, 6.0),
    "clamp_min": (0.0,),
    "clamp_max": (6.0,),
}


def activation(name: str) -> nn.Module:
    if name == "glu":  # which halves the units
        return nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), Called(F.glu))
    return Called(named(name), *ARGUMENTS.get(name, ()))


class Activated(nn.Module):
    """A residual block with its activation, and dropout, behind the sum, as THN204 has it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.layer, self.activation, self.dropout = nn.Linear(WIDTH, WIDTH), activation(name), nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.dropout(self.activation(x + self.layer(x)))
        return result


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_plan_and_check_take_every_activation_for_one(name: str) -> None:
    x = torch.randn(8, WIDTH)
    hidden = nn.Sequential(nn.Linear(WIDTH, WIDTH), activation(name), nn.Linear(WIDTH, 4))
    reasons = [line.reason for line in thinned.plan(hidden, x)]
    assert any(f"behind {name}" in reason or (name == "selu" and "SELU" in reason) for reason in reasons), reasons
    if name == "glu":
        return  # a layer of its own stands before it, so the sum is not right behind the dropout
    blocks = nn.Sequential(nn.Linear(8, WIDTH), *(Activated(name) for _ in range(3)), nn.Linear(WIDTH, 4))
    found = thinned.check(blocks, torch.randn(8, 8), select=["THN204"])
    assert [finding.place for finding in found] == ["1.dropout", "2.dropout"]


@pytest.mark.parametrize("name", sorted(UNITWISE))
def test_pruning_goes_through_what_acts_on_each_unit_alone(name: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, WIDTH), activation(name), nn.Dropout(0.5), nn.Linear(WIDTH, 2))
    assert hidden_units(network) < WIDTH
    behind = nn.Sequential(nn.Linear(4, WIDTH), nn.Dropout(0.5), activation(name), nn.Linear(WIDTH, 2))
    assert (hidden_units(behind) < WIDTH) == (name in ZERO_AT_ZERO)


def hidden_units(network: nn.Module) -> int:
    """How many units are left in one of the networks that dropout trains."""
    (cut,) = thinned.thinned_networks(network, 1, torch.randn(8, 4), seed=0)
    first = cut.get_submodule("0")
    assert isinstance(first, nn.Linear)
    return first.out_features


@pytest.mark.parametrize("name", sorted(ZERO_AT_ZERO))
def test_zero_stays_zero(name: str) -> None:
    assert torch.equal(activation(name)(torch.zeros(3)), torch.zeros(3))


# Layers: a module that calls the function with weights of its own, and an example.


class Weighted(nn.Module):
    """A call of a function with a tensor and the module's own weights."""

    def __init__(self, call: Callable[..., Any], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.call = call
        self.weights = nn.ParameterList(nn.Parameter(0.1 * torch.randn(shape)) for shape in shapes)

    def forward(self, x: Tensor) -> Tensor:
        result = self.call(x, *self.weights)
        return result if isinstance(result, Tensor) else result[0]


SQUARE = (WIDTH, WIDTH)
PRODUCT: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "matmul": (Weighted(torch.matmul, SQUARE), (8, WIDTH)),
    "mm": (Weighted(torch.mm, SQUARE), (8, WIDTH)),
    "bmm": (Weighted(torch.bmm, (3, *SQUARE)), (3, 8, WIDTH)),
    "mv": (Weighted(lambda x, w: torch.mv(w, x), SQUARE), (WIDTH,)),
    "addmm": (Weighted(lambda x, b, w: torch.addmm(b, x, w), (WIDTH,), SQUARE), (8, WIDTH)),
    "addmv": (Weighted(lambda x, b, w: torch.addmv(b, w, x), (WIDTH,), SQUARE), (WIDTH,)),
    "baddbmm": (Weighted(lambda x, b, w: torch.baddbmm(b, x, w), (3, 1, WIDTH), (3, *SQUARE)), (3, 8, WIDTH)),
    "addbmm": (Weighted(lambda x, b, w: torch.addbmm(b, x, w), (8, WIDTH), (3, *SQUARE)), (3, 8, WIDTH)),
    "einsum": (Weighted(lambda x, w: torch.einsum("bi,io->bo", x, w), SQUARE), (8, WIDTH)),
    "tensordot": (Weighted(lambda x, w: torch.tensordot(x, w, dims=1), SQUARE), (8, WIDTH)),
    "inner": (Weighted(torch.inner, SQUARE), (8, WIDTH)),
    "multi_dot": (Weighted(lambda x, v, w: torch.linalg.multi_dot([x, v, w]), SQUARE, SQUARE), (8, WIDTH)),
    "chain_matmul": (Weighted(lambda x, v, w: torch.chain_matmul(x, v, w), SQUARE, SQUARE), (8, WIDTH)),
}


def layer(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    if name in PRODUCT:
        return PRODUCT[name]
    if name in CONVOLUTIONS:
        axes = int(name[-2])
        weight = (WIDTH, WIDTH, *[3] * axes)
        return Weighted(getattr(F, name), weight), (2, WIDTH, *[5] * axes)
    if name in CELLS:
        kind = {"lstm_cell": nn.LSTMCell, "gru_cell": nn.GRUCell}.get(name)
        cell = nn.RNNCell(WIDTH, WIDTH, nonlinearity=name.split("_")[1]) if kind is None else kind(WIDTH, WIDTH)
        return First(cell), (8, WIDTH)
    if name in RECURRENT:
        kinds = {"lstm": nn.LSTM, "gru": nn.GRU}
        nonlinearity = {} if name in kinds else {"nonlinearity": name.split("_")[1]}
        module: Any = kinds.get(name, nn.RNN)
        return First(module(WIDTH, WIDTH, **nonlinearity)), (5, 8, WIDTH)
    return {
        "linear": (nn.Linear(WIDTH, WIDTH), (8, WIDTH)),
        "bilinear": (Weighted(lambda x, w: F.bilinear(x, x, w), (WIDTH, *SQUARE)), (8, WIDTH)),
        "scaled_dot_product_attention": (Called(lambda x: F.scaled_dot_product_attention(x, x, x)), (8, 5, WIDTH)),
        "multi_head_attention_forward": (SelfAttention(), (8, 5, WIDTH)),
    }[name]


class First(nn.Module):
    """The first tensor of a recurrent module's answer."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        result: Any = self.module(x)
        first: Tensor = result if isinstance(result, Tensor) else result[0]
        return first


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.attention(x, x, x)[0]
        return result


@pytest.mark.filterwarnings("ignore:torch.chain_matmul is deprecated")
@pytest.mark.parametrize("name", sorted(LAYERS | PRODUCTS))
def test_plan_and_check_take_every_layer_for_one(name: str) -> None:
    torch.manual_seed(0)
    module, shape = layer(name)
    example = torch.randn(shape)
    # THN201: dropout on what a layer makes, which no layer reads: on the model's output.
    output = nn.Sequential(module, nn.Dropout(0.5))
    assert [finding.code for finding in thinned.check(output, example, select=["THN201"])] == ["THN201"]
    # Read by a layer, it is on hidden units.
    reader, before = readers(name, module(example))
    hidden = nn.Sequential(module, nn.Dropout(0.5), reader)
    assert not thinned.check(hidden, example, select=["THN201"])
    # And a layer that reads makes hidden units of what comes before it.
    assert not thinned.check(nn.Sequential(before, nn.Dropout(0.5), module), example, select=["THN201"])
    # A plan: what is between this layer and the next is hidden, and no raw input.
    plan = thinned.plan(nn.Sequential(module, nn.ReLU(), reader), example)
    if name in CELLS:
        assert any("Cells" in note for note in plan.notes)
    elif len(shape) > 1:
        assert any("1" in line.where or "2" in line.where for line in plan if line.shape), plan


def readers(name: str, made: Tensor) -> tuple[nn.Module, nn.Module]:
    """A layer that reads what the layer of this name makes, and one that could come before it."""
    if name not in CONVOLUTIONS:
        return nn.Linear(made.shape[-1], 4), nn.Linear(WIDTH, WIDTH)
    axes = int(name[-2])
    pointwise = getattr(F, f"conv{axes}d"), (WIDTH, WIDTH, *[1] * axes)
    return Weighted(*pointwise), Weighted(*pointwise)


def test_a_product_of_activations_is_no_layer() -> None:
    class Products(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout = nn.Dropout(0.5)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.dropout(x @ x.mT)
            return result

    assert not thinned.check(Products(), torch.randn(8, WIDTH), select=["THN201"])  # features of something else


@pytest.mark.parametrize("name", sorted(NORMS))
def test_check_looks_through_every_normalisation(name: str) -> None:
    norms: dict[str, Callable[[], nn.Module]] = {
        "batch_norm": lambda: nn.BatchNorm1d(WIDTH),
        "layer_norm": lambda: nn.LayerNorm(WIDTH),
        "group_norm": lambda: nn.GroupNorm(4, WIDTH),
        "instance_norm": lambda: Called(lambda x: F.instance_norm(x[None])[0]),
        "rms_norm": lambda: nn.RMSNorm(WIDTH),
        "local_response_norm": lambda: Called(lambda x: F.local_response_norm(x[..., None], 2)[..., 0]),
    }

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.norm, self.dropout = nn.Linear(WIDTH, WIDTH), norms[name](), nn.Dropout(0.1)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.norm(self.dropout(x + self.layer(x)))
            return result

    model = nn.Sequential(nn.Linear(8, WIDTH), *(Block() for _ in range(3)), nn.Linear(WIDTH, 4))
    found = thinned.check(model, torch.randn(8, 8), select=["THN204"])
    assert [finding.place for finding in found] == ["1.dropout", "2.dropout"]


def test_plan_and_check_agree_on_residual_additions() -> None:
    """A block with a projection on its way by is one, and one of a stochastic depth that is the same everywhere."""

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(inputs, outputs), nn.Linear(outputs, outputs)
            self.by = nn.Linear(inputs, outputs) if inputs != outputs else nn.Identity()
            self.depth = thinned.nn.StochasticDepth(0.0)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.by(x) + self.depth(self.second(self.first(x).relu()))
            return result

    sizes = (16, 32, 64, 96, 128)
    model = nn.Sequential(nn.Linear(16, 16), *(Block(*pair) for pair in pairwise(sizes)), nn.Linear(128, 4))
    lines = [line.where for line in thinned.plan(model, torch.randn(8, 16)) if line.where.startswith("p of")]
    assert lines == [f"p of {block}.depth" for block in (1, 2, 3, 4)]
    thinned.set_rates(model, {"*": 0.2})
    (finding,) = thinned.check(model, torch.randn(8, 16), select=["THN403"])
    assert "all 4 residual branches" in finding.message


def test_every_name_is_what_a_call_of_torch_is_known_by() -> None:
    homes = (F, torch, torch.linalg, torch.Tensor, torch._VF)
    elsewhere = {
        *("stochastic_depth", "gaussian_dropout"),  # torchvision's, ours
        *("setitem", "getitem", "_conv_forward"),  # Python's names of a tensor's, and a method of torch's modules
        "index",  # an operator
    }
    for kind, functions in KINDS.items():
        for name in functions - elsewhere:
            found = [getattr(home, each) for home in homes for each in (name, f"{name}_") if hasattr(home, each)]
            assert name in map(canonical, found), (kind, name)
    assert kinds("conv2d") == ("CONVOLUTIONS", "LAYERS", "PROPORTIONAL")
    assert ATTENTION | LINEAR_MAPS < LAYERS
