"""Finds the calls in which noise is applied to a tensor: a dropout of torch, or a multiplication by a mask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..known.functions import DRAWS
from ..known.operations import LIKE_ANOTHER, SCALED_DROPOUTS, SCALES, SHAPE_ONLY
from ..watch.replay import Ref, Replay, Step


@dataclass(frozen=True, slots=True)
class Meeting:
    """A call that applies noise to a tensor.

    Example, with `mask = torch.rand_like(x) > p` and `y = x * mask`: `step` is the multiplication, `base` is `x`, and
    `source` is the call of `rand_like`. For `y = F.dropout(x)`, `step` and `source` are the same call.
    """

    step: int  # the call that applies the noise
    base: Ref  # the tensor that it is applied to
    source: int  # the call that drew the noise


def statuses(replay: Replay) -> list[str]:
    """The kind of each step's result.

    "data" depends on an input or a parameter, "noise" on a draw and on no data, "constant" on neither.
    """
    status: list[str] = []
    for step in replay.steps:
        if step.function is None:
            status.append("data")
        elif step.draws and step.name in DRAWS and (step.writes or step.name != "bernoulli" or _told(step)):
            status.append("noise")
        elif step.name in SHAPE_ONLY:
            status.append("constant")
        else:
            refs = step.refs[:1] if step.name in LIKE_ANOTHER else step.refs
            kinds = {status[ref.step] for ref in refs}
            if step.draws and "data" not in kinds:
                kinds.add("noise")
            status.append(next((kind for kind in ("data", "noise") if kind in kinds), "constant"))
    return status


def _told(step: Step) -> bool:
    """Whether `bernoulli` gets its probability as a number: then its tensor argument gives the shape only."""
    return not step.refs or isinstance(step.kwargs.get("p", step.args[1] if len(step.args) > 1 else None), float)


def meetings(replay: Replay, status: list[str]) -> Iterator[Meeting]:
    """The calls that apply noise to one tensor of floating point, in order."""
    for index, step in enumerate(replay.steps):
        if status[index] != "data" or step.function is None:
            continue
        data = list(dict.fromkeys(ref for ref in step.refs if status[ref.step] == "data"))
        noise = [ref for ref in step.refs if status[ref.step] == "noise"]
        if len(data) != 1 or not replay.steps[data[0].step].dtype.is_floating_point:
            continue
        if step.draws and step.name in SCALED_DROPOUTS:
            yield Meeting(index, data[0], index)
        elif noise and step.name in SCALES:
            made = replay.between((), noise[0].step)  # with `rand_like(x)`, also the steps that make x
            draws = [at for at in made if replay.steps[at].draws and status[at] == "noise"]
            if draws:
                yield Meeting(index, data[0], draws[0])
