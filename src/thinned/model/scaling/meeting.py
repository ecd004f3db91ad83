"""Where noise meets a tensor: the call in which a mask, however it was made, is applied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..known.functions import DRAWS
from ..known.operations import LIKE_ANOTHER, SCALED_DROPOUTS, SCALES, SHAPE_ONLY
from ..watch.replay import Ref, Replay, Step


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where noise meets a tensor for the first time."""

    step: int  # the call in which they meet
    base: Ref  # the tensor
    source: int  # the call that drew


def statuses(replay: Replay) -> list[str]:
    """Of each step: "constant", "noise" (of noise and constants alone), or "data"."""
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
    """Whether `bernoulli` has a number for its probability, and takes its argument for the shape alone."""
    return not step.refs or isinstance(step.kwargs.get("p", step.args[1] if len(step.args) > 1 else None), float)


def meetings(replay: Replay, status: list[str]) -> Iterator[Meeting]:
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
            made = replay.between((), noise[0].step)  # with what `rand_like` has its shape from
            draws = [at for at in made if replay.steps[at].draws and status[at] == "noise"]
            if draws:
                yield Meeting(index, data[0], draws[0])
