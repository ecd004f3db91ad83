"""Every private name of torch that this package uses, under a name of ours, with who needs it and what for.

Private names may change with any version of torch. They stand in this file and in no other (`tests/house/test_torch.py`
sees to it), except for the attributes of torch's objects: those are read where they are needed, and are listed at the
end, in `ATTRIBUTES`.

What the installed torch lacks does no harm at import: a `Lacking` stands in its place, whose first use raises an error
with the name, who needs it and torch's version. `thinned doctor` lists all that is lacking.

Names are looked up once, at import. A call of a layer pays nothing for this file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from types import CodeType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar, cast

import torch
from torch import Tensor

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Private(NamedTuple):
    """A private name, or an attribute of some of torch's objects."""

    name: str  # as torch has it; of an attribute, with the object's kind: "a tensor: _version"
    owner: str  # who needs it: a part of the package, in the user's words
    purpose: str


NAMES: list[Private] = []  # one for each definition below


class LackingName(RuntimeError):  # noqa: N818  a name that says what happened
    """This torch lacks a private name that the package needs."""

    def __init__(self, private: Private) -> None:
        super().__init__(
            f"`{private.owner}`: torch must have {private.name} ({private.purpose}). Got torch {torch.__version__}, "
            "which lacks it. Use a newer thinned or an older torch; `thinned doctor` lists all that is lacking."
        )


class Lacking:
    """In the place of a name that this torch lacks: any use of it raises `LackingName`."""

    def __init__(self, private: Private) -> None:
        self._private = private

    def _raise(self, *_: Any, **__: Any) -> NoReturn:
        raise LackingName(self._private)

    __call__ = __getitem__ = __eq__ = __rand__ = __mro_entries__ = __instancecheck__ = _raise
    __hash__ = None  # type: ignore[assignment]

    def __getattr__(self, name: str) -> NoReturn:
        self._raise()


def find(name: str, owner: str, purpose: str) -> Any:
    """What torch has under a name, or a `Lacking`."""
    private = Private(name, owner, purpose)
    NAMES.append(private)
    return resolve_name(name) if _is_there(name) else Lacking(private)


def find_later(name: str, owner: str, purpose: str) -> Callable[[], Any]:
    """A function that does what `find` does: for a name whose modules take long to load."""
    private = Private(name, owner, purpose)
    NAMES.append(private)
    return cache(lambda: resolve_name(name) if _is_there(name) else Lacking(private))


def reads(name: str, owner: str, purpose: str) -> Callable[[_Function], _Function]:
    """Decorate a function that reads a name at each call, since torch assigns it anew."""
    found = find(name, owner, purpose)

    def decorate(function: _Function) -> _Function:
        return cast(_Function, found) if isinstance(found, Lacking) else function

    return decorate


def _is_there(name: str) -> bool:
    try:
        resolve_name(name)
    except (AttributeError, ImportError):
        return False
    return True


def lacking() -> Iterator[Private]:
    """What this torch lacks, of names and of attributes."""
    for private in NAMES:
        built = torch.distributed.is_available() or not private.name.startswith("torch.distributed.")
        if built and not _is_there(private.name):
            yield private
    for kind, found, rows in ATTRIBUTES:
        try:
            names = found()
        except (AttributeError, ImportError, OSError):
            names = ()
        for private in rows:
            if private.name not in names:
                yield private._replace(name=f"{kind}: {private.name}")


# Layers: which way a call takes. `ops.cpu` asks the first six at each call of a small layer.

dispatch_keys = find("torch._C._dispatch_keys", "layers", "which parts of torch have something to do with a tensor")
dispatch_modes: Callable[[], int] = find(
    "torch._C._len_torch_dispatch_stack", "layers", "whether a dispatch mode watches the call"
)
function_mode: Callable[[], bool] = find(
    "torch._C._is_torch_function_mode_enabled", "layers", "whether a function mode watches the call"
)
tracing_state = find("torch._C._get_tracing_state", "layers", "whether torch.jit.trace records the call")
innermost_transform = find(
    "torch._C._functorch.peek_interpreter_stack", "layers", "whether one of torch.func's transforms is at work"
)


# The names of a module of torch's, which assigns "_current_level" anew: a function that reads it would be felt.
forward_mode: dict[str, Any] = find("torch.autograd.forward_ad.__dict__", "layers", "where _current_level is")

# Layers: the operators' autograd kernels, in `ops.operator`.

BelowAutograd = find("torch._C._AutoDispatchBelowAutograd", "layers", "runs an operator below autograd")
after_autograd = find("torch._C._after_autograd_keyset", "layers", "the dispatch keys that come after autograd")
set_forward_grad = find(
    "torch.autograd.forward_ad._set_fwd_grad_enabled", "layers", "forward mode for the levels of torch.func below"
)
if TYPE_CHECKING:
    SingleLevelFunction = torch.autograd.function._SingleLevelFunction
