"""Rates as tensors, so that one compiled graph serves every p.

torch.compile makes a Python number a constant of the graph, and compiles again for a new number. A tensor is an input
of the graph. Therefore p is a tensor while a graph is traced. When the graph runs, the operator `thinned::law` computes
the kernel's numbers from p, with the same functions as in eager mode.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import noise
from .._torch import exporting, is_batched
from ..noise import PROBABILITY, ArgumentRule, check, formulas
from .argument import check_level

Rate = float | Tensor


def tracing() -> bool:
    """Whether torch.compile traces now, so that a rate must be a tensor. In torch.export rates stay constants."""
    return torch.compiler.is_compiling() and not exporting()


def as_rate(rule: ArgumentRule, owner: str, argument: str, value: Rate) -> Rate:
    """Check a rate, and return it as a number in eager mode, or as a tensor while a graph is traced.

    While a graph is traced, 0 stays a number, because then the graph has no noise. The value of a tensor is not known
    in a trace: if it breaks the rule, the error is raised when the graph runs. Under vmap a tensor stays a tensor.

    Raises:
        TypeError: a number has the wrong type.
        TypeError: a tensor is not one floating-point number without gradient.
        ValueError: the value breaks the rule.
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
    # A product, because torch.compile can turn a product with a number into an operation on tensors.
    return torch.ones((), dtype=torch.float64, device="cpu") * value if tracing() and not is_zero(value) else value


def is_zero(value: Rate) -> bool:
    """Whether a rate is known to be 0, so that no noise is needed."""
    return not isinstance(value, Tensor) and value == 0


def realised(p: Rate) -> Rate:
    """`thinned.noise.realised` of a number or a tensor: p as it is rounded to 16 bits."""
    return packed("realised", p, "realised").reshape(()) if isinstance(p, Tensor) else noise.realised(p)


def deviation(p: Rate, owner: str) -> Rate:
    """The standard deviation of Gaussian dropout, sqrt(p / (1 - p)), of a number or a tensor."""
    return packed("deviation", p, owner) if isinstance(p, Tensor) else formulas.deviation(p)


def packed(formula: str, p: Rate, owner: str) -> Tensor:
    """The result of `formulas.numbers` as a float64 tensor on the CPU."""
    if isinstance(p, Tensor):
        result: Tensor = torch.ops.thinned.law(p, formula, owner)
        return result
    return torch.tensor(formulas.numbers(formula, p), dtype=torch.float64, device="cpu")


def unpacked(packed: Tensor, linear: bool) -> tuple[int, float, float, float]:
    """The numbers of a law for a kernel. The linear part of the map has shift 0 and fill 0.

    Raises:
        ValueError: the first number is no level: a whole number in [0, 65536].
    """
    level, gain, shift, fill = packed.tolist()
    return check_level(level), gain, *((0.0, 0.0) if linear else (shift, fill))


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
