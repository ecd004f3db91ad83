"""MaxNorm: which vectors, by a loop over units for every kind of layer; and the hook that keeps the bound."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

import thinned
from thinned.nn import LSTM, DropConnect, DropConnectLinear, drop_connect

Vectors = Iterator[Tensor]


def rows(weight: Tensor) -> Vectors:
    yield from weight


def channels(layer: nn.modules.conv._ConvTransposeNd) -> Vectors:
    """What each output channel of a transposed convolution is made with, group by group."""
    weight, groups = layer.weight, layer.groups
    share = layer.in_channels // groups
    for out in range(layer.out_channels):
        group, within = divmod(out, layer.out_channels // groups)
        yield weight[group * share : (group + 1) * share, within]


def layer_weights(layer: nn.Module) -> list[Tensor]:
    return [weight for name, weight in layer.named_parameters() if name.startswith("weight")]


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "Linear": lambda: nn.Linear(5, 4),
    "DropConnectLinear": lambda: DropConnectLinear(5, 4),
    "Conv1d": lambda: nn.Conv1d(4, 6, 3),
    "Conv2d": lambda: nn.Conv2d(4, 6, 3, groups=2),
    "Conv3d": lambda: nn.Conv3d(2, 3, 2),
    "Embedding": lambda: nn.Embedding(7, 3),
    "EmbeddingBag": lambda: nn.EmbeddingBag(7, 3),
    "Bilinear": lambda: nn.Bilinear(3, 4, 5),
    "RNN": lambda: nn.RNN(3, 4, num_layers=2),
    "LSTM": lambda: nn.LSTM(3, 4, bidirectional=True, proj_size=2),
    "GRU": lambda: nn.GRU(3, 4),
    "thinned LSTM": lambda: LSTM(3, 4, recurrent_dropout=0.2),
    "LSTMCell": lambda: nn.LSTMCell(3, 4),
    "GRUCell": lambda: nn.GRUCell(3, 4),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_unit_is_an_index_of_the_first_axis(name: str) -> None:
    check(LAYERS[name](), lambda layer: (row for weight in layer_weights(layer) for row in rows(weight)))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kind", [nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d])
def test_transposed_convolutions(kind: Any, groups: int) -> None:
    check(kind(4, 6, 2, groups=groups), channels)


def test_a_channel_of_a_transposed_convolution_reads_what_the_oracle_says() -> None:
    """The oracle itself: the gradient of one output channel is in its vector alone."""
    layer = nn.ConvTranspose2d(4, 6, 2, groups=2, bias=False)
    for out, vector in enumerate(channels(layer)):
        (gradient,) = torch.autograd.grad(layer(torch.ones(1, 4, 3, 3))[:, out].sum(), layer.weight)
        assert gradient.count_nonzero() == vector.numel()
        with torch.no_grad():
            layer.weight.copy_(gradient)
        assert vector.count_nonzero() == vector.numel()


@pytest.mark.parametrize("own", [False, True])
def test_attention_has_its_three_projections_and_its_output(own: bool) -> None:
    sizes: dict[str, Any] = {"kdim": 3, "vdim": 5} if own else {}
    layer = nn.MultiheadAttention(4, 2, add_bias_kv=True, **sizes)
    names = ["q_proj_weight", "k_proj_weight", "v_proj_weight"] if own else ["in_proj_weight"]
    constraint = thinned.MaxNorm(layer)
    assert constraint.weights == (*names, "out_proj.weight")
    assert constraint.left_out == ("bias_k", "bias_v")
    check(layer, lambda layer: (row for name in constraint.weights for row in rows(layer.get_parameter(name))))


def test_conv1d_of_transformers_is_a_transposed_linear_layer() -> None:
    from transformers.pytorch_utils import Conv1D

    layer: nn.Module = Conv1D(4, 3)  # type: ignore[no-untyped-call]
    check(layer, lambda layer: rows(layer.get_parameter("weight").T))


def check(layer: nn.Module, vectors: Callable[..., Vectors]) -> None:
    """Long vectors get the length c and keep their direction, others their bits; nothing else moves."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(generator=generator)
        found = list(vectors(layer))
        for number, vector in enumerate(found):
            if number % 3:
                vector.mul_(
                    (0.5 if number % 3 == 1 else 2.0) / math.sqrt(sum(x * x for x in vector.flatten().tolist()))
                )
        found[0].zero_()
    before = [vector.detach().clone() for vector in found]
    others = {name: value.clone() for name, value in layer.state_dict().items()}
    thinned.MaxNorm(layer, c=1.0).apply_()
    for now, old in zip(vectors(layer), before, strict=True):
        norm = math.sqrt(sum(x * x for x in old.flatten().tolist()))
        if norm <= 1.0:
            assert torch.equal(now, old)
        else:
            torch.testing.assert_close(now, old / norm, rtol=4e-7, atol=0)
    assert sum(bool(vector.norm() > 1) for vector in before) > 0
    constrained = thinned.MaxNorm(layer).weights
    for name, value in layer.state_dict().items():
        assert name in constrained or torch.equal(value, others[name])


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        logits = model(torch.randn(8, 1, 4, 4, generator=generator))
        nn.functional.cross_entropy(logits, torch.arange(8) % 3).backward()
        optimizer.step()


