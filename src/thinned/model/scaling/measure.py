"""Measures whether dropout changes the mean of its input equally in training and at inference, in any model's code.

The right pairs of factors (training, inference) are (1, 1) for inverted scaling and (q, q) for classic scaling, where q
is the keep probability. Each factor is measured on its own. The model is recorded once in training mode and once in
eval mode (`watch/replay.py`). Where noise meets a tensor x in training, the calls from x to the next call that both
recordings have are run again with ones in place of x: many times in training, once at inference. The rest of the model,
with its other noise, does not run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Any

import torch

from ..watch.replay import Replay
from .comparison import Comparison
from .factors import Scaling
from .meeting import meetings, statuses


def measure(training: Replay, inference: Replay) -> Iterator[Scaling]:
    """The scaling of each place where noise meets a tensor, and after which both replays have a call in common.

    The noise is drawn from that of the run under way. Places with the same code and the same numbers are measured once.

    Cost: the calls of each distinct place are run 24 to 512 times.
    """
    match = _matches(training, inference)
    status = statuses(training)
    seen: set[Any] = set()
    for meeting in meetings(training, status):
        found = Comparison(training, inference, status, match, meeting)
        sketch = found.sketch()
        if sketch is None or sketch in seen:
            continue
        seen.add(sketch)
        try:
            with torch.no_grad():
                scaling = found.measure()
        except (RuntimeError, TypeError, ValueError, IndexError):
            continue  # these calls cannot run alone on a tensor of ones
        if scaling is not None:
            yield scaling


def _matches(training: Replay, inference: Replay) -> dict[int, int]:
    """Maps steps in training to the same steps at inference: equal call, module and line, in the same order."""
    ours, theirs = ([step.key for step in replay.steps] for replay in (training, inference))
    blocks = SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks()
    return {a + offset: b + offset for a, b, size in blocks for offset in range(size)}
