"""What a study tries: rates, learning rates, weight decays, and on which seeds."""

from __future__ import annotations

from dataclasses import dataclass

PS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
IMAGE_PS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
WIDER_PS = (0.6, 0.7)  # tried as well where 0.5 does best
WEIGHT_DECAYS = (0.125, 0.5, 2.0)
IMAGE_WEIGHT_DECAYS = (0.5, 2.0)
SEPARATE_PS = (0.0, 0.1, 0.3, 0.5)  # networks that are trained one by one cost more still
SEPARATE_WEIGHT_DECAYS = (0.5,)
SEPARATE_LRS = slice(-4, -1)
IMAGE_LRS = slice(-4, -1)  # of those that a range test proposes: networks of images cost much, and need no more
P_INPUT = 0.2  # Srivastava et al. 2014
WIDENINGS = 2  # a grid grows so often towards either end, at most


@dataclass(frozen=True)
class Grid:
    """What is tried.

    Arguments:
        ps: drop probabilities, 0 among them.
        lrs: learning rates; one alone is taken as given, neither searched nor widened.
        lr_limit: no learning rate above this is tried: training diverges there.
        search_seeds: on so many of an outer split's seeds every learning rate is trained; the rest get the chosen one.
        together: so many seeds are trained as one unit.
        widen_ps: whether 0.6 and 0.7 are tried where the largest of `ps` does best.
    """

    ps: tuple[float, ...]
    lrs: tuple[float, ...]
    lr_limit: float = float("inf")
    weight_decays: tuple[float, ...] = WEIGHT_DECAYS
    p_input: float = P_INPUT
    search_seeds: int = 5
    together: int = 5
    widen_ps: bool = True

    def outlook(self, seeds: int) -> int:
        """How many runs an outer split of so many seeds will have, as far as can be told: growing grids add some."""
        searching = min(self.search_seeds, seeds)
        levels = len(self.ps) + 2 * len(self.weight_decays) + bool(self.p_input)
        return levels * len(self.lrs) * searching + (len(self.ps) + 3) * (seeds - searching)


def below(values: tuple[float, ...]) -> float:
    """The next value under a grid's least, by the ratio at that end.

    >>> below((0.001, 0.003, 0.01))
    0.00033
    """
    return float(f"{values[0] * values[0] / values[1]:.2g}")


def above(values: tuple[float, ...]) -> float:
    """The next value over a grid's largest.

    >>> above((0.125, 0.5, 2.0))
    8.0
    """
    return float(f"{values[-1] * values[-1] / values[-2]:.2g}")
