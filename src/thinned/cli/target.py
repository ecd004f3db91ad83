"""What the command line names: a model, `package.module:factory`, and its example, a shape or a factory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .factory import TargetError, made, named, told

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

MODEL_HELP = (
    "package.module:factory, a function, class or object that gives the model; with arguments, 'net:build(depth=3)'."
)
VERBOSE_HELP = "Show the traceback of what fails: the module, the factory, or the model."
INPUT_HELP = (
    "The model's input: a shape as 8x3x32x32, with a type as int64:8x16, or package.module:factory; name=... for a "
    "keyword argument. Repeat it for several."
)

_SHAPE = re.compile(r"(?:(?P<dtype>[a-z]+\d*):)?(?P<sizes>\d+(?:x\d+)*)")
_KEYWORD = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<value>.+)")


def model(target: str) -> Module:
    """The model that `package.module:factory` names; the working directory is searched first.

    Raises: TargetError for a name that leads nowhere or to no module, and for a module or a factory that fails; its
        cause is then what they raised.
    """
    from torch.nn import Module

    from ..beside_tensorflow import load_triton
    from ..frameworks import is_keras, other_framework

    def is_model(found: Any) -> bool:
        return isinstance(found, Module) or is_keras(found) or other_framework(found) is not None

    found, factory = named(target, "the model")
    if is_model(found) and factory.called:
        raise TargetError(f"the model: {factory.name!r} is a model and takes no arguments. Got {target!r}.")
    if not is_model(found) and callable(found):
        found = made(found, factory, target)
    load_triton()
    if not isinstance(found, Module) and not is_keras(found):
        what, instead = other_framework(found) or ("", "")
        raise TargetError(
            f"{target!r} must give a torch.nn.Module. It gives {type(found).__name__}"
            + (f", {what}. {instead}" if what else ".")
        )
    return found  # type: ignore[no-any-return]


def example(inputs: list[str]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments and keyword arguments that the inputs name, in order. A factory may give a tuple or a dict of them.

    Raises: TargetError for an input that is neither a shape nor a name, and for a factory that fails.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in inputs:
        keyword = _KEYWORD.fullmatch(text)
        value = _value(keyword["value"] if keyword else text)
        if keyword:
            kwargs[keyword["name"]] = value
        elif isinstance(value, dict):
            kwargs.update(value)
        elif isinstance(value, tuple | list):
            args.extend(value)
        else:
            args.append(value)
    return tuple(args), kwargs


def failure(target: str, inputs: list[str], error: Exception) -> str:
    """What is said of a model that raises on its example."""
    given = " ".join(f"--input {text}" for text in inputs) or "no --input"
    return f"{target} fails on {given}: {told(error)}"


def _value(text: str) -> Any:
    shape = _SHAPE.fullmatch(text)
    if shape is not None:
        return _tensor(shape["dtype"] or "float32", [int(size) for size in shape["sizes"].split("x")])
    if ":" not in text:
        raise TargetError(
            f"an input must be a shape, as 8x3x32x32 or int64:8x16, or package.module:factory. Got {text!r}."
        )
    found, factory = named(text, "an input")
    return made(found, factory, text) if callable(found) else found


def _tensor(name: str, sizes: list[int]) -> Tensor:
    """Normal numbers for a real type; 0 and 1 for whole numbers, which every vocabulary has; True for bool."""
    import torch

    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise TargetError(f"an input's type must be one of torch's, as float32, int64 or bool. Got {name!r}.")
    draw = torch.Generator().manual_seed(0)  # the CPU's, while the model's module may have set a default device
    place = torch.get_default_device()
    if dtype is torch.bool:
        return torch.ones(sizes, dtype=dtype)
    if dtype.is_floating_point or dtype.is_complex:
        return torch.randn(sizes, generator=draw, device="cpu").to(place, dtype)
    return torch.randint(0, 2, sizes, generator=draw, device="cpu").to(place, dtype)
