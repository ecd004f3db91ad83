"""The table of all variants of dropout: `thinned variants` prints it, and the tests run over its rows.

A new variant is a new row. The tests compare its moments with the closed form of its `law`, so a variant with a known
law needs no test of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .activation import Dropout, GaussianDropout
from .add import DropoutAdd
from .channel import Dropout1d, Dropout2d, Dropout3d
from .recurrent import LockedDropout
from .residual import StochasticDepth
from .rnn import GRU, LSTM, RNN
from .selu import AlphaDropout, FeatureAlphaDropout
from .weight import DropConnect, DropConnectLinear


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant of dropout: where the noise acts, which axes share a draw, its law and its scaling."""

    name: str
    aliases: tuple[str, ...]
    where: str  # what the noise acts on: "activation", "weight", "residual branch" or "recurrent state"
    shared: str  # the axes of `layout` along which one draw is shared
    layout: str  # the input's axes: B batch, T time, C channels, L D H W space, O I a weight's outputs, inputs
    law: str  # "bernoulli", "bernoulli to SELU saturation", "gaussian", or "as its parts"
    scaling: str  # the scalings that it offers
    paper: str
    module: Callable[..., torch.nn.Module]

    @property
    def keyed(self) -> bool:
        """Whether the module applies one noise to its input, as `module(input, key=...)`; the others do so inside."""
        return self.law != "as its parts"


_BOTH = "inverted, classic"
_SRIVASTAVA = "Srivastava et al. 2014"
_TOMPSON = "Tompson et al. 2015"
_KLAMBAUER = "Klambauer et al. 2017"
_GAL = "Gal and Ghahramani 2016"
_WAN = "Wan et al. 2013"
_BERNOULLI, _SELU, _GAUSSIAN, _PARTS = "bernoulli", "bernoulli to SELU saturation", "gaussian", "as its parts"


def _row(
    module: Any, where: str, layout: str, shared: str, law: str, scaling: str, paper: str, *aliases: str
) -> Variant:
    return Variant(module.__name__, aliases, where, shared, layout, law, scaling, paper, module)


VARIANTS: tuple[Variant, ...] = (
    _row(Dropout, "activation", "B C", "none", _BERNOULLI, _BOTH, _SRIVASTAVA),
    _row(DropoutAdd, "activation", "B C", "none", _PARTS, _BOTH, _SRIVASTAVA),
    _row(Dropout1d, "activation", "B C L", "L", _BERNOULLI, _BOTH, _TOMPSON, "SpatialDropout1d"),
    _row(Dropout2d, "activation", "B C H W", "H W", _BERNOULLI, _BOTH, _TOMPSON, "SpatialDropout2d"),
    _row(Dropout3d, "activation", "B C D H W", "D H W", _BERNOULLI, _BOTH, _TOMPSON, "SpatialDropout3d"),
    _row(AlphaDropout, "activation", "B C", "none", _SELU, "keeps mean and variance", _KLAMBAUER),
    _row(FeatureAlphaDropout, "activation", "B C L", "L", _SELU, "keeps mean and variance", _KLAMBAUER),
    _row(GaussianDropout, "activation", "B C", "none", _GAUSSIAN, "mean 1", _SRIVASTAVA),
    _row(LockedDropout, "activation", "T B C", "T", _BERNOULLI, _BOTH, _GAL, "VariationalDropout"),
    _row(StochasticDepth, "residual branch", "B C", "C", _BERNOULLI, _BOTH, "Huang et al. 2016", "DropPath"),
    _row(DropConnect, "weight", "O I", "none", _BERNOULLI, _BOTH, _WAN),
    _row(DropConnectLinear, "weight", "B C", "a batch", _PARTS, _BOTH, _WAN),
    _row(LSTM, "recurrent state", "T B C", "T", _PARTS, "inverted", _GAL),
    _row(GRU, "recurrent state", "T B C", "T", _PARTS, "inverted", _GAL),
    _row(RNN, "recurrent state", "T B C", "T", _PARTS, "inverted", _GAL),
)
