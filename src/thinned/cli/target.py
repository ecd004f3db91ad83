"""What the command line names: a model, `package.module:factory`, and its example, a shape or a factory."""

from __future__ import annotations

import importlib
import os
import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

MODEL_HELP = "package.module:factory, a function, class or object that gives the model."
INPUT_HELP = (
    "The model's input: a shape as 8x3x32x32, with a type as int64:8x16, or package.module:factory; name=... for a "
    "keyword argument. Repeat it for several."
)

_SHAPE = re.compile(r"(?:(?P<dtype>[a-z]+\d*):)?(?P<sizes>\d+(?:x\d+)*)")
_KEYWORD = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<value>.+)")


class TargetError(ValueError):
    """A name on the command line that leads to nothing that can be used."""


def model(target: str) -> Module:
    """The model that `package.module:factory` names; the working directory is searched first.

    Raises: TargetError for a name that leads nowhere or to no module; what the module or the factory itself raises.
    """
    from torch.nn import Module

    found = _named(target, "the model")
    if not isinstance(found, Module) and callable(found):
        found = found()
    if not isinstance(found, Module):
        raise TargetError(f"{target!r} must give a torch.nn.Module. It gives {type(found).__name__}.")
    return found


def example(inputs: list[str]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments and keyword arguments that the inputs name, in order. A factory may give a tuple or a dict of them.

    Raises: TargetError for an input that is neither a shape nor a name; what a factory itself raises.
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
    return f"{target} fails on {given}: {type(error).__name__}: {error}"


def _value(text: str) -> Any:
    shape = _SHAPE.fullmatch(text)
    if shape is not None:
        return _tensor(shape["dtype"] or "float32", [int(size) for size in shape["sizes"].split("x")])
    if ":" not in text:
        raise TargetError(
            f"an input must be a shape, as 8x3x32x32 or int64:8x16, or package.module:factory. Got {text!r}."
        )
    found = _named(text, "an input")
    return found() if callable(found) else found


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


def _named(text: str, what: str) -> Any:
    """The object that `package.module:name.name` names."""
    module, colon, name = text.partition(":")
    if not colon or not module or not name:
        raise TargetError(f"{what} must be package.module:factory. Got {text!r}.")
    here = os.getcwd()  # noqa: PTH109  what sys.path holds
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and misses another
        raise TargetError(
            f"{what}: there is no module {error.name!r}, here ({here}) or among the installed. Got {text!r}."
        ) from None
    for part in name.split("."):
        if not hasattr(found, part):
            offered = [key for key, value in vars(found).items() if callable(value) and not key.startswith("_")]
            raise TargetError(
                f"{what}: {module} has no {name!r}. It has {', '.join(sorted(offered)[:20]) or 'nothing'}."
            )
        found = getattr(found, part)
    return found