else:
    SingleLevelFunction = find(
        "torch.autograd.function._SingleLevelFunction", "layers", "a derivative at the present level of torch.func"
    )
single_level_allowed = find(
    "torch._functorch.utils.enable_single_level_autograd_function", "layers", "lets a SingleLevelFunction be called"
)

# Layers: compiled graphs, and several processes.

functorch_config = find("torch._functorch.config", "layers", "activation_memory_budget: whether a graph draws again")


@reads("torch.compiler._is_exporting_flag", "layers", "whether torch.export traces")
def exporting() -> bool:
    """Whether torch.export traces. In a trace torch 2.8 says so of torch.compile too, so its flag is asked instead."""
    return torch.compiler._is_exporting_flag


# torch's modules for a DTensor take half a second to load, and torch can be built without them.
broadcast = find_later(
    "torch.distributed._functional_collectives.broadcast", "layers", "one key for all ranks, in compiled graphs too"
)
wait_tensor = find_later("torch.distributed._functional_collectives.wait_tensor", "layers", "the end of that broadcast")

# Layers: torch's own kernels and classes.

fused_kernels = find("torch._VF", "layers", "torch's fused lstm, gru, rnn_tanh and rnn_relu")
fused_adamw = find("torch._fused_adamw_", "study", "AdamW on slices: torch.optim takes 5 times as long for a few")
if TYPE_CHECKING:
    BatchNorm = torch.nn.modules.batchnorm._BatchNorm
    ConvNd = torch.nn.modules.conv._ConvNd
    ConvTransposeNd = torch.nn.modules.conv._ConvTransposeNd
    DropoutNd = torch.nn.modules.dropout._DropoutNd
else:
    BatchNorm = find(
        "torch.nn.modules.batchnorm._BatchNorm",
        "recalibrate_batchnorm, check, prune, study",
        "all batch normalisations",
    )
    ConvNd = find("torch.nn.modules.conv._ConvNd", "MaxNorm", "all convolutions")
    ConvTransposeNd = find("torch.nn.modules.conv._ConvTransposeNd", "MaxNorm", "all transposed convolutions")
    DropoutNd = find("torch.nn.modules.dropout._DropoutNd", "inspect, rates, stream", "all dropouts of torch")

# Streams: which calls are made again in the backward pass, in `nn.stream.segment`.

current_graph_task: Callable[[], int] = find(
    "torch._C._current_graph_task_id", "stream", "whether a backward pass runs, and which"
)
forward_grad_enabled: Callable[[], bool] = find(
    "torch._C._is_fwd_grad_enabled", "stream", "whether an autograd.Function's forward runs, where it is off"
)
top_saved_hooks = find("torch._C._autograd._top_saved_tensors_default_hooks", "stream", "the checkpoint around a call")
pop_saved_hooks = find("torch._C._autograd._pop_saved_tensors_default_hooks", "stream", "the checkpoints around that")
push_saved_hooks = find("torch._C._autograd._push_saved_tensors_default_hooks", "stream", "puts them back")
CheckpointFrame = find("torch.utils.checkpoint._CheckpointFrame", "stream", "what one checkpointed call is known by")
checkpoint_hook = find("torch.utils.checkpoint._checkpoint_hook", "stream", "a checkpoint's hooks, first run")
recomputation_hook = find("torch.utils.checkpoint._recomputation_hook", "stream", "a checkpoint's hooks, second run")

# Existing models: what runs, and under which modes.

if TYPE_CHECKING:
    from torch.utils import _python_dispatch, _pytree

    TorchDispatchMode = _python_dispatch.TorchDispatchMode
    tree_map_only = _pytree.tree_map_only
else:
    TorchDispatchMode = find(
        "torch.utils._python_dispatch.TorchDispatchMode", "inspect, check, eval_guard", "sees every random operator"
    )
    tree_map_only = find("torch.utils._pytree.tree_map_only", "plan", "copies the tensors of an example")
