"""p as data.

A number that torch.compile meets becomes part of its graph, so that every new p is a new graph; a tensor is an input of
it. While a graph is traced, p is a tensor therefore, and a small operator, `thinned::law`, computes what p stands for
when the graph runs, with eager mode's own functions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import noise
from .._torch import exporting, is_batched
from ..noise import PROBABILITY, ArgumentRule, check, formulas

Rate = float | Tensor


def tracing() -> bool:
    """Whether numbers become data now. An exported program keeps the rates with which it was exported, as numbers."""
    return torch.compiler.is_compiling() and not exporting()


def as_rate(rule: ArgumentRule, owner: str, argument: str, value: Rate) -> Rate:
    """A rate checked, and in the form that the moment asks for: a number in eager mode, data while a graph is traced.

    While traced, 0 stays a number, since it leaves the noise out of the graph; and a tensor's value is not known, so
    that one which breaks the rule is refused when the graph runs. Under vmap, one rate a row is data too.

    Raises:
        TypeError, ValueError: a number that breaks the rule, or a tensor that is not one floating-point value without
            gradient.
    """
    if isinstance(value, Tensor):
        if value.numel() != 1 or not value.is_floating_point() or value.requires_grad:
            raise TypeError(
                f"`{owner}`: `{argument}` {rule.text}, or a floating-point tensor of one. Got {value.dtype} of shape "
                f"{tuple(value.shape)}, requires_grad={value.requires_grad}. Noise has no derivative in it: pass "
                f"{argument}.detach(), of one element."
            )
        if torch.compiler.is_compiling() or is_batched(value):
            return value
        value = value.item()
    check(rule, owner, argument, value)
    # A product, since that is what torch.compile can turn from arithmetic on numbers into arithmetic on tensors.
    return torch.ones((), dtype=torch.float64, device="cpu") * value if tracing() and not is_zero(value) else value


def is_zero(value: Rate) -> bool:
    """Whether a rate is known to be 0, in which case there is no noise to make."""
    return not isinstance(value, Tensor) and value == 0


def realised(p: Rate) -> Rate:
    """`thinned.noise.realised`, of a number or of data."""
    return packed("realised", p, "realised").reshape(()) if isinstance(p, Tensor) else noise.realised(p)


def deviation(p: Rate, owner: str) -> Rate:
    """Gaussian dropout's standard deviation, of a number or of data."""
    return packed("deviation", p, owner) if isinstance(p, Tensor) else formulas.deviation(p)


def packed(formula: str, p: Rate, owner: str) -> Tensor:
    """`formulas.numbers` as a float64 tensor on the CPU."""
    if isinstance(p, Tensor):
        result: Tensor = torch.ops.thinned.law(p, formula, owner)
        return result
    return torch.tensor(formulas.numbers(formula, p), dtype=torch.float64, device="cpu")


def unpacked(packed: Tensor, linear: bool) -> tuple[int, float, float, float]:
    """A law's numbers, for a kernel; the linear part of the map adds nothing and fills with 0."""
    level, gain, shift, fill = packed.tolist()
    return int(level), gain, *((0.0, 0.0) if linear else (shift, fill))


def _law(p: Tensor, formula: str, owner: str) -> Tensor:
    return packed(formula, check(PROBABILITY, owner, "p", p.item()), owner)


def _meta(p: Tensor, formula: str, owner: str) -> Tensor:
    return torch.empty(len(formulas.numbers(formula, 0.5)), dtype=torch.float64, device="cpu")


def _vmap(info: object, in_dims: tuple[int, None, None], p: Tensor, formula: str, owner: str) -> tuple[Tensor, int]:
    return torch.stack([packed(formula, row, owner) for row in p.unbind(in_dims[0])]), 0


_library = torch.library.Library("thinned", "FRAGMENT")
_library.define("law(Tensor p, str formula, str owner) -> Tensor")
_library.impl("law", _law, "CompositeExplicitAutograd")
torch.library.register_fake("thinned::law", _meta, lib=_library)
torch.library.register_vmap("thinned::law", _vmap, lib=_library)
