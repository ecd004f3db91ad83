"""What a study leaves on disk, as data: `study/` writes these records, `study/report/` reads them and nothing else.

A folder holds `study.json` (a `Study`), `runs.csv` (one `Run` a row), `curves.csv` (one `Point` a row), `range.csv`
(one `RangePoint` a row) and `activations.npz`. Shares are fractions in [0, 1] here; pages and words turn
them into percent.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Task = Literal["classification", "regression"]
Arm = Literal["dropout", "decay", "both", "input"]
Kind = Literal["better", "level", "unclear", "worse"]
Role = Literal["plain", "noisy", "decay", "other"]
NetworkKind = Literal["perceptron", "cnn", "lstm", "gru", "transformer"]
Advice = Literal["dropout", "decay", "both", "input", "plain", "nothing"]

SCHEMA = 3
WEIGHTS, CONFIG = "networks.safetensors", "config.toml"  # the networks to take away


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Run(_Record):
    """One training run. `error` is the misclassified fraction, or the root mean squared error in the target's units.

    Every figure but `train_loss` in the curves is measured with dropout off, of the state that is kept: the one at
    a cycle's end with the least validation loss. `nll` is in nats a row.
    """

    run: str  # arm, strength, learning rate and seed in one word
    arm: Arm  # "decay" has p = 0 and a weight decay, "both" a p and a decay, "input" a p and a p_input
    p: float
    p_input: float  # the probability that an input is dropped
    weight_decay: float
    lr: float
    seed: int
    outer: int  # which of the outer splits: 0 where there is one
    chosen_lr: bool  # whether this is the learning rate that validation chose for its level
    best_step: int  # the step whose state is kept
    steps: int  # trained in all
    ended: Literal["converged", "raced", "steps", "diverged"]
    train_error: float
    train_nll: float
    val_error: float
    val_nll: float
    val_loss: float  # the Brier score, or the mean squared error: what stops the training and what choices go by
    test_error: float
    test_nll: float
    temperature: float  # fitted on this run's validation rows; 1 for regression
    test_nll_tempered: float
    seconds: float


class Point(_Record):
    """A point of a run's learning curve."""

    run: str
    step: int
    train_loss: float  # as the optimiser saw it, noise on
    train_error: float  # noise off, like the rest
    train_nll: float
    val_error: float
    val_nll: float
    val_loss: float


class RangePoint(_Record):
    """A point of the learning-rate range test (Smith 2017)."""

    lr: float
    loss: float  # training loss, smoothed


class Estimate(_Record):
    """A mean over seeds and test rows with its 95 % interval."""

    value: float
    low: float
    high: float


class CalibrationEstimate(_Record):
    """The expected calibration error (15 bins), with an interval, and what a perfect predictor would show here."""

    value: float
    low: float
    high: float
    perfect: float


class LevelResult(_Record):
    """A level, each seed at the learning rate that validation chose, summed up over seeds and outer splits."""

    arm: Arm
    p: float  # with several outer splits, where validation chooses it anew in each: the most frequent
    p_input: float
    weight_decay: float
    lrs: list[float]  # one an outer split
    lr_at_edge: bool  # whether one of them lies at an end of the learning rates that were tried
    seeds: int
    error: Estimate  # test rows
    train_error: float
    gap: float  # test minus training error, dropout off for both
    metric: Estimate  # what decides, by `Study.metric`
    against_plain: Estimate | None = None  # the deciding metric minus that of p = 0, paired; None for p = 0 itself
    figures: dict[str, float]  # the other metrics on test rows, by name
    nll: float
    nll_tempered: float  # with one temperature a network, fitted on its validation rows
    temperature: float
    calibration: CalibrationEstimate | None  # None below 1,000 test rows, and for regression
    val_loss: float
    val_nll: float
    steps: float  # median over seeds of the step whose state is kept
    unfinished: float  # share of seeds whose validation loss was still falling when the steps ran out


class DivergedLevel(_Record):
    """A level of which a network diverged: its loss was no number, or it ended worse than untrained. No figures."""

    name: str
    lrs: list[float]
    networks: int  # that diverged
    seeds: int


class BaselineResult(_Record):
    """Another kind of model on the same rows."""

    name: Literal["constant", "linear", "tree"]
    title: str  # "gradient boosting", "logistic regression", "majority class"
    error: Estimate
    metric: Estimate
    figures: dict[str, float]
    nll: float


class Difference(_Record):
    """A paired difference, first minus second: below 0 the first is better."""

    first: str
    second: str
    metric: str
    value: float
    low: float
    high: float
    visible: float  # the smallest true difference that this study would see in 4 of 5 cases
    rows_needed: int | None = None  # test rows at which a true difference of this size would be seen, with these seeds
    seeds_needed: int | None = None  # seeds at which it would be, with these test rows; None where no number would do


class RateRange(_Record):
    """Neighbouring rates about which the study says the same: how they differ from p = 0, in the deciding metric."""

    ps: list[float]
    kind: Kind
    low: float  # bounds that hold for each of them
    high: float