dispatch_mode_at: Callable[[int], Any] = find(
    "torch._C._get_dispatch_stack_at", "eval_guard", "which dispatch modes lie above its own"
)
pop_dispatch_mode = find("torch.utils._python_dispatch._pop_mode", "eval_guard", "takes off a mode above its own")
push_dispatch_mode = find("torch.utils._python_dispatch._push_mode", "eval_guard", "puts such a mode back")
function_modes: Callable[[], list[Any]] = find(
    "torch.overrides._get_current_function_mode_stack", "disabled, set_rates", "which modes lie above their own"
)
pop_function_mode = find("torch.overrides._pop_mode", "disabled, set_rates", "takes off a mode above their own")
push_function_mode = find("torch.overrides._push_mode", "disabled, set_rates", "puts such a mode back")
WithoutFunctionModes: Any = find(
    "torch._C.DisableTorchFunction", "freeze", "compares generator states unseen by function modes"
)
_set_strategy: Any = find(
    "torch._C._dynamo.eval_frame.set_code_exec_strategy", "eval_guard, set_rates", "code that makes no graph of its own"
)
_strategy: Any = find("torch._C._dynamo.eval_frame._FrameExecStrategy", "eval_guard, set_rates", "the same")
_action: Any = find("torch._C._dynamo.eval_frame._FrameAction", "eval_guard, set_rates", "the same")
outer_call = find("torch.nn.Module._wrapped_call_impl", "eval_guard, set_rates", "which module is called")
module_call = find("torch.nn.Module._call_impl", "eval_guard, set_rates", "the frames of modules that are running")
operators_module: str = find("torch._ops.__name__", "inspect, check", "tells operators from other functions of torch")
fused_encoder_layer = find(
    "torch.ops.aten._transformer_encoder_layer_fwd", "check", "the operator that leaves dropout out (THN105)"
)


def makes_no_graph(function: _Function, *, nor_below: bool = False) -> _Function:
    """Mark a function whose own frame torch.compile leaves alone. What it calls is compiled as ever, or not either."""
    _set_strategy(function.__code__, _strategy(_action.SKIP, _action.SKIP if nor_below else _action.DEFAULT))
    return function


def compiler_loaded() -> bool:
    """Whether anything can have been compiled in this process: torch loads its compiler when it is first asked for."""
    return "torch._dynamo" in sys.modules


# Existing models, and predict: tensors of torch.func's transforms.

is_wrapped: Callable[[Tensor], bool] = find(
    "torch._C._functorch.is_functorch_wrapped_tensor", "inspect, predict", "whether a transform wraps a tensor"
)
is_batched: Callable[[Tensor], bool] = find(
    "torch._C._functorch.is_batchedtensor", "layers, predict", "whether vmap has put tensors together"
)
batch_level: Callable[[Tensor], int] = find("torch._C._functorch.maybe_get_level", "predict", "which vmap that was")
batch_axis: Callable[[Tensor], int] = find("torch._C._functorch.maybe_get_bdim", "predict", "along which axis")
batch_tensor: Callable[[Tensor], Tensor] = find(
    "torch._C._functorch.get_unwrapped", "predict", "the tensor in which they lie"
)
add_batch_axis: Callable[[Tensor, int, int], Tensor] = find(
    "torch._C._functorch._add_batch_dim", "predict", "hands such a tensor back to vmap"
)


# predict: whether a look at a model may serve again.

any_global_hook: Callable[[], bool] = find(
    "torch.nn.modules.module._has_any_global_hook", "predict", "whether every module's call does more than its forward"
)


# Attributes of torch's objects, local variables of its functions, and names of its code.


def _code_names(code: CodeType) -> set[str]:
    """The names that a function's code has: variables, globals, and those of the functions in it, `inner.variable`."""
    names = {*code.co_varnames, *code.co_freevars, *code.co_names}
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            names |= {inner.co_name} | {f"{inner.co_name}.{name}" for name in _code_names(inner)}
    return names


def _words(*files: str) -> Collection[str]:
    """The words of some of torch's own files, which take seconds to import."""
    return {word for file in files for word in re.findall(r"\w+", (_FOLDER / file).read_text(encoding="utf-8"))}


_FOLDER = Path(torch.__file__).parent

