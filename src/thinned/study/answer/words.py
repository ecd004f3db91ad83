"""The answer in sentences, each made from the figures that stand beside it in the record.

`say` takes a study's record without words and gives it with them. It sees nothing else, so that a sentence can't say
what the tables don't.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..record import Advice, Difference, LevelResult, RateRange, Study
from .speech import Speech, capital, listed, name, needed

BASELINES = ("tree", "linear")


def say(study: Study) -> Study:
    """The study with its advice, headline and words.

    The advice follows the network that validation chose, the headline adds what test rows say about it.
    """
    speech = Speech.of(study)
    advice = advise(study)
    words = [
        *_baselines(study, speech),
        *_ranges(study, speech),
        *_power(study, speech),
        *_others(study, speech),
        *_gap(study, speech),
        *_steps(study, speech),
        *_probabilities(study),
        *_learning_rates(study),
        *_network(study, speech),
        *_fairness(study),
    ]
    return study.model_copy(update={"advice": advice, "headline": headline(study, advice, speech), "words": words})


def difference(study: Study, first: str, second: str, metric: str | None = None) -> Difference | None:
    """A difference of the record by its names, in the deciding metric unless another is named."""
    wanted = (first, second, metric or study.metric)
    return next((item for item in study.differences if (item.first, item.second, item.metric) == wanted), None)


def advise(study: Study) -> Advice:
    """What to do: the arm of the chosen network, or nothing where it can't even beat a constant answer."""
    level = study.chosen
    constant = next((item for item in study.baselines if item.name == "constant"), None)
    if level is None:
        return "plain"
    if constant is not None:
        found = difference(study, name(level), constant.title)
        if found is not None and found.high >= 0:
            return "nothing"
    return "plain" if level.arm == "dropout" and level.p == 0 else level.arm


def headline(study: Study, advice: Advice, speech: Speech) -> str:
    """The recommendation, for someone who reads one sentence."""
    level, base = study.chosen, study.plain
    if level is None or base is None:
        return "No answer yet: no network has been chosen."
    found = None if level is base else difference(study, name(level), name(base))
    if advice == "nothing":
        return (
            f"Use none of these networks: no {speech.title} below that of a constant answer can be shown, with or "
            "without dropout."
        )
    if advice == "plain":
        return f"Use no dropout here{_tie(study, speech)}."
    what = {
        "dropout": f"Use dropout at p = {level.p:g}",
        "decay": f"Use weight decay ({level.weight_decay:g}), not dropout",
        "both": f"Use dropout at p = {level.p:g} together with weight decay ({level.weight_decay:g})",
        "input": f"Use dropout at p = {level.p:g}, and drop inputs at {level.p_input:g}",
    }[advice]
    if found is None:
        return f"{what}."
    moved = f"the {speech.title} from {speech.value(base.metric.value)} to {speech.value(level.metric.value)}"
    if found.high < 0:
        return f"{what}: it lowers {moved}, by {speech.size(found.value)}."
    better = _better_probabilities(study, level, base)
    if found.low > 0:
        return (
            f"{what}, if anything: it was best on the validation rows, but on the test rows it raises {moved}. More "
            "rows would tell."
        )
    if better:
        return f"{what}: no clear difference in {speech.title}, better probabilities."
    return f"{what}, if anything: best on the validation rows, no clear difference on the test rows."


def _tie(study: Study, speech: Speech) -> str:
    """Why no dropout: nothing above 0 was better by more than chance would give."""
    base, other = study.plain, study.noisy
    found = None if other is None or base is None else difference(study, name(other), name(base))
    if found is None or other is None:
        return ""
    if found.low > 0:
        return f": even the best rate, p = {other.p:g}, raises the {speech.title} by {speech.size(found.value)}"
    if found.high < 0:
        return (
            f": on the validation rows no rate was better by more than chance; on the test rows p = {other.p:g} was, "
            f"by {speech.size(found.value)}, so that more rows or seeds are worth having"
        )
    if any(item.kind == "better" for item in study.ranges):
        return (
            f": p = {other.p:g}, the best rate on the validation rows, does not lower the {speech.title} by more than "
            "chance would"
        )
    return f": no rate lowers the {speech.title} by more than chance would"


def _better_probabilities(study: Study, level: LevelResult, base: LevelResult) -> bool:
    found = difference(study, name(level), name(base), "nll tempered")
    return study.task == "classification" and found is not None and found.high < 0


