"""What tells one training from another, and which are trained together."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

from ...fit.training import GAIN
from ..networks.named import NetworkName
from ..networks.shape import InputShape
from ..record import Arm

WORD_GAIN = 0.005  # for a next word, in place of 0.02


@dataclass(frozen=True, order=True)
class Level:
    """A way to train, for which a learning rate is sought: an arm with its strength.

    `p` is the probability that a hidden unit is dropped, `p_input` that an input is. `weight_decay` is AdamW's,
    decoupled, of weights only.
    """

    arm: Arm
    p: float = 0.0
    weight_decay: float = 0.0
    p_input: float = 0.0

    @property
    def key(self) -> tuple[Arm, float]:
        """What the level is in every outer split: its arm, and for dropout its p. Other strengths are chosen anew."""
        return self.arm, self.p if self.arm == "dropout" else 0.0

    @property
    def name(self) -> str:
        inputs = f"-in{self.p_input:g}" if self.p_input else ""
        return f"{self.arm}-p{self.p:g}{inputs}-wd{self.weight_decay:g}"


@dataclass(frozen=True, order=True)
class Config:
    """One training run: a level at a learning rate, on one seed's rows, first weights, order and masks."""

    level: Level
    lr: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.level.name}-lr{self.lr:g}-seed{self.seed}"


@dataclass(frozen=True, order=True)
class Unit:
    """Runs of one level that are trained side by side, and kept or lost together: every learning rate on every seed.

    The race among learning rates is run within a unit, so a run's numbers are those of its unit.
    """

    level: Level
    lrs: tuple[float, ...]
    seeds: tuple[int, ...]

    @property
    def name(self) -> str:
        lrs = "+".join(f"{lr:g}" for lr in self.lrs)
        return f"{self.level.name}-lr{lrs}-seeds{'+'.join(map(str, self.seeds))}"

    def configs(self) -> list[Config]:
        """Its runs, learning rates first."""
        return [Config(self.level, lr, seed) for lr, seed in product(self.lrs, self.seeds)]


@dataclass(frozen=True)
class Recipe:
    """What all runs of a study share."""

    key: int  # the study's seed
    hidden: tuple[int, ...]  # units of each layer; of a cnn, maps
    batch: int
    max_steps: int
    network: NetworkName = "perceptron"
    shape: InputShape = field(default_factory=InputShape)  # what a row is, for all but a perceptron
    device: str = "cpu"  # that trains

    @property
    def gain(self) -> float:
        """The share of the validation loss that a cycle must bring, or training ends.

        A next word is never sure: its Brier score falls from 0.97 of a guess to about 0.85 of a good answer, and 2 % of
        that are much of what there is to learn.
        """
        return WORD_GAIN if self.shape.following else GAIN
