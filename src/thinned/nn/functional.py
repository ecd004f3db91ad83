"""Every variant as a function, in one place: `import thinned.nn.functional as F`."""

from .activation import dropout, gaussian_dropout
from .channel import dropout1d, dropout2d, dropout3d
from .residual import drop_path, linear_decay, stochastic_depth
from .selu import alpha_dropout, feature_alpha_dropout