def _baselines(study: Study, speech: Speech) -> Iterator[str]:
    """Another kind of model that does better than every network, or as well."""
    level = study.chosen
    rivals = [item for item in study.baselines if item.name in BASELINES]
    if level is None or not rivals:
        return
    best = min(rivals, key=lambda item: item.metric.value)
    found = difference(study, best.title, name(level))
    if found is None:
        return
    figures = f"{speech.value(best.metric.value)} against {speech.value(level.metric.value)}"
    if found.high < 0:
        yield (
            f"{capital(best.title)} does better than every network here: {speech.title} {figures}, a difference of "
            f"{speech.span(found.value, found.low, found.high)}. Use that, unless you need a network."
            if all(best.metric.value < other.metric.value for other in study.levels)
            else f"{capital(best.title)} does better than the chosen network: {speech.title} {figures}, a difference "
            f"of {speech.span(found.value, found.low, found.high)}."
        )
    elif found.low > 0:
        pairs = [(item, difference(study, item.title, name(level))) for item in rivals]
        beaten = [item for item, pair in pairs if pair is not None and pair.low > 0]
        values = listed([speech.value(item.metric.value) for item in beaten])
        yield (
            f"The chosen network does better than {listed([item.title for item in beaten])}: {speech.title} "
            f"{speech.value(level.metric.value)} against {values}."
        )
    else:
        yield (
            f"{capital(best.title)} does about as well: {speech.title} {figures}, a difference of "
            f"{speech.span(found.value, found.low, found.high)}."
        )


def _ranges(study: Study, speech: Speech) -> Iterator[str]:
    """What each stretch of rates does, compared with p = 0."""
    if study.ranges:
        parts = [_range(item, speech) for item in study.ranges]
        yield f"Compared with p = 0: {'; '.join(parts)}."


def _range(item: RateRange, speech: Speech) -> str:
    ps = f"p = {item.ps[0]:g}" if len(item.ps) == 1 else f"p = {item.ps[0]:g} to {item.ps[-1]:g}"
    one = len(item.ps) == 1
    low, high = sorted((abs(item.low), abs(item.high)))
    between = f"{speech.number(low)} to {speech.size(high)}"
    if item.kind == "better":
        return f"{ps} {'lowers' if one else 'lower'} the {speech.title}, by {between}"
    if item.kind == "worse":
        return f"{ps} {'costs' if one else 'cost'} {between}"
    if item.low == item.high == 0:
        return f"{ps} {'changes' if one else 'change'} nothing: no seed and no row differs"
    if item.kind == "level":
        return f"{ps} {'changes' if one else 'change'} nothing worth having (at most {speech.size(high)} either way)"
    return (
        f"what {ps} {'does' if one else 'do'} is not clear (between {speech.signed(item.low)} and "
        f"{speech.signed(item.high)}{' points' if speech.percent else ''})"
    )


def _power(study: Study, speech: Speech) -> Iterator[str]:
    """The smallest effect that could have been seen, and what would settle an open one."""
    base, other = study.plain, study.noisy
    found = None if base is None or other is None else difference(study, name(other), name(base))
    if found is None or other is None or found.visible == 0:
        return
    yield (
        f"This study would see a true difference of {speech.size(found.visible)} between p = {other.p:g} and p = 0 in "
        f"4 of 5 cases{_needed(found, speech)}."
    )


def _needed(found: Difference, speech: Speech) -> str:
    ways = needed(found)
    if not ways:
        return ""
    seeds = "" if found.seeds_needed is not None else "; more seeds alone would not do"
    return f"; to see one of {speech.size(found.value)}, as found here, would take about {ways}{seeds}"


def _others(study: Study, speech: Speech) -> Iterator[str]:
    """Weight decay, both together, and inputs dropped as well."""
    other = study.noisy
    if other is None:
        return
    for arm, says in (("decay", "Weight decay alone"), ("both", "Dropout and weight decay together"), ("input", "")):
        level = next((level for level in study.levels if level.arm == arm), None)
        found = None if level is None else difference(study, name(level), name(other))
        if level is None or found is None:
            continue
        start = says or f"Dropping inputs as well (each with probability {level.p_input:g})"
        yield (
            f"{start} gives {speech.value(level.metric.value)} ({name(level)}), against p = {other.p:g} alone "
            f"{_clear(found)}: {speech.span(found.value, found.low, found.high)}."
        )


def _clear(found: Difference) -> str:
    return "lower" if found.high < 0 else "higher" if found.low > 0 else "not clearly different"


