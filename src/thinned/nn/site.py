"""What every layer shares: checked settings, one repr, and the two modes with the scaling between them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..noise import PROBABILITY, SCALING, ArgumentRule, check, realised
from ..ops import Rate, as_rate, check_floating, drop, tracing
from ..ops import realised as realised_rate


class Checked:
    """A setting that obeys its rule at construction and on every later assignment.

    It has no `__get__`: reading finds the value in the instance's dictionary, at the price of any attribute.
    """

    def __init__(self, rule: ArgumentRule) -> None:
        self.rule = rule

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    if TYPE_CHECKING:

        def __get__(self, instance: Any, owner: type | None = None) -> Any: ...

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.name] = check(self.rule, type(instance).__name__, self.name, value)


class CheckedRate(Checked):
    """A probability, kept as a number and, beside it, as data: a tensor that a traced graph takes as an input.

    The tensor is a plain attribute, neither in `state_dict` nor moved by `.to()`. A layer that is built with 0 has None
    there, so that traced graphs leave its noise out, until another rate is assigned.
    """

    def __init__(self) -> None:
        super().__init__(PROBABILITY)

    def __set__(self, instance: Any, value: Any) -> None:
        super().__set__(instance, value)
        built = f"_{self.name}_data" in instance.__dict__
        # Of one axis: torch.compile takes a 0-dim float64 tensor for a number first, and traces twice. A new tensor
        # for a new rate, since a copy of the layer may hold the old one.
        with torch.inference_mode(False):
            data = torch.tensor([float(value)], dtype=torch.float64, device="cpu") if built or value else None
        instance.__dict__[f"_{self.name}_data"] = data

    def forget(self, instance: Any) -> None:
        """Take back the default that a constructor of torch's has assigned: the layer's own rate is to be the first."""
        instance.__dict__.pop(f"_{self.name}_data", None)


def rate(layer: torch.nn.Module, name: str = "p") -> Rate:
    """The layer's rate for the call under way: the number, or the data beside it while a graph is traced.

    The number would be part of the graph, which would then be compiled again for every new one.
    """
    if not tracing():
        number: float = getattr(layer, name)
        return number
    data: Tensor | None = layer.__dict__[f"_{name}_data"]
    return 0.0 if data is None else data


class Site(torch.nn.Module):
    """A place where noise sits. Every constructor argument is an attribute of the same name."""

    p = CheckedRate()
    _noises = ("",)  # the names of a layer's fields of noise; "" where there is one

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        Site.p.forget(self)

    def extra_repr(self) -> str:
        """`p`, then whatever differs from its default.

        >>> import thinned.nn
        >>> thinned.nn.Dropout(0.001, scaling="classic")
        Dropout(p=0.001 (realised 0.00100708), scaling='classic')
        """
        if torch.compiler.is_compiling():  # vmap wants a name, for errors alone; signatures are not for the compiler
            return ""
        return settings(self, *_parameters(self))


_STREAM = "_stream_keys"


def stream_attribute(noise: str) -> str:
    """The attribute in which a layer of an active stream has the source of keys for one of its noises."""
    return f"{_STREAM}_{noise}" if noise else _STREAM


def stream_attributes(module: torch.nn.Module) -> dict[str, Any]:
    """The attributes by which a module is in a stream, with their values: None in a copy, which is in none."""
    return {name: value for name, value in module.__dict__.items() if name.startswith(_STREAM)}


def own_key(
    layer: torch.nn.Module, input: Any, key: int | Tensor | None, generator: torch.Generator | None, noise: str = ""
) -> Any:
    """The call's own key, if it has one; else the key that an active stream has for the layer; else None."""
    source = layer.__dict__.get(stream_attribute(noise))
    if source is None or key is not None or generator is not None or not layer.training:
        return key
    return source.draw(input)


def settings(layer: torch.nn.Module, *names: str) -> str:
    """Constructor arguments as text: `p` always, the others where they differ from their defaults.

    A rate is followed by the realised one where 16 bits round it visibly: in the three digits that people write.
    Gaussian noise takes p as it is.
    """
    parameters = _parameters(layer)
    parts = []
    for name in names:
        value = getattr(layer, name)
        if name == "p" or value != parameters[name].default:
            rule = getattr(getattr(type(layer), name, None), "rule", None)
            rounded = (
                rule is PROBABILITY and getattr(layer, "rounds_p", True) and f"{value:.3g}" != f"{realised(value):.3g}"
            )
            parts.append(f"{name}={value!r}" + (f" (realised {realised(value):.6g})" if rounded else ""))
    return ", ".join(parts)


def _parameters(layer: torch.nn.Module) -> Mapping[str, inspect.Parameter]:
    """The constructor's parameters of the class of ours that the layer is, or that a user derived its class from."""
    ours = next(kind for kind in type(layer).__mro__ if kind.__module__.startswith(__package__))
    return inspect.signature(ours).parameters


def thin(
    owner: str,
    input: Tensor,
    p: Rate,
    training: bool,
    inplace: bool,
    *,
    broadcast_dims: Sequence[int] = (),
    scaling: str = "inverted",
    key: int | Tensor | None = None,
    generator: torch.Generator | None = None,
    batch_dim: int | None = 0,
    residual: Tensor | None = None,
) -> Tensor:
    """Bernoulli dropout in both modes; every zeroing variant is a choice of `broadcast_dims`.

    Inverted: `x * m / q` in training and `x` at inference. Classic: `x * m` and `q * x`. m is 1 with probability
    q = 1 - p, as 16 bits realise it.
    """
    classic = scaling == "classic"
    if not classic and scaling != "inverted":
        check(SCALING, owner, "scaling", scaling)
    if training:
        return drop(
            input,
            p,
            broadcast_dims=broadcast_dims,
            law=scaling,
            key=key,
            generator=generator,
            batch_dim=batch_dim,
            residual=residual,
            out=input if inplace else None,
            owner=owner,
        )
    p = as_rate(PROBABILITY, owner, "p", p)
    check_floating(owner, input)
    output = input * (1.0 - realised_rate(p)) if classic else input
    if residual is not None:
        return residual + output
    return input.copy_(output) if inplace and output is not input else output
