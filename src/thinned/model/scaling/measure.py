"""Whether the mean of dropped activations is the same in training and at inference: measured, whoever wrote the mask.

The right pairs of factors are (1, 1), inverted scaling, and (q, q), classic scaling, where q is the kept share. The two
factors are measured apart. The model is recorded once in training and once at inference (`replay`); where noise meets a
tensor x in training, the calls from x to the next call that both runs make are run again with ones for x, many times in
training and once at inference. What else the model does, and its other noise, plays no part.
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
    """The scaling of each place where noise thins a tensor and both replays come together again after it.

    Draws noise from torch's global generator. Places with the same code and the same numbers are measured once.
    Cost: 24 to 512 times the few calls of each distinct place.
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
            continue  # a part that does not run on its own, on ones
        if scaling is not None:
            yield scaling


def _matches(training: Replay, inference: Replay) -> dict[int, int]:
    """Which step at inference is which step in training: the same call in the same module and line, in order."""
    ours, theirs = ([step.key for step in replay.steps] for replay in (training, inference))
    blocks = SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks()
    return {a + offset: b + offset for a, b, size in blocks for offset in range(size)}