def longest(model: nn.Module) -> float:
    return max(float(norms.max()) for norms in thinned.MaxNorm(model).norms().values())


@pytest.mark.parametrize(
    "settings", [{}, {"foreach": True}, {"fused": True}, {"foreach": False}], ids=lambda settings: "-".join(settings)
)
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_steps_break_the_bound_and_the_hook_keeps_it(kind: Any, settings: dict[str, bool]) -> None:
    model = network()
    optimizer = kind(model.parameters(), lr=2.0, **settings)
    constraint = thinned.MaxNorm(model, c=1.0)
    assert constraint.weights == ("0.weight", "4.weight")
    train(model, optimizer)
    assert longest(model) > 1.5
    handle = constraint.attach(optimizer)
    scale = model.get_parameter("1.weight")
    for _ in range(3):
        train(model, optimizer, 1)
        assert longest(model) <= 1 + 1e-6
    assert scale.norm() > 1.1
    constraint.c = 0.5
    train(model, optimizer, 1)
    assert longest(model) <= 0.5 + 1e-6
    handle.remove()
    train(model, optimizer)
    assert longest(model) > 1.5


def test_a_skipped_step_is_none() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    thinned.MaxNorm(model, c=0.1).attach(optimizer)
    scaler = torch.amp.GradScaler("cpu")
    before = copy.deepcopy(model.state_dict())
    for factor in (float("inf"), 1.0):
        loss = scaler.scale(model[4](torch.ones(2, 16)).sum() + model[0](torch.ones(1, 1, 4, 4)).sum())
        (loss * factor).backward()
        scaler.step(optimizer)
        scaler.update()
        same = torch.equal(model.get_parameter("0.weight"), before["0.weight"])
        assert same == (factor == float("inf"))
        optimizer.zero_grad()
    assert longest(model) <= 0.1 + 1e-7


def test_copies_and_pickles_of_the_optimiser_are_as_without() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0, momentum=0.9)
    train(model, optimizer, 1)
    state = copy.deepcopy(optimizer.state_dict())
    constraint = thinned.MaxNorm(model, c=1.0)
    constraint.attach(optimizer)
    assert optimizer.state_dict().keys() == state.keys()
    twin, other = copy.deepcopy((model, optimizer)), pickle.loads(pickle.dumps((model, optimizer)))
    train(model, optimizer, 1)
    assert longest(model) <= 1 + 1e-6
    for copied, its in (twin, other):
        train(copied, its, 1)
        assert longest(copied) > 1.1  # no trace of the hook
        thinned.MaxNorm(copied, c=1.0).attach(its)
        train(copied, its, 1)
        assert longest(copied) <= 1 + 1e-6
    copied, its_own = copy.deepcopy((model, constraint))
    its_own.c = 0.25
    its_own.apply_()
    assert longest(copied) <= 0.25 + 1e-6
    assert longest(model) > 0.5


def test_each_optimiser_bounds_its_own_weights_and_frozen_ones_stay() -> None:
    model = network()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(20)
    model.get_parameter("0.weight").requires_grad_(False)
    frozen = model.get_parameter("0.weight").clone()
    constraint = thinned.MaxNorm(model, c=1.0)
    constraint.apply_()
    assert torch.equal(model.get_parameter("0.weight"), frozen)
    model.get_parameter("0.weight").requires_grad_(True)
    optimizer = torch.optim.SGD(model[4].parameters(), lr=0.5)
    constraint.attach(optimizer)
    train(model, optimizer, 1)
    norms = constraint.norms()
    assert norms["4.weight"].max() <= 1 + 1e-6
    assert norms["0.weight"].min() > 2


def test_a_weight_is_looked_up_at_every_step() -> None:
    model = nn.Linear(4, 4)
    constraint = thinned.MaxNorm(model, c=0.1)
    model.weight = nn.Parameter(torch.full((4, 4), 3.0, dtype=torch.bfloat16))
    constraint.apply_()
    assert model.weight.norm(dim=1).max() <= 0.1 * (1 + 2**-7)
    del model.weight
    with pytest.raises(RuntimeError, match=r"`MaxNorm`: weight must still be a parameter"):
        constraint.apply_()


