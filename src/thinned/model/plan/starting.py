"""The starting p for each kind of place, with the reason for dropout there and the publication that it comes from.

A starting p is not the best p. docs/design/theory.md has measurements in which the best p was 0. docs/guides/study.md
shows how to choose it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

SRIVASTAVA = "Srivastava et al. 2014"
TOMPSON = "Tompson et al. 2015"
GAL = "Gal and Ghahramani 2016"
HUANG = "Huang et al. 2016"
KLAMBAUER = "Klambauer et al. 2017"
VASWANI = "Vaswani et al. 2017"
TAN = "Tan and Le 2019"
DEVLIN = "Devlin et al. 2019"

SPATIAL = ("Dropout1d", "Dropout2d", "Dropout3d")
LEARNING_RATE = (
    "Dropout asks for more updates and for the learning rate to be searched anew. The texts advise a higher one with "
    "high momentum; where we measured, the best was the same or lower (docs/design/theory.md). Start with yours, and "
    "train longer. Where data are plenty the best p may be 0: compare on validation data."
)
WIDE, MIDDLING = 512, 128  # units
CONVOLUTION = (0.1, 0.2)  # p of the first map and of the last map
DEEP = 12  # residual branches; with as many or more, p of the last branch is 0.2 instead of 0.1


@dataclass(frozen=True, slots=True)
class Start:
    """The dropout for one kind of place, before it is edited: the layer, its p, and why."""

    variant: str
    p: float
    reason: str
    source: str
    enabled: bool = True
    batch_first: bool = False


def hidden(width: int, behind: str) -> Start:
    """Units of a fully-connected hidden layer: the fewer units there are, the smaller p is."""
    p = 0.5 if width >= WIDE else 0.3 if width >= MIDDLING else 0.2
    size = "Wide hidden layer" if width >= WIDE else "Hidden layer" if width >= MIDDLING else "Small hidden layer"
    source = SRIVASTAVA if width >= WIDE else f"{SRIVASTAVA}; docs/design/theory.md: small layers and tables want less"
    return Start("Dropout", p, f"{size} of {width} units: {behind}, before the next layer.", source)


def spatial(axes: int, channels: int, behind: str) -> Start:
    """Whole channels of a convolution map. `Draft.lines` sets p by depth later, when all maps are known."""
    reason = f"Map of {channels} channels: {behind}; whole channels, since neighbours in a map say the same."
    return Start(f"Dropout{axes}d", CONVOLUTION[0], reason, TOMPSON)


def selu(map: bool, behind: str) -> Start:  # noqa: A002
    """After SELU: zeros would change the mean and the variance that SELU preserves, so it is alpha dropout."""
    if map:
        reason = f"SELU's map: {behind}; dropped channels take its saturation value, and mean and variance stay."
        return Start("FeatureAlphaDropout", 0.05, reason, KLAMBAUER)
    reason = f"SELU's units: {behind}; dropped ones take its saturation value, so that mean and variance stay."
    return Start("AlphaDropout", 0.1, reason, KLAMBAUER)


def locked(batch_first: bool, where: str) -> Start:
    """A sequence before or after a recurrent layer."""
    reason = f"Sequence {where}: one mask for all its steps, since fresh ones would average out."
    return Start("LockedDropout", 0.3, reason, GAL, batch_first=batch_first)


LAST_STATE = Start("Dropout", 0.3, "A recurrent layer's last state, on its way to the next layer.", GAL)
RECURRENT_INNER = Start(
    "LockedDropout",
    0.3,
    "Between the layers inside; off, because torch draws a fresh mask at each step: thinned.nn's layers lock it.",
    GAL,
    enabled=False,
)
HEAD = Start("Dropout", 0.2, "Pooled features, on their way to the classifier.", TAN)
LAST = Start("Dropout", 0.2, "The end of the residual stream, which the last layer reads.", TAN)
TRANSFORMER_HEAD = Start("Dropout", 0.1, "Features that the last layer of a transformer reads.", DEVLIN)
ATTENTION = Start("Dropout", 0.1, "Attention weights: no token may rely on a single other one.", VASWANI)
RESIDUAL = Start("Dropout", 0.1, "A transformer's branch, before it is added to what goes by.", VASWANI)
EMBEDDING = Start("Dropout", 0.1, "The sum of embeddings with which a transformer begins.", VASWANI)


def feed_forward(behind: str) -> Start:
    """Units in the feed-forward part of a transformer's block, or units that go to its last layer."""
    return Start("Dropout", 0.1, f"Feed-forward units of a transformer: {behind}, before the next layer.", VASWANI)


def everywhere(width: int, behind: str) -> Start:
    """Units of a layer that is applied to every token, or to every position of a map."""
    reason = f"{width} units of a layer that serves every place of its input: {behind}, before the next layer."
    return Start("Dropout", 0.1, reason, VASWANI)


def depth(p: float, block: int, blocks: int) -> Start:
    """A whole residual branch: stochastic depth."""
    reason = f"Residual branch {block} of {blocks}, left out whole before it is added; p rises linearly with depth."
    return Start("StochasticDepth", round(p, 4), reason, HUANG)


def within_branch(start: Start) -> Start:
    """The same start switched off, because the residual branch around the place is dropped whole already."""
    reason = start.reason.rstrip(".") + "; off, because its whole branch is dropped already."
    return replace(start, enabled=False, reason=reason)


def beside(start: Start) -> Start:
    """The same start switched off, because the residual branch already has dropout inside."""
    return replace(start, enabled=False, reason=start.reason.rstrip(".") + "; off, because dropout is in it already.")


def last_depth(branches: int) -> float:
    """p of stochastic depth in the last residual branch."""
    return 0.2 if branches >= DEEP else 0.1


def rising(count: int) -> Iterator[float]:
    """The p of convolution maps, from the first to the last.

    >>> list(rising(3))
    [0.1, 0.15, 0.2]
    """
    low, high = CONVOLUTION
    for number in range(count):
        yield round(low + (high - low) * number / max(count - 1, 1), 3)
