"""The layers of Keras and of Flax by their names in source code, ours in their place, and functions that act as one."""

from __future__ import annotations

import ast
import re

from .source_file import SourceFile

_KERAS = r"(?:tensorflow\.(?:python\.)?|tf_)?keras\."
_OF_KERAS = re.compile(
    rf"^(?:{_KERAS}(?:api\.|src\.|_tf_keras\.)*layers\.(?:\w+\.)*|thinned\.interop\.keras\.)(?P<name>\w+)$"
)
_OF_FLAX = re.compile(r"^(?:flax|thinned\.interop\.jax)\.(?:linen|nnx)\.(?:\w+\.)*(?P<name>[A-Z]\w*)$")
SEQUENTIAL = re.compile(rf"^(?:{_KERAS}|flax\.(?:linen|nnx)\.)(?:\w+\.)*Sequential$")
MODEL = re.compile(rf"^{_KERAS}(?:\w+\.)*(?:Model|Functional)$")
MODULE = re.compile(rf"^(?:{_KERAS}(?:\w+\.)*(?:Model|Layer)|flax\.(?:linen|nnx)\.(?:\w+\.)*Module)$")
_OF_ARRAYS = re.compile(
    rf"^(?:jax\.nn|jax\.numpy|flax\.linen|flax\.nnx|tensorflow|tensorflow\.nn|{_KERAS}(?:ops|activations))\.(\w+)$"
)

ELEMENTWISE = {"Dropout", "AlphaDropout", "GaussianDropout"}
DROPOUTS = {*ELEMENTWISE, "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "LockedDropout"}
SHAPES = {"Flatten", "Reshape", "Permute", "RepeatVector"}
PROBABILITIES = {"Softmax", "Sigmoid"}
LINKS = {*SHAPES, *PROBABILITIES, "Activation"}
RECTIFIERS = {"ReLU", "LeakyReLU", "ELU", "PReLU"}
POOLS = {"MaxPooling1D", "MaxPooling2D", "MaxPooling3D"}
NORMS = {"BatchNormalization", "BatchNorm"}  # Keras's and Flax's
LINEAR = {"Dense", "Conv1D", "Conv2D", "Conv3D", "EinsumDense"}
LINEAR |= {"Linear", "Conv", "DenseGeneral", "LinearGeneral", "Einsum"}  # Flax's

# The layer that does what a function does.
_AS_LAYERS = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    **dict.fromkeys(("softmax", "log_softmax"), "Softmax"),
    **dict.fromkeys(("sigmoid", "log_sigmoid"), "Sigmoid"),
    **dict.fromkeys(("gelu", "silu", "swish", "tanh", "selu", "celu", "softplus", "relu6", "hard_tanh"), "Activation"),
    **dict.fromkeys(("reshape", "ravel", "squeeze", "expand_dims"), "Reshape"),
    "max_pool": "MaxPooling2D",
}
_METHODS = {"reshape", "ravel", "squeeze", "flatten"}  # of arrays


def layer_name(file: SourceFile, call: ast.expr | None) -> str | None:
    """The name of the layer of Keras or Flax that a call builds, ours in its place too: "Dropout"."""
    if not isinstance(call, ast.Call):
        return None
    name = file.resolve(call.func) or ""
    found = _OF_KERAS.match(name) or _OF_FLAX.match(name)
    return found["name"] if found else None


def is_flax(file: SourceFile, call: ast.Call) -> bool:
    """Whether the layer that a call builds is one of Flax."""
    return _OF_FLAX.match(file.resolve(call.func) or "") is not None


def acts_as(file: SourceFile, call: ast.Call) -> tuple[str, ast.expr] | None:
    """The layer that does what a function does, and its input: `("ReLU", x)` for `nn.relu(x)`."""
    found = _OF_ARRAYS.match(file.resolve(call.func) or "")
    if found:
        name = _AS_LAYERS.get(found[1])
        return (name, call.args[0]) if name and call.args else None
    if isinstance(call.func, ast.Attribute) and call.func.attr in _METHODS:
        return "Reshape", call.func.value
    return None


def is_linen(file: SourceFile, call: ast.Call) -> bool:
    """Whether a call builds a layer of Flax linen, ours in its place too."""
    name = file.resolve(call.func) or ""
    return ".linen." in name and _OF_FLAX.match(name) is not None