def test_dropconnect_constrains_the_parameter_that_it_thins() -> None:
    hooked, parametrized = drop_connect(nn.Linear(4, 4), p=0.5), nn.Linear(4, 4)
    parametrize.register_parametrization(parametrized, "weight", DropConnect(0.5))
    for layer in (hooked, parametrized):
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.fill_(3)
        thinned.MaxNorm(layer, c=1.0).apply_()
        layer.eval()
        assert isinstance(layer.weight, Tensor)
        torch.testing.assert_close(layer.weight, torch.full((4, 4), 0.5))
        assert torch.equal(layer.get_parameter("bias"), torch.full((4,), 3.0))


def old_weight_norm(layer: nn.Linear) -> object:
    with pytest.warns(FutureWarning, match="weight_norm"):
        return nn.utils.weight_norm(layer)


@pytest.mark.parametrize(
    ("change", "made"),
    [
        (parametrizations.weight_norm, "_WeightNorm"),
        (parametrizations.spectral_norm, "_SpectralNorm"),
        (old_weight_norm, "weight_norm or pruning"),
        (lambda layer: prune.l1_unstructured(layer, "weight", 0.5), "weight_norm or pruning"),
    ],
)
def test_weights_made_from_others_are_refused_and_may_be_left_out(
    change: Callable[[nn.Module], object], made: str
) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    change(model[0])
    with pytest.raises(ValueError, match=f"`MaxNorm`: a weight must be a parameter. Got 0.weight, which {made} makes"):
        thinned.MaxNorm(model)
    constraint = thinned.MaxNorm(model, 3.0, "1")
    assert constraint.weights == ("1.weight",)
    assert constraint.left_out


def test_patterns_name_modules_or_weights_of_the_model_inside_wrappers() -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2, enable_nested_tensor=False)
    wrapped = torch.compile(model, backend="eager")
    assert isinstance(wrapped, nn.Module)
    constraint = thinned.MaxNorm(wrapped, 2.0, "layers.0.linear?", "*.in_proj_weight")
    assert constraint.weights == (
        "layers.0.self_attn.in_proj_weight",
        "layers.0.linear1.weight",
        "layers.0.linear2.weight",
        "layers.1.self_attn.in_proj_weight",
    )
    assert "layers.1.linear1.weight" in constraint.left_out
    assert repr(constraint).startswith("MaxNorm(c=2.0, weights=['layers.0.self_attn")
    assert thinned.MaxNorm([nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1)]).weights == ("0.weight", "2.weight")


def test_a_weight_that_is_tied_is_one() -> None:
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    model[1].weight = model.get_parameter("0.weight")
    assert thinned.MaxNorm(model).weights == ("0.weight",)


def test_errors_say_what_to_do() -> None:
    model = network()
    with pytest.raises(ValueError, match=r"`MaxNorm`: `c` must be a finite number above 0. Got 0"):
        thinned.MaxNorm(model, 0)
    with pytest.raises(TypeError, match=r"`MaxNorm`: `model` must be a torch.nn.Module, or several. Got int"):
        thinned.MaxNorm(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`MaxNorm`: `c` .* Got '3'. Pass a float"):
        thinned.MaxNorm(model, "3")  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"`MaxNorm`: `patterns` must name .* Got 'haed', .*Parameters: 0.weight, 4.we"
    ):
        thinned.MaxNorm(model, 3.0, "0", "haed")
    with pytest.raises(ValueError, match=r"Got BatchNorm1d, in which there is none"):
        thinned.MaxNorm(nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match=r"`MaxNorm`: weights must be initialised. Got 0.weight"):
        thinned.MaxNorm(nn.Sequential(nn.LazyLinear(3)))
    constraint = thinned.MaxNorm(model)
    with pytest.raises(ValueError, match=r"`MaxNorm.attach`: `optimizer` must have .* Got SGD with none of 0.weight"):
        constraint.attach(torch.optim.SGD(network().parameters(), lr=1.0))
    with pytest.raises(
        TypeError, match=r"`MaxNorm.attach`: `optimizer` must be a torch.optim.Optimizer. Got list. For"
    ):
        constraint.attach(list(model.parameters()))  # type: ignore[arg-type]


def test_a_compiled_step_and_the_wrappers_of_accelerate() -> None:
    from accelerate import Accelerator

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
    thinned.MaxNorm(model, c=1.0).attach(Accelerator(cpu=True).prepare_optimizer(optimizer))
    model(torch.ones(8, 1, 4, 4)).square().sum().backward()
    torch.compile(optimizer.step, backend="eager")()
    assert longest(model) <= 1 + 1e-6
