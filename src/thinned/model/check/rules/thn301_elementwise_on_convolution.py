"""THN301: element-wise dropout on the map of a convolution, where neighbours have the same information."""

from __future__ import annotations

from collections.abc import Iterator

from ...known.operations import ACTIVATIONS, ADAPTIVE_POOLS, CONVOLUTIONS, DROPOUTS, NORMS, POOLS, VIEWS
from ...watch.graph import through
from ...watch.trace import INPUT
from ..finding import Finding
from ..lens.examination import Examination
from ..lens.noise import noises
from ..rule import Rule


def live(examination: Examination) -> Iterator[Finding]:
    for noise in noises(examination):
        trace = noise.trace
        shape = noise.call.shape
        spatial = shape[2:]
        if not (3 <= len(shape) <= 5 and noise.elementwise and noise.zeroing) or all(size == 1 for size in spatial):
            continue
        if "block" in noise.place.kind.lower():
            continue
        made = noise.graph.before(noise.data, through(ACTIVATIONS, NORMS, POOLS, DROPOUTS, {"cat", "add"}))
        convolutions = [trace.calls[at] for at in made if at != INPUT and trace.calls[at].function in CONVOLUTIONS]
        if not any(noise.graph.extent(call) > 1 and len(call.shape) == len(shape) for call in convolutions):
            continue  # linear or pointwise layers, which act on each token alone
        # Not through an adaptive pool: it makes one unit of many positions, whose noise averages out.
        _, read = noise.graph.after(noise.call, through(ACTIVATIONS, NORMS, POOLS - ADAPTIVE_POOLS))
        if all(call.function in VIEWS for call in read):
            continue  # the map is reshaped into features or tokens, which are single units
        yield RULE.at(
            noise.place,
            f"dropout for each element of a convolution's map {list(shape)}: its neighbours carry the same "
            f"information. Use Dropout{len(shape) - 2}d, which drops whole channels",
        )


RULE = Rule(
    code="THN301",
    name="elementwise-on-convolution",
    summary="Element-wise dropout on a convolution's map.",
    what="""\
Flags dropout with a draw for each element on a map (N, C, L), (N, C, H, W) or (N, C, D, H, W) that comes from a
convolution over more than one position, through normalisation, activation, pooling, concatenation or addition.

Left alone: maps of one position (after global pooling), maps that are flattened or turned into tokens right behind
the dropout, pointwise convolutions (the linear maps of token models), and DropBlock.""",
    why="""\
Neighbouring positions of a map are strongly correlated and share their weights: what one draw takes out, the next
convolution reads next to it. The gradient of a shared weight averages over all positions, and the noise averages out:
element-wise dropout there mostly lowers the effective learning rate.""",
    bad="""\
import torch
from torch import nn

model = nn.Sequential(
    nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(16, 8, 3), nn.ReLU()
)
example = (torch.randn(2, 3, 16, 16),)
""",
    good="""\
import torch
from torch import nn

model = nn.Sequential(
    nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout2d(0.2), nn.Conv2d(16, 8, 3), nn.ReLU()
)
example = (torch.randn(2, 3, 16, 16),)
""",
    instead="`Dropout1d`, `Dropout2d` or `Dropout3d` (whole channels), at a lower p; or DropBlock.",
    reference="Tompson, Goroshin, Jain, LeCun and Bregler 2015; Ghiasi, Lin and Le 2018 for DropBlock.",
    live=live,
)
