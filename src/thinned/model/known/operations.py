"""What each function of torch does to a tensor: the one table, used by plans, rules, prediction and pruning.

Each set below is a kind of function. A set holds canonical names (`functions.canonical`), and a function may be of
several kinds. `KINDS` maps the name of a kind to its set.
"""

from __future__ import annotations

from .functions import FUNCTIONS

_AXES = (1, 2, 3)

# Activation functions. All but glu, prelu and rrelu map each number by itself, without parameters or randomness.
ACTIVATIONS = frozenset(
    {
        *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "celu", "selu", "gelu", "silu", "mish", "glu"),
        *("hardtanh", "hardswish", "hardsigmoid", "softplus", "softsign", "tanh", "sigmoid", "logsigmoid"),
        *("tanhshrink", "hardshrink", "softshrink", "threshold", "clamp", "clamp_min", "clamp_max", "clip"),
    }
)
# Activations whose output for a unit depends on this unit alone, without parameters or randomness.
UNITWISE = ACTIVATIONS - {"glu", "prelu", "rrelu"} - {"clamp", "clamp_min", "clamp_max", "clip"}
# Functions of UNITWISE that map 0 to 0, whatever their other arguments.
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
# Functions whose results are factors between 0 and 1.
GATES = frozenset({"sigmoid", "hardsigmoid", "softmax"})
NORMS = frozenset({"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm"})

# Layers: functions that multiply by weights.
CONVOLUTIONS = frozenset(f"conv{transposed}{axes}d" for transposed in ("", "_transpose") for axes in _AXES)
LINEAR_MAPS = frozenset({"linear", "bilinear"})
RECURRENT = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})
CELLS = frozenset(f"{name}_cell" for name in RECURRENT)
ATTENTION = frozenset({"scaled_dot_product_attention", "multi_head_attention_forward"})
# Products of tensors. A call of one is a layer where a factor is a matrix that the model holds (`Graph.is_layer`).
PRODUCTS = frozenset(
    {
        *("matmul", "mm", "bmm", "mv", "addmm", "addmv", "baddbmm", "addbmm"),
        *("einsum", "tensordot", "inner", "chain_matmul", "multi_dot"),
    }
)
# Layers that take a p themselves: of attention weights, or of the outputs between stacked recurrent layers.
INSIDE = ATTENTION | RECURRENT
LAYERS = CONVOLUTIONS | LINEAR_MAPS | RECURRENT | CELLS | ATTENTION

# Pooling, which acts on each channel of a feature map by itself.
ADAPTIVE_POOLS = frozenset(f"adaptive_{kind}_pool{axes}d" for kind in ("max", "avg") for axes in _AXES)
POOLS = ADAPTIVE_POOLS | {f"{kind}_pool{axes}d" for kind in ("max", "avg", "lp") for axes in _AXES}
POOLS |= {"fractional_max_pool2d", "fractional_max_pool3d"}
# Functions that can reduce a feature map to one number for each channel.
WHOLE_POOLS = ADAPTIVE_POOLS | {"mean", "amax", "avg_pool1d"}
# Functions that change the size of a feature map.
RESIZES = frozenset({"interpolate", "pixel_shuffle", "grid_sample", *(f"conv_transpose{axes}d" for axes in _AXES)})

# Functions whose purpose is dropout of their first argument.
DROPOUTS = frozenset(name for name in FUNCTIONS if "drop" in name) | {"stochastic_depth", "gaussian_dropout"}
# Functions that drop in their first argument and scale the survivors by 1 / (1 - p), in one call.
SCALED_DROPOUTS = frozenset(FUNCTIONS) - {"alpha_dropout", "feature_alpha_dropout"} - INSIDE

# Functions that return all numbers of a tensor in another shape, order or precision.
SHAPES = frozenset(
    {
        *("view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "ravel", "permute"),
        *("transpose", "t", "T", "mT", "swapaxes", "swapdims", "movedim", "moveaxis", "squeeze", "unsqueeze"),
        *("expand", "expand_as", "to", "float", "half", "bfloat16", "double", "type", "type_as"),
        *("contiguous", "clone", "detach", "requires_grad"),
    }
)
# Functions that return parts of a tensor.
PARTS = frozenset({"getitem", "select", "narrow", "chunk", "split", "unbind", "as_strided"})
VIEWS = SHAPES | PARTS
# Functions that repeat or broadcast a tensor's numbers.
REPEATS = frozenset({"expand", "expand_as", "broadcast_to", "repeat", "tile", "repeat_interleave"})
# Functions that use their second tensor for its shape, dtype or device only.
LIKE_ANOTHER = frozenset({"expand_as", "view_as", "reshape_as", "type_as", "to"})
# Functions that ignore the numbers of a tensor: they use its shape, device or dtype only, or overwrite it.
SHAPE_ONLY = frozenset(
    {
        *("rand_like", "randn_like", "empty_like", "zeros_like", "ones_like", "full_like", "randint_like"),
        *("new_empty", "new_zeros", "new_ones", "new_full", "new_tensor", "uniform", "normal", "fill", "zero"),
    }
)

# Functions that can apply a mask to a tensor: MULTIPLIES by a factor, SCALES also by selection.
MULTIPLIES = frozenset({"mul", "multiply", "div", "divide", "true_divide"})
SCALES = MULTIPLIES | {"where", "masked_fill", "setitem", "einsum"}
MASKS_A_TENSOR = SCALES | {"masked_select", "addcmul"}
COMPARISONS = frozenset({"lt", "le", "gt", "ge", "less", "greater"})
# Functions that pick parts of a tensor by a mask, or by the positions that it marks.
SELECTS = frozenset({"getitem", "masked_select", "index_select", "index", "take"})
POSITIONS = frozenset({"nonzero", "argwhere", "where"})
ROUNDINGS = frozenset({"floor", "round", "ceil", "trunc"})
# Functions that are linear in a tensor, apart from a bias: they pass on a wrong scale of it unchanged.
PROPORTIONAL = (
    SCALES | SHAPES | {"linear", "matmul", "mm", "bmm", "addmm", "conv1d", "conv2d", "conv3d", "_conv_forward"}
)

KINDS = {name: value for name, value in dict(globals()).items() if name.isupper() and isinstance(value, frozenset)}


def kinds(function: str) -> tuple[str, ...]:
    """The names of all kinds that a function is of.

    >>> kinds("relu"), kinds("sigmoid")
    (('ACTIVATIONS', 'UNITWISE', 'ZERO_AT_ZERO'), ('ACTIVATIONS', 'UNITWISE', 'GATES'))
    """
    return tuple(name for name, functions in KINDS.items() if function in functions)
