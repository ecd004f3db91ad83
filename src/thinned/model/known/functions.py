"""Which functions make noise: those that drop (with how they take p and the training flag), and those that draw.

A function is known by its canonical name (`canonical`): "dropout" for `torch.dropout` and for `F.dropout`. `modules.py`
says which modules drop.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Argument(NamedTuple):
    """How a function takes one of its arguments: at which position, by which names, with which default.

    `Argument(1, ("p",), 0.5)` finds 0.1 in `F.dropout(x, 0.1)` and in `F.dropout(x, p=0.1)`, and 0.5 in `F.dropout(x)`.
    """

    place: int  # the position among the positional arguments; a negative one counts from the end
    names: tuple[str, ...]
    default: Any

    def read(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The argument's value in a call.

        >>> Argument(1, ("p",), 0.5).read([None], {"p": 0.1})
        0.1
        """
        for name in self.names:
            if name in kwargs:
                return kwargs[name]
        return args[self.place] if self._stands(args) else self.default

    def write(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], value: Any
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The call's `args` and `kwargs` with `value` for this argument; added by name where the call omits it."""
        for name in self.names:
            if name in kwargs:
                return tuple(args), {**kwargs, name: value}
        if not self._stands(args):
            return tuple(args), {**kwargs, self.names[0]: value}
        changed = list(args)
        changed[self.place] = value
        return tuple(changed), dict(kwargs)

    def _stands(self, args: Sequence[Any]) -> bool:
        return self.place < len(args) if self.place >= 0 else -self.place <= len(args)


class Noisy(NamedTuple):
    """A function that drops: how it takes p, and how it takes its training flag."""

    p: Argument
    training: Argument | None  # None: the function has no such flag and always drops

    def rate(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[float, bool]:
        """The call's p (0 where None is passed), and its training flag (True where the function has none)."""
        training = True if self.training is None else bool(self.training.read(args, kwargs))
        p = self.p.read(args, kwargs)
        return float(p) if p is not None else 0.0, training


_P = Argument(1, ("p",), 0.5)
_FUNCTION = Noisy(_P, Argument(2, ("training", "train"), True))  # F.dropout's default flag; torch.dropout has none
_OFF = Noisy(_P, Argument(2, ("training", "train"), False))  # the alpha dropouts' flag is False by default
# For padded input. A call with packed input has the batch sizes as a second argument, so the later ones move by one.
_RECURRENT = Noisy(Argument(5, ("dropout",), 0.0), Argument(6, ("train",), False))

FUNCTIONS: dict[str, Noisy] = {
    "dropout": _FUNCTION,
    "dropout1d": _FUNCTION,
    "dropout2d": _FUNCTION,
    "dropout3d": _FUNCTION,
    "feature_dropout": _FUNCTION,
    "native_dropout": _FUNCTION,
    "alpha_dropout": _OFF,
    "feature_alpha_dropout": _OFF,
    "scaled_dot_product_attention": Noisy(Argument(4, ("dropout_p",), 0.0), None),
    "multi_head_attention_forward": Noisy(Argument(10, ("dropout_p",), 0.0), Argument(13, ("training",), True)),
    "stochastic_depth": Noisy(_P, Argument(3, ("training",), True)),
    "lstm": _RECURRENT,
    "gru": _RECURRENT,
    "rnn_tanh": _RECURRENT,
    "rnn_relu": _RECURRENT,
}

# Our operators, and the function name that a trace gives to each. Their p is inside a tensor argument, so `FUNCTIONS`
# has no row for them.
OPERATORS = {"drop": "dropout", "gaussian": "gaussian_dropout"}

# Functions that draw. UNIFORM: users compare the numbers with p to make a mask. MASKS: the result is a mask. OTHER: all
# others, whose results are noise, but no mask.
UNIFORM = {"rand", "rand_like", "uniform", "random", "randint", "randint_like"}
MASKS = {"bernoulli"}
OTHER = {
    "randn",
    "randn_like",
    "normal",
    "randperm",
    "multinomial",
    "exponential",
    "log_normal",
    "geometric",
    "cauchy",
    "poisson",
    "rrelu",
    "gumbel_softmax",
}
DRAWS = UNIFORM | MASKS | OTHER

# The namespaces of operators in which torch's modes see all that draws.
TORCHS = frozenset({"aten", "prims", "prim", "thinned", "quantized", "c10d", "_c10d_functional", "higher_order"})


def told_to_drop(named: Mapping[str, Any]) -> bool:
    """Whether the arguments of another library's operator say that it drops, such as flash attention's `dropout_p`.

    >>> told_to_drop({"dropout_p": 0.1}), told_to_drop({"dropout_p": 0.1, "training": False})
    (True, False)
    """
    rates = [value for name, value in named.items() if "drop" in name and isinstance(value, float)]
    return any(rates) and named.get("training", named.get("train", True)) is not False


def canonical(function: Any) -> str:
    """A torch function's plain name: "add" for `Tensor.add_`, `Tensor.__radd__` and `torch.add`.

    An operator of another library has its namespace in front, as `flash_attn.fwd`: its `dropout` is not torch's.

    >>> import torch
    >>> canonical(torch.Tensor.__iadd__), canonical(torch.nn.functional.relu), canonical(torch.Tensor.T.__get__)
    ('add', 'relu', 'T')
    """
    whole = getattr(function, "_qualified_op_name", None) or getattr(getattr(function, "_schema", None), "name", "")
    if isinstance(whole, str) and "::" in whole and whole.partition("::")[0] not in TORCHS:
        return whole.replace("::", ".")
    name: str = getattr(function, "__name__", type(function).__name__)
    name = name.partition(".")[0] or name  # "dropout.default", an operator of an exported program
    if name == "__get__":  # a property of a tensor: x.T
        return str(getattr(function.__self__, "__name__", name))
    if name.startswith("__") and name.endswith("__"):
        name = name[2:-2]
        name = _DUNDERS.get(name, name)
    name = ALIASES.get(name, name)
    return name.rstrip("_") if not name.startswith("_") else name


_DUNDERS = {
    **{f"{side}{name}": name for side in "ri" for name in ("add", "sub", "mul", "matmul", "pow", "and", "or", "xor")},
    **dict.fromkeys(("truediv", "rtruediv", "itruediv", "div", "rdiv", "idiv"), "div"),
    "invert": "logical_not",
}
# From the name that a function has inside torch to the name that users write.
ALIASES = {"log_sigmoid": "logsigmoid", "_threshold": "threshold", "linalg_multi_dot": "multi_dot"}
WRITES = re.compile(r"^(?!__).*[a-z0-9]_$|^__i(add|sub|mul|truediv|div|pow|and|or|xor)__$|^__setitem__$|^copy_$")


def recurrent(args: Sequence[Any]) -> Noisy:
    """How this call of `lstm`, `gru` or `rnn_*` takes p: one position later if its input is packed."""
    packed = len(args) > 3 and isinstance(args[3], (list, tuple))
    return Noisy(Argument(6, ("dropout",), 0.0), Argument(7, ("train",), False)) if packed else _RECURRENT


def noisy(name: str, args: Sequence[Any]) -> Noisy | None:
    """The entry of `FUNCTIONS` that fits a call, or None for a function that does not drop."""
    entry = FUNCTIONS.get(name)
    return recurrent(args) if entry is _RECURRENT else entry
