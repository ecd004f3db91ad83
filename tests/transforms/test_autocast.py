"""AMP: under autocast a layer's dtype is that of torch's dropout, and its mask is that of the key."""

from __future__ import annotations

import pytest
import torch
from tests.regressions.example import run
from tests.transforms.conftest import Case
from torch import Tensor

import thinned.nn
from thinned.nn import DropConnectLinear, Dropout


def surviving(layer: torch.nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(3)
    return run(layer, x.fill_(float("nan"))).isnan()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_dtype_and_mask(keyed: Case, dtype: torch.dtype) -> None:
    layer, x = keyed.layer(), keyed.sample(dtype)
    plain = keyed.call(layer, x, 3)
    mask = surviving(layer, x.clone())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = keyed.call(layer, x, 3)
        assert y.dtype == torch.nn.functional.dropout(x).dtype
        assert torch.equal(surviving(layer, x.clone()), mask)
        assert keyed.call(layer.eval(), x, 3).dtype == torch.nn.functional.dropout(x, training=False).dtype
    assert torch.equal(y, plain)


@pytest.mark.compiler
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.usefixtures("dynamo")
def test_a_model_in_training(compiled: bool) -> None:
    """bfloat16 after a linear layer, float32 after a loss, masks and gradients of the same keys as without autocast."""
    first, noise, last = torch.nn.Linear(6, 64), Dropout(0.5), DropConnectLinear(64, 3, p=0.5)
    x = torch.linspace(-1, 1, 30).reshape(5, 6)
    dtypes: list[torch.dtype] = []

    def step(x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = noise(first(x))
        return hidden, last(hidden)

    with torch.no_grad():
        first.bias.fill_(10.0)  # no unit is 0 but by the mask
    run_step = torch.compile(step, fullgraph=True, backend="aot_eager") if compiled else step
    masks = []
    for amp in (False, True):
        torch.manual_seed(3)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=amp):
            hidden, output = run_step(x)
        dtypes += [hidden.dtype, output.dtype]
        (gradient,) = torch.autograd.grad(output.float().sum(), last.weight)
        masks.append((hidden != 0, gradient != 0))
    assert dtypes == [torch.float32] * 2 + [torch.bfloat16] * 2
    for one, other in zip(*masks, strict=True):
        assert torch.equal(one, other)
        assert 0.3 < one.double().mean() < 0.7


def has_lstm(dtype: torch.dtype) -> bool:
    """Whether torch has its LSTM in one piece on this CPU: oneDNN has bfloat16 and float16 on some alone."""
    try:
        with torch.autocast("cpu", dtype=dtype), torch.no_grad():
            torch.nn.LSTM(5, 6)(torch.ones(4, 3, 5))
    except RuntimeError:  # could not create a primitive descriptor
        return False
    return True


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("lengths", [None, [4, 4, 4], [4, 3, 2]], ids=["padded", "even", "uneven"])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_recurrent_layer_gives_torch_s_dtypes_in_both_modes(
    kind: str, lengths: list[int] | None, dtype: torch.dtype
) -> None:
    x = torch.randn(4, 3, 5)
    given = x if lengths is None else torch.nn.utils.rnn.pack_padded_sequence(x, lengths)
    one_piece = kind == "LSTM" and lengths != [4, 3, 2]  # by oneDNN, on some CPUs without float16

    def dtypes(layer: torch.nn.Module) -> list[torch.dtype]:
        with torch.autocast("cpu", dtype=dtype):
            output, ends = layer(given)
        output = output if lengths is None else output.data
        if layer.training:
            output.float().sum().backward()
        return [output.dtype, *(end.dtype for end in (ends if isinstance(ends, tuple) else (ends,)))]

    settings = {"input_size": 5, "hidden_size": 6, "num_layers": 2, "bidirectional": True, "dropout": 0.2}
    theirs = getattr(torch.nn, kind)(**settings)
    expected = [dtype] * 3 if one_piece else dtypes(theirs)
    ours = getattr(thinned.nn, kind)(**settings, recurrent_dropout=0.3)
    assert dtypes(ours.train()) == expected
    assert all(parameter.grad.dtype == torch.float32 for parameter in ours.parameters())
    if not one_piece or has_lstm(dtype):
        assert dtypes(ours.eval()) == expected
        assert dtypes(getattr(thinned.nn, kind)(**settings).train()) == expected


@pytest.mark.compiler
def test_recurrent_dropout_is_traced_under_autocast(dynamo: None) -> None:
    layer = thinned.nn.LSTM(3, 4, recurrent_dropout=0.3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = torch.compile(layer, backend="aot_eager", fullgraph=True)(torch.randn(2, 3, 3))
    assert output.dtype == torch.bfloat16
