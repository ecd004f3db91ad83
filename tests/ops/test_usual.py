"""The usual call gives what the general way gives: bits, draws and derivatives; and leaves every other call to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import thinned
import thinned.nn
from thinned.ops import cpu, drop

pytestmark = pytest.mark.skipif(cpu.kernel.run is None, reason="is about the compiled kernel")

Layer = Callable[[Tensor], Tensor]
LAYERS: dict[str, Callable[[float], Layer]] = {
    "Dropout": thinned.nn.Dropout,
    "Dropout, classic": lambda p: thinned.nn.Dropout(p, scaling="classic"),
    "AlphaDropout": thinned.nn.AlphaDropout,
    "drop": lambda p: lambda x: drop(x, p),
    "functional": lambda p: lambda x: thinned.nn.functional.dropout(x, p),
}
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


class Counted:
    """A function of the kernel's that counts its answers."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.answers = function, 0

    def __call__(self, *arguments: Any) -> Any:
        result = self.function(*arguments)
        self.answers += result is not None
        return result


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many usual calls were made since the last question."""
    counters = [Counted(cpu.kernel.usual), Counted(cpu.kernel.usual_of_layer)]
    monkeypatch.setattr(cpu.kernel, "usual", counters[0])
    monkeypatch.setattr(cpu.kernel, "usual_of_layer", counters[1])

    def since() -> int:
        count = sum(counter.answers for counter in counters)
        for counter in counters:
            counter.answers = 0
        return count

    return since


def both_ways(function: Callable[[], Any]) -> tuple[Any, Any]:
    """The results with the usual way and without it, each with the state of the generator after it."""
    results = []
    for without in (False, True):
        torch.manual_seed(5)
        with pytest.MonkeyPatch.context() as patch:
            if without:
                for name in ("usual", "usual_of_layer"):
                    patch.setattr(cpu.kernel, name, lambda *_: None)
            results.append((function(), torch.get_rng_state()))
    return results[0], results[1]


def bits(tensor: Tensor) -> Any:
    flat = torch.empty(tensor.numel(), dtype=tensor.dtype).copy_(tensor.detach().flatten())
    return flat.view(torch.uint8).tolist(), tensor.stride()


@pytest.mark.parametrize("p", [1e-5, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layer", LAYERS)
def test_bits_draws_and_gradients(layer: str, dtype: torch.dtype, p: float, taken: Callable[[], int]) -> None:
    for shape in ((), (0, 3), (5, 7), (2, 3, 400)):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
        if x.numel() > 2:
            x.view(-1)[:3] = torch.tensor([math.inf, math.nan, -0.0])
        leaf, incoming = x.clone().requires_grad_(), x.flip(0) if x.ndim else x
        module = LAYERS[layer](p)

        def steps(
            module: Layer = module, x: Tensor = x, leaf: Tensor = leaf, incoming: Tensor = incoming
        ) -> list[Tensor]:
            y = module(leaf)
            return [
                module(x),
                y,
                *torch.autograd.grad(y, leaf, incoming),
                *torch.autograd.grad(module(leaf).sum(), leaf),
            ]

        (ours, state), (theirs, state_then) = both_ways(steps)
        assert taken() == 3
        assert [bits(each) for each in ours] == [bits(each) for each in theirs]
        assert torch.equal(state, state_then)


def test_second_derivatives_hooks_and_what_is_saved(taken: Callable[[], int]) -> None:
    layer, x = thinned.nn.Dropout(0.3), torch.linspace(-1, 1, 50)
    saved: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    def steps() -> list[Tensor]:
        leaf, seen = x.clone().requires_grad_(), list[Tensor]()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            y = layer(leaf)
        y.register_hook(seen.append)
        weight = torch.linspace(1, 2, 50, requires_grad=True)
        (first,) = torch.autograd.grad(y, leaf, weight.exp(), create_graph=True)
        second = torch.autograd.grad(first.pow(3).sum(), weight, create_graph=True)[0]
        (third,) = torch.autograd.grad(second.sum(), weight)
        batch = torch.autograd.grad(layer(leaf), leaf, torch.eye(50), is_grads_batched=True)[0]
        return [y, first, second, third, batch, *seen]

    (ours, _), (theirs, _) = both_ways(steps)
    assert taken() == 2
    assert not saved
    assert ours[3].abs().max() > 0.1
    assert [bits(each) for each in ours] == [bits(each) for each in theirs]


def test_inference_parameters_and_autocast_are_usual(taken: Callable[[], int]) -> None:
    layer, x = thinned.nn.Dropout(0.5), torch.ones(8)
    with torch.inference_mode():
        assert layer(x).is_inference()
        assert layer(x.clone()).is_inference()
    with torch.no_grad():
        assert not layer(torch.nn.Parameter(x)).requires_grad
    assert layer(torch.nn.Parameter(x)).requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.float32
    assert taken() == 5


class Passing(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*args, **(kwargs or {}))


class Dispatching(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*args, **(kwargs or {}))


X = torch.linspace(-1, 1, 12).reshape(3, 4)
OTHERS: dict[str, Callable[[thinned.nn.Dropout], Any]] = {
    "a key": lambda layer: layer(X, key=3),
    "a generator": lambda layer: layer(X, generator=torch.Generator()),
    "a transposed tensor": lambda layer: layer(X.T),
    "an expanded tensor": lambda layer: layer(X[:1].expand(3, 4)),
    "a complex tensor": lambda layer: layer(X.to(torch.complex64)),
    "a negated view": lambda layer: layer(torch.complex(X, X).conj().imag),
    "a sparse tensor": lambda layer: layer(X.to_sparse_coo()),
    "a meta tensor": lambda layer: layer(X.to("meta")),
    "a subclass": lambda layer: layer(X.as_subclass(type("Mine", (Tensor,), {}))),
    "in evaluation": lambda layer: layer.eval()(X),
    "in place": lambda layer: thinned.nn.Dropout(0.5, inplace=True)(X.clone()),
    "a shared axis": lambda layer: thinned.nn.Dropout(0.5, broadcast_dims=(0,))(X),
    "p of 0": lambda layer: thinned.nn.Dropout(0.0)(X),
    "p of another type": lambda layer: drop(X, np.float64(0.5)),
    "a residual": lambda layer: drop(X, 0.5, residual=X),
    "an offset": lambda layer: drop(X, 0.5, offset=(1, 0), global_shape=(4, 4)),
    "vmap": lambda layer: torch.vmap(layer, randomness="different")(X),
    "a function's gradient": lambda layer: torch.func.grad(lambda x: layer(x).sum())(X),
}


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("case", OTHERS)
def test_every_other_call_goes_the_general_way(case: str, taken: Callable[[], int]) -> None:
    OTHERS[case](thinned.nn.Dropout(0.5))
    assert taken() == 0


def test_modes_streams_and_forward_mode_go_the_general_way(taken: Callable[[], int]) -> None:
    layer = thinned.nn.Dropout(0.5)
    modes: tuple[Any, ...] = (Passing(), Dispatching())  # type: ignore[no-untyped-call]
    for mode in modes:
        with mode:
            layer(X)
    with thinned.stream(layer, 1):
        layer(X)
        drop(X, 0.5)
    with dual_level():
        torch.manual_seed(0)
        tangent = unpack_dual(layer(make_dual(X, torch.ones_like(X)))).tangent
    assert taken() == 0
    torch.manual_seed(0)
    kept = layer(torch.ones_like(X))
    assert taken() == 1
    assert torch.equal(tangent, kept)


def test_settings_count_from_the_next_call_on(taken: Callable[[], int]) -> None:
    layer, x = thinned.nn.Dropout(0.5), torch.ones(64)
    torch.manual_seed(0)
    half = layer(x)
    layer.p = 0.25
    torch.manual_seed(0)
    quarter = layer(x)
    assert taken() == 2
    assert set(quarter.unique().tolist()) == {0.0, float(np.float32(4 / 3))}
    assert ((half != 0) <= (quarter != 0)).all()  # one key: nested masks
    layer.inplace = True
    assert layer(x).data_ptr() == x.data_ptr()
    assert taken() == 0


def test_errors_are_those_of_the_general_way() -> None:
    with pytest.raises(ValueError, match="`law` must be one of"):
        drop(X, 0.5, law="deviation")
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        drop(X, 1.5)
    with pytest.raises(TypeError, match="floating-point"):
        thinned.nn.Dropout(0.5)(torch.ones(3, dtype=torch.int64))
    with pytest.raises(TypeError, match="must be a tensor"):
        thinned.nn.Dropout(0.5)([1.0])