def _gap(study: Study, speech: Speech) -> Iterator[str]:
    """Overfitting made visible: test minus training error, both with dropout off."""
    base, other = study.plain, study.noisy
    if base is None or other is None:
        return
    by_error = Speech(study.task == "classification", study.error_title, study.target, "error")
    before, after = by_error.number(base.gap), by_error.number(other.gap)
    trend = "stays at" if before == after else "shrinks from" if other.gap < base.gap else "grows from"
    span = f"{before} points" if before == after else f"{before} to {after} points"
    if not by_error.percent:
        span = span.replace(" points", "")
    yield (
        f"The gap between training and test error, dropout off for both, {trend} {span} at p = {other.p:g} (training "
        f"error {by_error.value(base.train_error)} without dropout, {by_error.value(other.train_error)} with it)."
    )


def _steps(study: Study, speech: Speech) -> Iterator[str]:
    """How long each arm needed."""
    base, other = study.plain, study.noisy
    if base is None or other is None:
        return
    longer = "longer" if other.steps > base.steps else "no longer"
    yield (
        f"Dropout takes {longer}: the best state came after {other.steps:,.0f} steps at p = {other.p:g} and after "
        f"{base.steps:,.0f} without (medians over seeds)."
    )
    late = [level for level in study.levels if level.unfinished > 0]
    if late:
        shares = [f"{100 * level.unfinished:.0f} % of the networks at {name(level)}" for level in late]
        yield (
            f"Validation was still improving when the {study.max_steps:,} steps ran out, for {listed(shares)}: more "
            "steps (--epochs) may change their figures."
        )


def _probabilities(study: Study) -> Iterator[str]:
    """Likelihoods raw and with one temperature, and calibration."""
    base, other = study.plain, study.noisy
    if base is None or other is None:
        return
    if study.task == "regression":
        yield (
            f"NLL goes from {base.nll:.3f} without dropout to {other.nll:.3f} nats a row, of a normal distribution as "
            "wide as the validation residuals."
        )
        return
    sentence = (
        f"The probabilities: NLL {base.nll:.3f} without dropout and {other.nll:.3f} with it, nats a row; with one "
        f"temperature a network, fitted on its validation rows, {base.nll_tempered:.3f} and {other.nll_tempered:.3f}"
    )
    found = difference(study, name(other), name(base), "nll tempered")
    if found is not None:
        sentence += f", {_clear(found)} ({found.value:+.3f}, 95 % interval {found.low:+.3f} to {found.high:+.3f})"
    yield f"{sentence}."
    if base.calibration is not None and other.calibration is not None:
        yield (
            f"The expected calibration error is {100 * base.calibration.value:.1f} % without dropout and "
            f"{100 * other.calibration.value:.1f} % with it; a perfect predictor would show "
            f"{100 * base.calibration.perfect:.1f} % and {100 * other.calibration.perfect:.1f} % on so many rows."
        )


def _learning_rates(study: Study) -> Iterator[str]:
    if len(study.lrs) < 2:
        yield f"All were trained at the learning rate that was given, {study.lrs[0]:g}; it need not suit each of them."
        return
    yield (
        f"Each level got its own learning rate, out of {len(study.lrs)} between {study.lrs[0]:g} and "
        f"{study.lrs[-1]:g}: all were tried at the same ones, and further where the loss still fell at an end of them."
    )
    edges = [level for level in study.levels if level.lr_at_edge]
    if edges:
        yield (
            f"At an end of the rates that were tried lies the choice for {listed([name(level) for level in edges])}: a "
            "better one may lie beyond it."
        )


def _network(study: Study, speech: Speech) -> Iterator[str]:
    net = study.network
    if net is None:
        return
    if study.outer > 1:
        yield (
            f"Chosen anew by validation in each of the {study.outer} outer splits, the network has a {speech.title} of "
            f"{speech.value(net.chosen.value)} (95 % interval {speech.value(net.chosen.low)} to "
            f"{speech.value(net.chosen.high)}): what choosing in this way gives on new rows."
        )
    elif net.error is not None:
        error = Speech(study.task == "classification", study.error_title, study.target, "error")
        nll = "" if net.nll is None else f" and an NLL of {net.nll:.3f}"
        yield (
            f"The network to take away is {net.members} networks together, one a seed: a {study.error_title} of "
            f"{error.value(net.error)}{nll}."
        )


def _fairness(study: Study) -> Iterator[str]:
    test = (
        f"each row was a test row once, in one of {study.outer} outer splits"
        if study.outer > 1
        else f"the {study.rows_test:,} test rows"
    )
    yield (
        f"Learning rates, weight decay and p were chosen on validation rows; {test}"
        + (", and took no part in the choices of its split." if study.outer > 1 else " took no part in any choice.")
        + f" Each level was trained on {study.seeds} seeds, with other training rows, first weights and masks."
    )
    yield (
        "Each interval is about new rows, against networks trained like these from this pool of rows; each holds for "
        "one comparison alone."
    )