class Network(_Record):
    """The network to take away: the seeds' networks together, on test rows that none of them learnt from."""

    arm: Arm
    p: float
    p_input: float
    weight_decay: float
    lrs: list[float]
    members: int
    temperature: float
    error: float | None  # None where outer splits leave no row that all members are new to
    nll: float | None
    chosen: Estimate  # the deciding metric when validation chooses the level anew in each outer split


class ColumnRecord(_Record):
    """How a column of the table was read."""

    name: str
    read_as: Literal["number", "level", "text", "words", "date", "left out"]
    why: str  # by what it was seen, what became of it, or why it was left out


class ChapterPoint(_Record):
    """A point of a chapter's figure. `x` is a number on the axis, or the place of a name; `value` may be infinite."""

    x: float
    value: float
    low: float  # the 95 % interval over seeds; `value` itself where there is none
    high: float


class ChapterSeries(_Record):
    """An arm's points in a chapter's figure."""

    name: str
    role: Role  # its colour
    points: list[ChapterPoint]


class ChapterMap(_Record):
    """A chapter's heat map: `values[row][column]`, and the column's ridge, its least value between the rows."""

    rows: list[float]
    columns: list[float]
    values: list[list[float | None]]  # None where nothing was run
    ridge: list[float]  # in the rows' units, one a column


class ChapterPictures(_Record):
    """An arm's units as pictures: the weights by which a unit reads the pixels, row by row, over its largest."""

    name: str
    width: int
    units: list[list[float]]  # in [-1, 1]


class ChapterFigure(_Record):
    """A chapter's figure as data."""

    kind: Literal["points", "lines", "map", "pictures"]
    title: str  # the finding
    caption: str
    x_title: str
    y_title: str
    names: list[str] = []  # of the places on the x axis; empty where x is a number
    percent: bool = False  # values are shares, shown in percent
    log_x: bool = False
    zero: bool = False  # 0 means no difference, and has a line
    series: list[ChapterSeries] = []
    map: ChapterMap | None = None
    pictures: list[ChapterPictures] = []


class ChapterRecord(_Record):
    """A chapter: a question, what was tried and measured, the answer, and its figure."""

    name: str
    question: str
    arms: list[str]
    measured: str
    seeds: int
    words: list[str]  # the answer, a sentence each
    figure: ChapterFigure | None = None  # None where nothing can be drawn
    more: list[ChapterFigure] = []  # further ones


class RunLogRecord(_Record):
    title: str  # the tool's name
    where: str  # the command that shows the runs, or their address
    link: str  # an address, or a path from the study's folder


class Study(_Record):
    schema_version: int = SCHEMA
    title: str  # "MNIST digits", or the file's name
    source: str  # where the data came from, in words
    task: Task
    metric: str  # what decides: a name of METRICS
    metric_title: str  # "test error", "test RMSE", "1 - AUC"
    unit: str  # "%" or "" or the target's name
    error_title: str  # "test error" or "test RMSE"
    target: str
    classes: list[str]  # empty for regression
    features: int
    columns: list[ColumnRecord]  # of the table, in its order, the target among them; none for images
    rows_train: int
    rows_val: int
    rows_test: int  # with outer splits: all of them
    outer: int
    next_word: bool = False  # rows are places of one running text, and classes the words that follow
    network_kind: NetworkKind = "perceptron"
    hidden: list[int]
    batch: int
    max_steps: int
    seed: int
    seeds: int
    ps: list[float]
    lrs: list[float]  # all that were tried
    weight_decays: list[float]
    diverges_at: float | None  # by the range test
    diverged: list[DivergedLevel] = []  # neither compared nor chosen
    levels: list[LevelResult]  # dropout by p, then the best decay, both, input
    baselines: list[BaselineResult]
    differences: list[Difference]
    ranges: list[RateRange]  # every p above 0, against p = 0
    best_p: float  # the rate above 0 that stands for dropout: the best by validation
    network: Network | None
    advice: Advice
    headline: str  # the recommendation
    words: list[str]  # the answer, a sentence each, most important first; the headline is not among them
    warnings: list[str]  # what a reader must know before the answer
    notes: list[str]  # how the data were read and split
    failures: list[str]  # runs that failed, with the reason
    seconds: float  # of training in all, over every call
    versions: dict[str, str]
    complete: bool
    stopped: str  # why not, where it isn't: "" | "interrupted" | "budget"
    device: str = "cpu"  # that trained, as torch names it
    log: RunLogRecord | None = None  # where a tracking tool has every run
    chapters: list[ChapterRecord] = []  # the questions beside "how much", in the order they were asked

    @property
    def plain(self) -> LevelResult | None:
        """The level without dropout and weight decay."""
        return next((level for level in self.levels if level.arm == "dropout" and level.p == 0), None)

    @property
    def noisy(self) -> LevelResult | None:
        """The level that stands for dropout: the rate above 0 that validation found best."""
        return next((level for level in self.levels if level.arm == "dropout" and level.p == self.best_p > 0), None)

    @property
    def chosen(self) -> LevelResult | None:
        """The level of the network to take away."""
        net = self.network
        if net is None:
            return None
        same = (level for level in self.levels if level.arm == net.arm and (net.arm != "dropout" or level.p == net.p))
        return next(same, None)
