"""What functions of torch do to a tensor: one table, read by all who ask about the calls of a forward pass.

Names are canonical (`functions.canonical`). A function may be of several kinds. `KINDS` has all kinds by name.
"""

from __future__ import annotations

from .functions import FUNCTIONS

_AXES = (1, 2, 3)

# Between two layers, on each number alone but for glu, prelu and rrelu.
ACTIVATIONS = frozenset(
    {
        *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "celu", "selu", "gelu", "silu", "mish", "glu"),
        *("hardtanh", "hardswish", "hardsigmoid", "softplus", "softsign", "tanh", "sigmoid", "logsigmoid"),
        *("tanhshrink", "hardshrink", "softshrink", "threshold", "clamp", "clamp_min", "clamp_max", "clip"),
    }
)
# Activations that give each unit a value from that unit's alone, with nothing learned and nothing drawn.
UNITWISE = ACTIVATIONS - {"glu", "prelu", "rrelu"}
# Those of them that leave 0 at 0, whatever their arguments.
ZERO_AT_ZERO = frozenset(
    {
        *(
            "relu",
            "relu6",
            "leaky_relu",
            "elu",
            "celu",
            "selu",
            "gelu",
            "silu",
            "mish",
            "hardswish",
            "softsign",
            "tanh",
        ),
        *("tanhshrink", "hardshrink", "softshrink"),
    }
)
# What gives factors between 0 and 1.
GATES = frozenset({"sigmoid", "hardsigmoid", "softmax"})
NORMS = frozenset({"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm"})

# Layers: what multiplies by weights.
CONVOLUTIONS = frozenset(f"conv{transposed}{axes}d" for transposed in ("", "_transpose") for axes in _AXES)
LINEAR_MAPS = frozenset({"linear", "bilinear"})
RECURRENT = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})
CELLS = frozenset(f"{name}_cell" for name in RECURRENT)
ATTENTION = frozenset({"scaled_dot_product_attention", "multi_head_attention_forward"})
# Layers where one of the factors is a matrix that the model holds.
PRODUCTS = frozenset(
    {
        *("matmul", "mm", "bmm", "mv", "addmm", "addmv", "baddbmm", "addbmm"),
        *("einsum", "tensordot", "inner", "chain_matmul", "multi_dot"),
    }
)
# Layers that may drop inside of their other work.
INSIDE = ATTENTION | RECURRENT
LAYERS = CONVOLUTIONS | LINEAR_MAPS | RECURRENT | CELLS | ATTENTION

# On each channel of a map alone.
ADAPTIVE_POOLS = frozenset(f"adaptive_{kind}_pool{axes}d" for kind in ("max", "avg") for axes in _AXES)
POOLS = ADAPTIVE_POOLS | {f"{kind}_pool{axes}d" for kind in ("max", "avg", "lp") for axes in _AXES}
POOLS |= {"fractional_max_pool2d", "fractional_max_pool3d"}
# What makes one number a channel of a map, or may.
WHOLE_POOLS = ADAPTIVE_POOLS | {"mean", "amax", "avg_pool1d"}
# What gives a map another size.
RESIZES = frozenset(
    {"interpolate", "upsample", "pixel_shuffle", "grid_sample", *(f"conv_transpose{axes}d" for axes in _AXES)}
)

# Functions made to drop elements of their first argument.
DROPOUTS = frozenset(name for name in FUNCTIONS if "drop" in name) | {"stochastic_depth", "gaussian_dropout"}
# Dropout of a tensor, scaled by 1/q: in one call, whose first argument is the tensor.
SCALED_DROPOUTS = frozenset(FUNCTIONS) - {"alpha_dropout", "feature_alpha_dropout"} - INSIDE

# All of a tensor's numbers, in another arrangement or another precision.
SHAPES = frozenset(
    {
        *("view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "ravel", "rearrange", "permute"),
        *("transpose", "t", "T", "mT", "swapaxes", "swapdims", "movedim", "moveaxis", "squeeze", "unsqueeze"),
        *("expand", "expand_as", "to", "float", "half", "bfloat16", "double", "type", "type_as"),
        *("contiguous", "clone", "detach", "identity", "requires_grad"),
    }
)
# Some of a tensor's numbers.
PARTS = frozenset({"getitem", "select", "narrow", "chunk", "split", "unbind", "as_strided"})
VIEWS = SHAPES | PARTS
# One number at several places.
REPEATS = frozenset({"expand", "expand_as", "broadcast_to", "repeat", "tile", "repeat_interleave"})
# What takes its second tensor for a shape or a type.
LIKE_ANOTHER = frozenset({"expand_as", "view_as", "reshape_as", "type_as", "to"})
# What takes a tensor for its shape, device or dtype alone; what overwrites it, too.
SHAPE_ONLY = frozenset(
    {
        *("rand_like", "randn_like", "empty_like", "zeros_like", "ones_like", "full_like", "randint_like"),
        *("new_empty", "new_zeros", "new_ones", "new_full", "new_tensor", "uniform", "normal", "fill", "zero"),
    }
)

# Where a mask meets a tensor.
MULTIPLIES = frozenset({"mul", "multiply", "div", "divide", "true_divide"})
SCALES = MULTIPLIES | {"where", "masked_fill", "setitem", "einsum"}
MASKS_A_TENSOR = SCALES | {"masked_select", "addcmul"}
COMPARISONS = frozenset({"lt", "le", "gt", "ge", "less", "greater"})
ROUNDINGS = frozenset({"floor", "round", "ceil", "trunc"})
# What a mean passes through in proportion.
PROPORTIONAL = (
    SCALES | SHAPES | {"linear", "matmul", "mm", "bmm", "addmm", "conv1d", "conv2d", "conv3d", "_conv_forward"}
)

KINDS = {name: value for name, value in dict(globals()).items() if name.isupper() and isinstance(value, frozenset)}


def kinds(function: str) -> tuple[str, ...]:
    """The kinds that a function is of.

    >>> kinds("relu"), kinds("sigmoid")
    (('ACTIVATIONS', 'UNITWISE', 'ZERO_AT_ZERO'), ('ACTIVATIONS', 'UNITWISE', 'GATES'))
    """
    return tuple(name for name, functions in KINDS.items() if function in functions)
