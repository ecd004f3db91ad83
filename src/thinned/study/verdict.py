"""The answer: what each level reached, how levels differ on test rows, and what to say about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .interval import Interval, interval, rms_influence
from .record import Difference, Level, Task
from .trial import Outcome

Verdict = Literal["helps", "no difference", "hurts"]


@dataclass(frozen=True)
class Runs:
    """One level's trials, a seed each, with their calibration figures."""

    outcomes: tuple[Outcome, ...]
    calibration: tuple[float, ...]
    task: Task

    def rows(self, metric: Literal["error", "nll"]) -> NDArray[np.float64]:
        """Test rows' contributions, seeds x rows, whose mean is the metric."""
        if metric == "nll":
            return np.stack([outcome.test.row_nll for outcome in self.outcomes])
        errors = np.stack([outcome.test.row_error for outcome in self.outcomes])
        return rms_influence(errors) if self.task == "regression" else errors

    def level(self) -> Level:
        config = self.outcomes[0].config
        test = interval(self.rows("error"))

        def mean(part: str, metric: str) -> float:
            return float(np.mean([getattr(getattr(outcome, part), metric) for outcome in self.outcomes]))

        return Level(
            arm=config.arm,
            p=config.p,
            p_input=config.p_input,
            lr=config.lr,
            weight_decay=config.weight_decay,
            seeds=len(self.outcomes),
            test_error=test.value,
            test_error_low=max(test.low, 0.0),
            test_error_high=test.high,
            test_nll=mean("test", "nll"),
            test_calibration=float(np.mean(self.calibration)),
            train_error=mean("train", "error"),
            train_nll=mean("train", "nll"),
            val_error=mean("val", "error"),
            val_nll=mean("val", "nll"),
            val_loss=mean("val", "loss"),
        )

    def name(self) -> str:
        config = self.outcomes[0].config
        inputs = f", inputs {config.p_input:g}" if config.p_input else ""
        return "L2" if config.arm == "l2" else f"p = {config.p:g}{inputs}"


def difference(first: Runs, second: Runs, metric: Literal["error", "nll"]) -> Difference:
    """First minus second, paired by seed and test row."""
    found = interval(first.rows(metric) - second.rows(metric))
    return Difference(
        first=first.name(), second=second.name(), metric=metric, value=found.value, low=found.low, high=found.high
    )


def judge(found: Difference) -> Verdict:
    """Better or worse only where the interval excludes 0."""
    if found.high < 0:
        return "helps"
    return "hurts" if found.low > 0 else "no difference"


class Speech:
    """Figures as words: fractions as percent, other errors with their unit."""

    def __init__(self, task: Task, target: str) -> None:
        self.percent = task == "classification"
        self.target = target
        self.metric = "test error" if self.percent else f"test RMSE of {target}"

    def error(self, value: float) -> str:
        return f"{100 * value:.1f} %" if self.percent else f"{value:.4g}"

    def span(self, found: Difference) -> str:
        """A difference as a change, its size first."""
        change = Interval(found.value, found.low, found.high)
        if change.value < 0:
            change = change.minus()
        if self.percent:
            return f"{100 * change.value:.1f} points (95 % interval {100 * change.low:.1f} to {100 * change.high:.1f})"
        return f"{change.value:.3g} (95 % interval {change.low:.3g} to {change.high:.3g})"