# Kinds of objects; the names that one of them has; and those that we use.
ATTRIBUTES: tuple[tuple[str, Callable[[], Collection[str]], tuple[Private, ...]], ...] = (
    (
        "a module",
        lambda: dir(torch.nn.Module()),
        (
            Private("_parameters", "apply, convert, drop_connect, freeze", "its own parameters, without those below"),
            Private("_buffers", "inspect, convert", "its own buffers, to put them back"),
            Private("_modules", "stream, apply, convert, drop_connect", "its children by name"),
            Private("_forward_hooks", "apply, drop_connect", "whether a hook of ours is there, and to take it off"),
            Private("_forward_pre_hooks", "apply, drop_connect, set_rates", "the same, before the forward"),
            Private("_forward_hooks_always_called", "drop_connect", "takes a hook off entirely"),
            Private("_call_impl", "eval_guard, set_rates", "how it is called where nothing else is set"),
            Private("_compiled_call_impl", "apply, convert, eval_guard", "how `module.compile()` has it called"),
            Private("_is_full_backward_hook", "convert", "what `register_full_backward_hook` has noted"),
        ),
    ),
    (
        "a recurrent module",
        lambda: dir(torch.nn.LSTM(1, 1, device="cpu")),
        (
            Private("_all_weights", "layers", "the names of LSTM's weights, by layer and direction"),
            Private("_flat_weights", "drop_connect, convert", "the list from which it reads its weights"),
            Private("_flat_weights_names", "drop_connect, convert", "their names, in that order"),
            Private("_flat_weight_refs", "convert", "weak references to them"),
        ),
    ),
    (
        "a convolution",
        lambda: dir(torch.nn.Conv2d(1, 1, 1, device="cpu")),
        (Private("_conv_forward", "check", "a step that keeps a tensor's mean in proportion"),),
    ),
    (
        "torch.autograd.forward_ad",
        lambda: dir(torch.autograd.forward_ad),
        (Private("_current_level", "layers", "whether forward mode computes tangents, from level 0 on"),),
    ),
    (
        "a tensor",
        lambda: dir(Tensor),
        (
            Private("_version", "predict", "whether a forward pass has written to it"),
            Private("_is_view", "layers", "whether it may be thinned in place"),
        ),
    ),
    (
        "an operator",
        lambda: dir(torch.ops.aten.relu.default),
        (
            Private("_schema", "inspect, check, eval_guard", "its name and its arguments' names"),
            Private("_overloadname", "eval_guard", "which form of bernoulli draws"),
        ),
    ),
    (
        "a node of autograd",
        lambda: dir(torch.autograd.Function._backward_cls),
        (Private("_forward_cls", "stream", "the autograd.Function that made it"),),
    ),
    (
        "a dispatch mode",
        lambda: vars(TorchDispatchMode()),
        (
            Private("old_dispatch_mode_flags", "eval_guard, disabled", "whether a mode was active before, by thread"),
            Private("old_non_infra_dispatch_mode_flags", "eval_guard, disabled", "the same, for modes of users"),
        ),
    ),
    (
        "a module around a module",
        lambda: _words(
            "_dynamo/eval_frame.py",
            "distributed/fsdp/_common_utils.py",
            "distributed/algorithms/_checkpoint/checkpoint_wrapper.py",
        ),
        (
            Private("_orig_mod", "stream, apply, convert", "what torch.compile wraps, so that names stay"),
            Private("_fsdp_wrapped_module", "stream, convert", "what FSDP wraps"),
            Private("_checkpoint_wrapped_module", "stream, convert", "what torch's checkpoint_wrapper wraps"),
        ),
    ),
    (
        "a function that torch.compile leaves alone",
        lambda: _words("_dynamo/symbolic_convert.py"),
        (Private("_torchdynamo_disable", "disabled, eval_guard, freeze, set_rates", "by which a graph knows it"),),
    ),
    (
        "the code of Module._call_impl",
        lambda: _code_names(torch.nn.Module._call_impl.__code__),
        (Private("self", "eval_guard, set_rates", "the module that runs"),),
    ),
    (
        "the code of BackwardCFunction.apply",
        lambda: _code_names(torch.autograd.function.BackwardCFunction.apply.__code__),
        (Private("self", "stream", "the node whose backward pass runs"),),
    ),
    (
        "the code of checkpoint's hooks",
        lambda: _code_names(torch.utils.checkpoint._checkpoint_hook.__init__.__code__),
        (
            Private("pack_hook.frame", "stream", "the checkpoint, in its first run"),
            Private("unpack_hook.frame", "stream", "the checkpoint that is repeated"),
            Private("unpack_hook.gid", "stream", "by which backward pass"),
        ),
    ),
    (
        "the code of recomputation's hooks",
        lambda: _code_names(torch.utils.checkpoint._recomputation_hook.__init__.__code__),
        (Private("pack_hook", "stream", "known by its code"),),
    ),
    (
        "the code of torch.compile's function",
        lambda: _words("_functorch/_aot_autograd/runtime_wrappers.py"),
        (Private("CompiledFunction", "stream", "the autograd.Function that never calls layers again"),),
    ),
    (
        "the code of multi_head_attention_forward",
        lambda: _code_names(torch.nn.functional.multi_head_attention_forward.__code__),
        (
            Private("has_torch_function", "predict", "switched off in our copy of the function"),
            Private("dropout", "predict", "replaced there by keyed noise"),
            Private("scaled_dot_product_attention", "predict", "replaced there, with keyed noise"),
        ),
    ),
)
COUNT = len(NAMES) + sum(len(rows) for *_, rows in ATTRIBUTES)
