"""Where noise meets a tensor: the call in which a mask, however it was made, is applied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..known.functions import DRAWS, FUNCTIONS, INSIDE
from ..watch.masks import LIKE_ANOTHER, MULTIPLIES
from ..watch.replay import Ref, Step, Tape

# What keeps a tensor's mean in proportion: the calls that may belong to a mask's application.
SCALES = {*MULTIPLIES, "where", "masked_fill", "setitem", "einsum"}
# What gives all of a tensor's numbers in another arrangement or another precision.
SHAPES = {
    *("view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "ravel", "rearrange", "permute", "transpose"),
    *("t", "T", "mT", "swapaxes", "swapdims", "movedim", "moveaxis", "squeeze", "unsqueeze", "expand", "expand_as"),
    *("to", "float", "half", "bfloat16", "double", "type", "type_as"),
    *("contiguous", "clone", "detach", "alias", "identity", "requires_grad"),
}
# What takes a tensor for its shape, device or dtype alone; those that overwrite it too.
_SHAPE_ONLY = {"rand_like", "randn_like", "empty_like", "zeros_like", "ones_like", "full_like", "randint_like"}
_SHAPE_ONLY |= {"new_empty", "new_zeros", "new_ones", "new_full", "new_tensor", "uniform", "normal", "fill", "zero"}
LINEAR = {"linear", "matmul", "mm", "bmm", "addmm", "conv1d", "conv2d", "conv3d", "_conv_forward", *SCALES, *SHAPES}
# Dropout in one call: the tensor is the first argument. Alpha dropout's mean is not in proportion, and is right.
CALLS = set(FUNCTIONS) - {"alpha_dropout", "feature_alpha_dropout"} - INSIDE


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where noise meets a tensor for the first time."""

    step: int  # the call in which they meet
    base: Ref  # the tensor
    source: int  # the call that drew


def statuses(tape: Tape) -> list[str]:
    """Of each step: "constant", "noise" (of noise and constants alone), or "data"."""
    status: list[str] = []
    for step in tape.steps:
        if step.function is None:
            status.append("data")
        elif step.draws and step.name in DRAWS and (step.writes or step.name != "bernoulli" or _told(step)):
            status.append("noise")
        elif step.name in _SHAPE_ONLY:
            status.append("constant")
        else:
            refs = step.refs[:1] if step.name in LIKE_ANOTHER else step.refs
            kinds = {status[ref.step] for ref in refs}
            if step.draws and "data" not in kinds:
                kinds.add("noise")
            status.append(next((kind for kind in ("data", "noise") if kind in kinds), "constant"))
    return status


def _told(step: Step) -> bool:
    """Whether `bernoulli` has a number for its probability, and takes its argument for the shape alone."""
    return not step.refs or isinstance(step.kwargs.get("p", step.args[1] if len(step.args) > 1 else None), float)


def meetings(tape: Tape, status: list[str]) -> Iterator[Meeting]:
    for index, step in enumerate(tape.steps):
        if status[index] != "data" or step.function is None:
            continue
        data = list(dict.fromkeys(ref for ref in step.refs if status[ref.step] == "data"))
        noise = [ref for ref in step.refs if status[ref.step] == "noise"]
        if len(data) != 1 or not tape.steps[data[0].step].dtype.is_floating_point:
            continue
        if step.draws and step.name in CALLS:
            yield Meeting(index, data[0], index)
        elif noise and step.name in SCALES:
            made = tape.between((), noise[0].step)  # with what `rand_like` has its shape from
            draws = [at for at in made if tape.steps[at].draws and status[at] == "noise"]
            if draws:
                yield Meeting(index, data[0], draws[0])
