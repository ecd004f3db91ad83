"""Which modules' forwards are under way, by the frames of torch's own `Module.__call__`.

Hooks after a forward don't run when it ends by KeyboardInterrupt. What a hook before it has entered is then left over,
and is found out here at the next call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from types import FrameType

import torch

from ..._torch import module_call

Module = torch.nn.Module

# Not the code itself: torch.compile runs a frame with other code of the same name and file.
_NAME, _FILE = module_call.__code__.co_name, module_call.__code__.co_filename


def callers(frame: FrameType | None) -> Iterator[FrameType]:
    """The frame, and those that called it."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def running(frame: FrameType | None) -> Iterator[Module]:
    """The modules whose forward is under way, innermost first."""
    for inner in callers(frame):
        if inner.f_code.co_name == _NAME and inner.f_code.co_filename == _FILE:
            yield inner.f_locals["self"]


def left_over(entered: Sequence[Module], frame: FrameType | None) -> bool:
    """Whether the last of these modules, whose forwards have been entered, is not running any more.

    The innermost module that runs is just being entered, and does not count.
    """
    counted = Counter(map(id, list(running(frame))[1:]))
    return counted[id(entered[-1])] < sum(module is entered[-1] for module in entered)
