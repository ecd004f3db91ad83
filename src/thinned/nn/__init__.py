"""Where does the noise act? The layers; each file has one kind of place, with its functions and modules."""

from . import functional
from .activation import Dropout, GaussianDropout
from .add import DropoutAdd
from .channel import Dropout1d, Dropout2d, Dropout3d, SpatialDropout1d, SpatialDropout2d, SpatialDropout3d
from .recurrent import LockedDropout, VariationalDropout
from .residual import DropPath, StochasticDepth, linear_decay
from .rnn import GRU, LSTM, RNN
from .selu import AlphaDropout, FeatureAlphaDropout
from .weight import DropConnect, DropConnectLinear, drop_connect, remove_drop_connect

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AlphaDropout",
    "DropConnect",
    "DropConnectLinear",
    "DropPath",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "DropoutAdd",
    "FeatureAlphaDropout",
    "GaussianDropout",
    "LockedDropout",
    "SpatialDropout1d",
    "SpatialDropout2d",
    "SpatialDropout3d",
    "StochasticDepth",
    "VariationalDropout",
    "drop_connect",
    "functional",
    "linear_decay",
    "remove_drop_connect",
]
