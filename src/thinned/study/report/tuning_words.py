"""Sentences of a tuning's page: the recommendation, why, how it was done, and how to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from thinned.study.answer.speech import listed
from thinned.study.report.tuning_facts import SeedFigures, TuningFacts
from thinned.study.report.units import duration

ADVICE = {"p = 0": "Use no dropout", "as it was": "Keep the rates as they were", "tuned": "Take the tuned rates"}
RATE = "learning rate"  # the figure by which a training says which it took


def badge(facts: TuningFacts) -> tuple[str, str]:
    """A class of the page, and the advice."""
    return "advice", ADVICE[facts.taken]


def why(facts: TuningFacts) -> list[str]:
    """Why these rates, and what judged."""
    lost = [item.title for item in facts.judged if not item.sound]
    if facts.differences and all(item.verdict == "no difference was seen" for item in facts.differences):
        reason = f"No difference was seen between {_between(facts)}, so the simplest is taken."
    elif facts.differences:
        reason = (
            "Of p = 0, the rates as they were and those tuned, these are the simplest that no other is seen to beat."
        )
    elif lost:
        reason = f"Nothing else could be compared: {listed(lost)} had a training that failed or diverged."
    else:
        reason = "p = 0, the rates as they were and those tuned are one set of rates, so there was nothing to compare."
    seeds = len(facts.judged[0].runs)
    if facts.judge == facts.metric:
        judged = (
            f"What chose is {facts.metric}, and what judges is the same on {seeds} other seeds. Where it is of "
            "validation rows, rates that were chosen on them look a little too good there: a figure of test rows, "
            "named as judge, has no such fault."
        )
    else:
        judged = (
            f"What chose is {facts.metric}; what judges is {facts.judge}, on {seeds} seeds that no choice has seen."
        )
    return [reason, judged]


def _between(facts: TuningFacts) -> str:
    return listed([item.title for item in facts.judged if item.sound])


def method(facts: TuningFacts) -> list[str]:
    """How the numbers came about."""
    runs, lost = facts.runs(), sum(not run.trained for run in facts.runs())
    faults = f", {lost} of which failed or diverged" if lost else ""
    kinds = listed([kind.name for kind in facts.kinds])
    return [
        f"{len(runs):,} trainings{faults}, {duration(sum(run.seconds for run in runs))} of training. Every one had "
        "the whole budget: to stop some early would favour p = 0, which learns fastest.",
        "Tried were p = 0, the rates as they were, multiples of them, and then each p for each kind in turn: "
        f"{kinds}. All rates have the same {facts.common} seeds, the best have more. p is the largest of its kind: "
        "places of one kind keep their shares.",
        *_learning_rates(facts),
    ]


def _learning_rates(facts: TuningFacts) -> list[str]:
    if facts.data is None:
        return []
    lrs = facts.data.lrs
    if len(lrs) == 1:
        return [f"Every training had the learning rate {lrs[0]:g}."]
    said = [f"{item.title}: {_counted(item.runs)}" for item in facts.judged if item.sound]
    at_end = [lr for run in facts.runs() if run.trained and (lr := run.figures.get(RATE)) in (min(lrs), max(lrs))]
    sentence = (
        f"Each training took the best of the learning rates {listed([f'{lr:g}' for lr in sorted(lrs)])} by validation "
        f"loss. Chosen on the seeds that judge: {'; '.join(said)}."
    )
    if at_end:
        sentence += (
            f" In {len(at_end)} of {sum(run.trained for run in facts.runs())} trainings it was an end of those tried: "
            "a better one may lie beyond."
        )
    return [sentence]


def _counted(runs: Sequence[SeedFigures]) -> str:
    found = Counter(run.figures[RATE] for run in runs if RATE in run.figures)
    return ", ".join(f"{lr:g} {count} times" if count > 1 else f"{lr:g} once" for lr, count in sorted(found.items()))


def settings(facts: TuningFacts) -> list[tuple[str, str]]:
    """Names and values."""
    found = [
        ("chosen by", facts.metric),
        ("judged by", facts.judge),
        ("better", facts.better),
        *facts.settings,
    ]
    if facts.data is not None:
        train, validation, test = facts.data.rows
        rows = f"{train:,} training, {validation:,} validation, {test:,} test"
        found = [("data", facts.data.title), ("rows", rows), *found]
        found.append(("learning rates", ", ".join(f"{lr:g}" for lr in facts.data.lrs)))
    return found


def go_on(facts: TuningFacts) -> str:
    """What the same call does."""
    if facts.data is None:
        return (
            "Call tune again with the same folder: what is finished is kept, failed trainings are tried again, and "
            "more seeds or trials add to what is there. After a change of fit, name another folder."
        )
    return (
        "Give the same command again: what is finished is kept, failed trainings are tried again, and more --seeds add "
        "to what is there. After a change of the model's code, name another folder."
    )


def files(facts: TuningFacts) -> list[tuple[str, str]]:
    """What lies beside the page."""
    found = [("tune.txt", "this answer as text"), (facts.rates_file, _USED_BY[facts.rates_file])]
    if facts.planned and facts.rates_file != "plan.toml":
        found.append(("plan.toml", "the new places, for thinned.Plan.load and thinned.apply"))
    return [
        *found,
        ("trials.db", "every training, a study of Optuna"),
        ("journal.json", "which tuning the folder is of"),
    ]


_USED_BY = {
    "rates.toml": "the rates, for thinned.load_rates",
    "plan.toml": "the plan with its rates, for thinned.Plan.load",
}