def answer(
    speech: Speech,
    best_p: float,
    levels: Mapping[str, Level],
    differences: Mapping[str, Difference],
    searched: bool,
    seeds: int,
    rows_test: int,
    notes: tuple[str, ...],
) -> tuple[Verdict, list[str]]:
    """The verdict and its sentences, most important first.

    Arguments:
        levels: "plain" (p = 0), "noisy" (the chosen p, or the best above 0 where 0 was chosen), "l2", and where
            dropping inputs as well was tried, "inputs".
        searched: whether learning rates were compared, not one given.
        differences: "error", "nll" (noisy minus plain), "l2" and "l2 nll" (noisy minus L2), "inputs" (inputs minus
            noisy) and "inputs plain" (inputs minus plain).
    """
    plain, noisy, l2 = levels["plain"], levels["noisy"], levels["l2"]
    error, nll, against_l2 = differences["error"], differences["nll"], differences["l2"]
    verdict = judge(error)
    p = f"p = {noisy.p:g}"
    moved = f"the {speech.metric} from {speech.error(plain.test_error)} to {speech.error(noisy.test_error)}"
    share = f", a relative {100 * abs(error.value) / plain.test_error:.0f} %" if plain.test_error else ""
    words: list[str] = []
    if best_p == 0:
        words.append("Use no dropout here: of all rates, p = 0 predicted the validation rows best.")
        if verdict == "hurts":
            words.append(f"The best rate above 0, {p}, raises {moved}: by {speech.span(error)}.")
        elif verdict == "no difference":
            words.append(
                f"The best rate above 0, {p}, changes {moved}, which is within noise: {_signed(speech, error)}."
            )
        else:
            words.append(
                f"On the test rows, which took no part in that choice, the best rate above 0, {p}, lowers {moved}: by "
                f"{speech.span(error)}. Validation and test disagree; more rows or seeds would tell."
            )
    elif verdict == "helps":
        words.append(
            f"Dropout helps here: {p} after each hidden activation lowers {moved}: by {speech.span(error)}{share}."
        )
    elif verdict == "hurts":
        words.append(
            f"Dropout hurts here: {p}, the best rate on validation rows, raises {moved} on rows that took no part in "
            f"the choice: by {speech.span(error)}."
        )
    else:
        words.append(
            f"No clear difference here: {p}, the best rate on validation rows, changes {moved}, which is within noise: "
            f"{_signed(speech, error)}."
        )
    if "inputs" in levels:
        words.append(_inputs(speech, levels["inputs"], plain, differences))
    before, after = plain.test_error - plain.train_error, noisy.test_error - noisy.train_error
    trend = "shrinks" if after < before else "grows"
    words.append(
        f"The gap between train and test error {trend} from {_gap(speech, before)} to {_gap(speech, after)} "
        f"(train error {speech.error(plain.train_error)} and {speech.error(noisy.train_error)})."
    )
    change = {"helps": "lower", "hurts": "higher", "no difference": "not clearly different"}
    l2_nll = f"NLL is {noisy.test_nll:.3f} against {l2.test_nll:.3f}, {change[judge(differences['l2 nll'])]}"
    words.append(
        f"The probabilities: NLL goes from {plain.test_nll:.3f} to {noisy.test_nll:.3f} nats a row, "
        f"{change[judge(nll)]} (difference {nll.value:+.3f}, 95 % interval {nll.low:+.3f} to {nll.high:+.3f}); "
        + (
            f"the expected calibration error from {100 * plain.test_calibration:.1f} % to "
            f"{100 * noisy.test_calibration:.1f} %."
            if speech.percent
            else f"the coverage of the 95 % prediction interval is off by {100 * plain.test_calibration:.1f} and "
            f"{100 * noisy.test_calibration:.1f} points."
        )
    )
    if searched:
        relation = "the same as" if noisy.lr == plain.lr else "lower than" if noisy.lr < plain.lr else "higher than"
        words.append(
            f"Each rate got its own learning rate: {noisy.lr:g} at {p}, {relation} the {plain.lr:g} without dropout."
        )
    else:
        words.append(
            f"All were trained at the learning rate that was given, {plain.lr:g}, which need not suit each of them."
        )
    words.append(
        f"Against weight decay alone, tuned as well ({speech.error(l2.test_error)} at {l2.weight_decay:g}), {p} is "
        f"{change[judge(against_l2)]}: {_signed(speech, against_l2)}. {l2_nll}."
    )
    words.append(
        f"{'Learning rates, weight' if searched else 'Weight'} decay and p were chosen on validation rows; the "
        f"{rows_test:,} test rows took no part in any choice. Each level was trained {seeds} times, with other "
        "training rows, weights and masks."
    )
    return verdict, [*words, *notes]


def _inputs(speech: Speech, level: Level, plain: Level, differences: Mapping[str, Difference]) -> str:
    """What dropping inputs as well does."""
    found, whole = differences["inputs"], differences["inputs plain"]
    start = f"Dropping inputs as well (each with probability {level.p_input:g})"
    now = speech.error(level.test_error)
    if judge(found) == "helps":
        step = f"{start} lowers it further, to {now}: by {speech.span(found)}."
    elif judge(found) == "hurts":
        step = f"{start} raises it again, to {now}: by {speech.span(found)}."
    else:
        step = f"{start} gives {now}, not clearly different from that: {_signed(speech, found)}."
    clear = "" if judge(whole) != "no difference" else ", not clearly different"
    return (
        f"{step} Against no dropout at all the two together make {_signed(speech, whole)}{clear}, and NLL "
        f"{level.test_nll:.3f} in place of {plain.test_nll:.3f}."
    )


def _gap(speech: Speech, value: float) -> str:
    return f"{100 * value:.1f} points" if speech.percent else f"{value:.3g}"


def _signed(speech: Speech, found: Difference) -> str:
    if speech.percent:
        return f"{100 * found.value:+.1f} points (95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f})"
    return f"{found.value:+.3g} (95 % interval {found.low:+.3g} to {found.high:+.3g})"
