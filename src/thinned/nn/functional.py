"""All variants as functions: `import thinned.nn.functional as F`."""

from .activation import dropout, gaussian_dropout
from .add import dropout_add
from .channel import dropout1d, dropout2d, dropout3d
from .recurrent import locked_dropout
from .residual import drop_path, linear_decay, stochastic_depth
from .selu import alpha_dropout, feature_alpha_dropout
from .weight import drop_connect, remove_drop_connect

__all__ = [
    "alpha_dropout",
    "drop_connect",
    "drop_path",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "dropout_add",
    "feature_alpha_dropout",
    "gaussian_dropout",
    "linear_decay",
    "locked_dropout",
    "remove_drop_connect",
    "stochastic_depth",
]
