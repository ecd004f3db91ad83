"""The base of all layers: `Site`, with checked settings and a repr, and `thin`, Bernoulli dropout in both modes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..noise import AXES, PROBABILITY, SCALING, ArgumentRule, check, realised
from ..ops import Rate, as_rate, check_floating, drop, is_zero, tracing
from ..ops import realised as realised_rate
from ..ops.input import check_tensor


class Checked:
    """A descriptor for a setting of a layer: every assignment checks the value against a rule.

    Example: with `p = CheckedRate()` in the class, `layer.p = 20` raises an error. The descriptor has no `__get__`, so
    reading finds the value in the instance's `__dict__`, as fast as any attribute.
    """

    def __init__(self, rule: ArgumentRule) -> None:
        self.rule = rule

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    if TYPE_CHECKING:

        def __get__(self, instance: Any, owner: type | None = None) -> Any: ...

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.name] = check(self.rule, type(instance).__name__, self.name, value)


class CheckedAxes(Checked):
    """Checked axis numbers. They are stored as a tuple of its own: the caller's list may change later."""

    def __init__(self) -> None:
        super().__init__(AXES)

    def __set__(self, instance: Any, value: Any) -> None:
        super().__set__(instance, value)
        instance.__dict__[self.name] = tuple(map(int, value))


class CheckedRate(Checked):
    """A `Checked` probability that is stored twice: as a number, and as a tensor for traced graphs.

    The tensor is a plain attribute: it is not in `state_dict`, and `.to()` does not move it. A layer that is built with
    0 has None in its place, so that a traced graph has no noise, until another value is assigned.
    """

    def __init__(self) -> None:
        super().__init__(PROBABILITY)

    def __set__(self, instance: Any, value: Any) -> None:
        super().__set__(instance, value)
        built = f"_{self.name}_data" in instance.__dict__
        # The tensor has one axis, because torch.compile takes a 0-dim float64 tensor for a number first, and traces
        # twice. Every assignment makes a new tensor, because a copy of the layer may share the old one.
        with torch.inference_mode(False):
            data = torch.tensor([float(value)], dtype=torch.float64, device="cpu") if built or value else None
        instance.__dict__[f"_{self.name}_data"] = data

    def forget(self, instance: Any) -> None:
        """Delete the tensor of the default p that torch's constructor has assigned: the layer's own p is the first."""
        instance.__dict__.pop(f"_{self.name}_data", None)


def rate(layer: torch.nn.Module, name: str = "p") -> Rate:
    """The rate of a layer for the current call: the number, or the tensor while a graph is traced.

    With the number, which would be a constant of the graph, torch.compile would compile again for every new p.
    """
    if not tracing():
        number: float = getattr(layer, name)
        return number
    data: Tensor | None = layer.__dict__[f"_{name}_data"]
    return 0.0 if data is None else data


class Site(torch.nn.Module):
    """A layer that draws noise by key. Every constructor argument is an attribute of the same name."""

    p = CheckedRate()
    _noises = ("",)  # the names of the noises of a layer; "" if it has one noise

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        Site.p.forget(self)

    def extra_repr(self) -> str:
        """`p`, then whatever differs from its default.

        >>> import thinned.nn
        >>> thinned.nn.Dropout(0.001, scaling="classic")
        Dropout(p=0.001 (realised 0.00100708), scaling='classic')
        """
        if torch.compiler.is_compiling():  # vmap asks for the repr; signatures can't be traced
            return ""
        return settings(self, *_parameters(self))


_STREAM = "_stream_keys"


def stream_attribute(noise: str) -> str:
    """The name of the attribute that holds, in an active stream, the source of keys for one noise of a layer."""
    return f"{_STREAM}_{noise}" if noise else _STREAM


def stream_attributes(module: torch.nn.Module) -> dict[str, Any]:
    """The attributes that put a module into a stream. In a copy, which is in no stream, their values are None."""
    return {name: value for name, value in [*module.__dict__.items()] if name.startswith(_STREAM)}


def own_key(
    layer: torch.nn.Module, input: Any, key: int | Tensor | None, generator: torch.Generator | None, noise: str = ""
) -> Any:
    """The call's own key, if it has one; else the key that an active stream has for the layer; else None."""
    source = layer.__dict__.get(stream_attribute(noise))
    if source is None or key is not None or generator is not None or not layer.training:
        return key
    return source.draw(input)


def settings(layer: torch.nn.Module, *names: str) -> str:
    """Constructor arguments as text: `p` always, the others if they differ from their defaults.

    p is rounded to 16 bits. If the rounded value differs in the first three digits, it follows as "realised". Gaussian
    noise uses p without rounding.
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
    """The constructor's parameters of the layer's class, or of the class of thinned's that it is derived from."""
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
    """Bernoulli dropout in both modes. All variants that zero units call it with different `broadcast_dims`.

    Inverted: `x * m / q` in training and `x` at inference. Classic: `x * m` in training and `q * x` at inference. m is
    1 with probability q = 1 - p, where p is rounded to 16 bits. Where the result is the input itself, the input may
    have any type, rank and layout.
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
    check_tensor(owner, input)
    output = input
    if classic and not is_zero(p):
        check_floating(owner, input)
        output = input * (1.0 - realised_rate(p))
    if residual is not None:
        return residual + output
    return input.copy_(output) if inplace and output is not input else output
