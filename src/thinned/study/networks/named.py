"""The networks by name: what each looks at, how large it is by default, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ...fit.perceptron import Perceptron
from ...model.watch.callsite import transparent
from ...nn import GRU, LSTM, Dropout
from ..error import StudyError
from ..record import NetworkKind
from .recurrent import RecurrentNetwork
from .residual import ResidualNetwork
from .shape import InputShape
from .transformer import HEAD, TransformerNetwork

NetworkName = NetworkKind
HIDDEN: dict[NetworkName, tuple[int, ...]] = {  # small enough for two cores
    "perceptron": (128, 128),
    "cnn": (16, 32),
    "lstm": (64,),
    "gru": (64,),
    "transformer": (32, 32),
}
WORD_NETWORKS = ("lstm", "gru", "transformer")


def check_network(name: NetworkName, shape: InputShape, hidden: Sequence[int]) -> None:
    """Raises StudyError: the data are not what the network looks at, or it can't have these layers."""
    if name == "cnn" and shape.image is None:
        raise StudyError(
            "`--network cnn`: a convolution looks at pictures, and these data have none. Leave --network out, or pass "
            "a folder of pictures or an .npz file of images."
        )
    if name in WORD_NETWORKS and not shape.words:
        raise StudyError(
            f"`--network {name}`: it reads words in their order, and these data have no text. Leave --network out, or "
            "name a text column, as --column review=text."
        )
    alike = len(set(hidden)) == 1
    said = ", ".join(map(str, hidden))
    if name in WORD_NETWORKS and not alike:
        raise StudyError(f"`--hidden`: layers of --network {name} must have one width, as 64,64. Got {said}.")
    if name == "transformer" and hidden[0] > HEAD and hidden[0] % HEAD:
        raise StudyError(f"`--hidden`: the width of --network transformer must be a multiple of {HEAD}. Got {said}.")


def made(
    name: NetworkName,
    shape: InputShape,
    hidden: Sequence[int],
    outputs: int,
    p: float,
    p_input: float = 0.0,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """A network. Its first weights are of torch's own generator; a perceptron's of `generator`, if there is one.

    >>> made("gru", InputShape(words=50, length=8), (8,), 2, 0.5)
    RecurrentNetwork(
      (embedding): Embedding(50, 64, padding_idx=0)
      (input_dropout): Dropout(p=0.0, broadcast_dims=(2,))
      (recurrent): GRU(64, 8, batch_first=True, dropout=0.5)
      (dropout): Dropout(p=0.5)
      (linear): Linear(in_features=8, out_features=2, bias=True)
    )
    """
    if name == "cnn":
        assert shape.image is not None
        return ResidualNetwork(shape.image, hidden, outputs, p, p_input)
    if name == "transformer":
        places = shape.words, shape.length
        return TransformerNetwork(shape.numbers, *places, hidden, outputs, p, p_input, shape.following)
    if name in ("lstm", "gru"):
        cell = LSTM if name == "lstm" else GRU
        return RecurrentNetwork(cell, shape.numbers, shape.words, hidden, outputs, p, p_input, shape.following)
    return Perceptron(shape.inputs, hidden, outputs, p, p_input, generator)


def state_shapes(
    name: NetworkName, shape: InputShape, hidden: Sequence[int], outputs: int
) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """The shape and kind of each array of `state_dict`, by name, without making any.

    >>> state_shapes("cnn", InputShape(image=(28, 28, 3)), (60_000,), 1)["first.weight"]
    ((60000, 3, 5, 5), torch.float32)
    """
    if name == "perceptron":
        sizes = Perceptron.shapes(shape.inputs, hidden, outputs)
        return {weight: (size, torch.float32) for weight, size in sizes.items()}
    with torch.device("meta"), _Undrawn():
        network = made(name, shape, hidden, outputs, 0.0)
    return {weight: (tuple(value.shape), value.dtype) for weight, value in network.state_dict().items()}


class _Undrawn(TorchFunctionMode):
    """First weights stay as they are: to draw normal ones that have no memory, torch loads its compiler, 2 s."""

    @transparent
    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is nn.init.normal_:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def weights_of(name: NetworkName, shape: InputShape, hidden: Sequence[int], outputs: int) -> int:
    """How many numbers a network learns."""
    sizes = state_shapes(name, shape, hidden, outputs).values()
    return sum(torch.Size(size).numel() for size, kind in sizes if kind == torch.float32)


def drops(network: nn.Module) -> bool:
    """Whether a training step of a network has masks."""
    return any(rate > 0 for rate in rates(network).values())


def rates(network: nn.Module) -> Mapping[str, float]:
    """Every place where a network drops units, and its p, the inputs among them."""
    found: dict[str, float] = {}
    for name, module in network.named_modules():
        if isinstance(module, Dropout):
            found[name] = module.p
        elif isinstance(module, (LSTM, GRU)):
            found[name] = module.dropout
    return found


def hidden_places(network: nn.Module) -> dict[str, Any]:
    """The places at which hidden units are dropped: all but the inputs."""
    return {name: p for name, p in rates(network).items() if name != "input_dropout"}
