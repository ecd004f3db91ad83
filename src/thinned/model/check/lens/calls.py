"""What source code calls noise: torch's functions and modules, and others', by qualified name, and their arguments."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from .source_file import SourceFile


class Signature(NamedTuple):
    """Where a call takes p and, if it does, `training`: the place among the positional arguments, and the names."""

    p: int = 1
    p_names: tuple[str, ...] = ("p",)
    training: int | None = None
    training_names: tuple[str, ...] = ("training", "train")
    default: bool | None = None  # of `training`; None: it has none and must be given


_F = "torch.nn.functional."
_ON = Signature(training=2, default=True)
_OFF = Signature(training=2, default=False)
_ASKED = Signature(training=2)

FUNCTIONS: dict[str, Signature] = {
    **{f"{_F}{name}": _ON for name in ("dropout", "dropout1d", "dropout2d", "dropout3d")},
    **{f"{_F}{name}": _OFF for name in ("alpha_dropout", "feature_alpha_dropout")},
    **{
        f"torch.{name}{end}": _ASKED
        for name in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "native_dropout")
        for end in ("", "_")
    },
    f"{_F}multi_head_attention_forward": Signature(10, ("dropout_p",), 13, ("training",), True),
    "torchvision.ops.stochastic_depth": Signature(training=3, training_names=("training",), default=True),
}

ATTENTION: dict[str, Signature] = {
    f"{_F}scaled_dot_product_attention": Signature(4, ("dropout_p",)),
    **{
        f"flash_attn.flash_attn_{name}func": Signature(place, ("dropout_p",))
        for name, place in {
            "": 3,
            "qkvpacked_": 1,
            "kvpacked_": 2,
            "varlen_": 7,
            "varlen_qkvpacked_": 3,
            "varlen_kvpacked_": 6,
        }.items()
    },
}

_NN = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")
MODULES: dict[str, Signature] = {
    **{f"{package}.nn.{name}": Signature(0) for package in ("torch", "thinned") for name in _NN},
    "timm.layers.DropPath": Signature(0, ("drop_prob",)),
    "timm.layers.DropBlock2d": Signature(0, ("drop_prob",)),
    "torchvision.ops.StochasticDepth": Signature(0),
    "torchvision.ops.DropBlock2d": Signature(0),
    "torchvision.ops.DropBlock3d": Signature(0),
    **{
        f"thinned.nn.{name}": Signature(0)
        for name in (
            "GaussianDropout",
            "DropoutAdd",
            "DropPath",
            "StochasticDepth",
            "LockedDropout",
            "VariationalDropout",
        )
    },
}

RECURRENT: dict[str, Signature] = {  # and where they take `num_layers`: third
    "torch.nn.LSTM": Signature(5, ("dropout",)),
    "torch.nn.GRU": Signature(5, ("dropout",)),
    "torch.nn.RNN": Signature(6, ("dropout",)),
}

# Functions and classes that say by their name that they draw on purpose.
DELIBERATE = re.compile(
    r"monte|carlo|bayes|sampl|stochastic|uncertain|augment|noise|always|(^|_)mc(_|$|[A-Z])|^MC[A-Z_d]"
)


_EVERYTHING = FUNCTIONS | ATTENTION | MODULES | RECURRENT


def rates(file: SourceFile) -> Iterator[tuple[str, ast.expr]]:
    """Every p that the file gives a function or a layer that drops: its qualified name, and the expression."""
    for call, name in file.calls:
        signature = _EVERYTHING.get(name)
        p = argument(call, signature.p, signature.p_names) if signature is not None else None
        if p is not None:
            yield name, p


def argument(call: ast.Call, place: int | None, names: tuple[str, ...]) -> ast.expr | None:
    """The expression that a call gives for an argument, or None where it gives none."""
    for keyword in call.keywords:
        if keyword.arg in names:
            return keyword.value
    if place is None or any(isinstance(given, ast.Starred) for given in call.args[: place + 1]):
        return None
    return call.args[place] if place < len(call.args) else None


def is_open(call: ast.Call) -> bool:
    """Whether the call has `*args` or `**kwargs`, which may hold anything."""
    return any(isinstance(given, ast.Starred) for given in call.args) or any(
        keyword.arg is None for keyword in call.keywords
    )


def number(node: ast.expr | None) -> float | None:
    """The number that stands there, or None.

    >>> number(ast.parse("0.5", mode="eval").body), number(ast.parse("p", mode="eval").body)
    (0.5, None)
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    return None


def literal(node: ast.expr | None, value: object) -> bool:
    """Whether exactly this constant stands there."""
    return isinstance(node, ast.Constant) and node.value is value
