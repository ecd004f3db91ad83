"""The functions and modules that make noise, by qualified name, and the arguments that source code gives them."""

from __future__ import annotations

import ast
import re

from ...known.functions import FUNCTIONS as KNOWN
from ...known.functions import Argument, Noisy

_F = "torch.nn.functional."
_ACTIVATIONS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
_OPERATORS = ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "native_dropout")


def _asked(name: str) -> Noisy:
    """The entry for a function of the namespace `torch`, whose argument `training` has no default."""
    entry = KNOWN[name]
    return entry if entry.training is None else entry._replace(training=entry.training._replace(default=None))


def _built(*names: str, place: int = 0) -> Noisy:
    """The entry for a class whose constructor takes p and whose instances follow the mode."""
    return Noisy(Argument(place, names, 0.5), None)


FUNCTIONS: dict[str, Noisy] = {
    **{f"{_F}{name}": KNOWN[name] for name in (*_ACTIVATIONS, "multi_head_attention_forward")},
    **{f"torch.{name}{end}": _asked(name) for name in _OPERATORS for end in ("", "_")},
    "torchvision.ops.stochastic_depth": KNOWN["stochastic_depth"],
    **{
        f"torch_geometric.utils.{name}": Noisy(Argument(1, ("p",), p), Argument(place, ("training",), True))
        for name, p, place in (("dropout_node", 0.5, 3), ("dropout_edge", 0.5, 3), ("dropout_path", 0.2, 6))
    },
    "torch_geometric.utils.dropout_adj": Noisy(Argument(2, ("p",), 0.5), Argument(5, ("training",), True)),
}

# The functions of flash-attn, without "flash_attn_" and "func": the position of `dropout_p`. "unpadded" is version 1's.
_FLASH = {"": 3, "qkvpacked_": 1, "kvpacked_": 2, "varlen_": 7, "varlen_qkvpacked_": 3, "varlen_kvpacked_": 6}
_FLASH |= {"unpadded_": 7, "unpadded_qkvpacked_": 3, "unpadded_kvpacked_": 6}
ATTENTION: dict[str, Noisy] = {
    f"{_F}scaled_dot_product_attention": KNOWN["scaled_dot_product_attention"],
    **{
        f"flash_attn.flash_attn_{name}func": Noisy(Argument(place, ("dropout_p",), 0.0), None)
        for name, place in _FLASH.items()
    },
    "xformers.ops.memory_efficient_attention": Noisy(Argument(4, ("p",), 0.0), None),
}

_TORCHS = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")
# The layers of thinned.nn whose first argument is p. They are listed here, because the table of variants needs torch; a
# test compares the two.
_OURS = (
    *_TORCHS,
    *("SpatialDropout1d", "SpatialDropout2d", "SpatialDropout3d", "GaussianDropout", "DropoutAdd"),
    *("StochasticDepth", "DropPath", "LockedDropout", "VariationalDropout"),
)
MODULES: dict[str, Noisy] = {
    **{f"torch.nn.{name}": _built("p") for name in _TORCHS},
    **{f"thinned.nn.{name}": _built("p") for name in _OURS},
    **{f"timm.layers.{name}": _built("drop_prob") for name in ("DropPath", "DropBlock2d")},
    **{f"torchvision.ops.{name}": _built("p") for name in ("StochasticDepth", "DropBlock2d", "DropBlock3d")},
}

RECURRENT: dict[str, Noisy] = {  # `num_layers` is the third argument
    "torch.nn.LSTM": _built("dropout", place=5),
    "torch.nn.GRU": _built("dropout", place=5),
    "torch.nn.RNN": _built("dropout", place=6),
}

# Names of functions and classes that draw noise on purpose.
DELIBERATE = re.compile(
    r"monte|carlo|bayes|sampl|stochastic|uncertain|augment|noise|always|permanent|test_?time|(^|_)mc(_|$|[A-Z])"
    r"|^MC[A-Z_d]|Monte|Carlo|Bayes|Uncertain|Stochastic|Always|Permanent|TestTime"
)


EVERYTHING = FUNCTIONS | ATTENTION | MODULES | RECURRENT
# Each name of it has one of these in its last part.
WORDS = ("rop", "attention", "flash_attn", "epth", "LSTM", "GRU", "RNN")


def given(call: ast.Call, argument_of: Argument) -> ast.expr | None:
    """The expression that a call gives for an argument of the table; None if it gives none."""
    return argument(call, argument_of.place, argument_of.names)


def argument(call: ast.Call, place: int | None, names: tuple[str, ...]) -> ast.expr | None:
    """The expression that a call gives for an argument, by position or by one of its names; None if it gives none."""
    for keyword in call.keywords:
        if keyword.arg in names:
            return keyword.value
    if place is None or place >= len(call.args):
        return None
    for given in call.args[: place + 1]:
        if type(given) is ast.Starred:
            return None
    return call.args[place]


def is_open(call: ast.Call) -> bool:
    """Whether the call has `*args` or `**kwargs`, whose contents are not known."""
    for given in call.args:
        if type(given) is ast.Starred:
            return True
    return bool(call.keywords) and any(keyword.arg is None for keyword in call.keywords)


def number(node: ast.expr | None) -> float | None:
    """The value of an expression that is a number; None for any other expression.

    >>> number(ast.parse("0.5", mode="eval").body), number(ast.parse("p", mode="eval").body)
    (0.5, None)
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    return None


def literal(node: ast.expr | None, value: object) -> bool:
    """Whether an expression is exactly this constant."""
    return isinstance(node, ast.Constant) and node.value is value
