"""Which modules' forwards are under way, found by the stack frames of torch's `Module._call_impl`.

When a forward ends by KeyboardInterrupt, torch does not run its forward hooks. A function mode that a forward pre-hook
has entered is then still active. `left_over` finds this at the next call of a module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from types import FrameType

import torch

from ..._torch import module_call

Module = torch.nn.Module

# A frame is recognised by name and file, not by its code object: torch.compile runs frames with a rewritten copy of it.
NAME, FILE = module_call.__code__.co_name, module_call.__code__.co_filename


def callers(frame: FrameType | None) -> Iterator[FrameType]:
    """The frame and the frames that called it, innermost first."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def running(frame: FrameType | None) -> Iterator[Module]:
    """The modules whose forward is under way, innermost first."""
    for inner in callers(frame):
        if inner.f_code.co_name == NAME and inner.f_code.co_filename == FILE:
            yield inner.f_locals["self"]


def left_over(entered: Sequence[Module], frame: FrameType | None) -> bool:
    """Whether the last of these modules, whose forwards have been entered, is no longer running.

    The caller is the pre-hook of the innermost running module, which `entered` does not list yet. So that module is not
    counted.
    """
    counted = Counter(map(id, list(running(frame))[1:]))
    return counted[id(entered[-1])] < sum(module is entered[-1] for module in entered)
