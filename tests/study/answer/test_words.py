"""Every sentence of an answer, over a dozen made-up studies, is true of the figures beside it."""

from __future__ import annotations

import re

import pytest
from tests.study.report.cases import CASES, HELPS, HURTS, LEVEL, UNCLEAR
from tests.study.report.studies import study_of

from thinned.study.answer.speech import Speech, name
from thinned.study.answer.words import difference, say
from thinned.study.record import Study

STUDIES = {case: study_of(made_up) for case, made_up in CASES.items()}
every_case = pytest.mark.parametrize("case", STUDIES)
ADVICE = {
    "dropout helps": "dropout",
    "dropout hurts": "plain",
    "level": "plain",
    "weight decay wins": "decay",
    "both win": "both",
    "inputs win": "input",
    "no better than a constant": "nothing",
    "out of time without an answer": "plain",
    "nothing yet": "plain",
    "numbers": "dropout",
}


def sentence(study: Study, start: str) -> str | None:
    """The sentence that begins so."""
    found = [words for words in study.words if words.startswith(start)]
    assert len(found) < 2
    return found[0] if found else None


@pytest.mark.parametrize(("case", "advice"), ADVICE.items())
def test_the_advice_is_the_network_that_validation_chose(case: str, advice: str) -> None:
    assert STUDIES[case].advice == advice


@every_case
def test_the_headline_says_what_the_advice_is_and_what_test_rows_add(case: str) -> None:
    study = STUDIES[case]
    level, base, speech = study.chosen, study.plain, Speech.of(study)
    if level is None or base is None:
        assert study.headline == "No answer yet: no network has been chosen."
        return
    start = {
        "plain": "Use no dropout here",
        "nothing": "Use none of these networks",
        "dropout": f"Use dropout at p = {level.p:g}",
        "decay": f"Use weight decay ({level.weight_decay:g}), not dropout",
        "both": f"Use dropout at p = {level.p:g} together with weight decay ({level.weight_decay:g})",
        "input": f"Use dropout at p = {level.p:g}, and drop inputs at {level.p_input:g}",
    }[study.advice]
    assert study.headline.startswith(start)
    if study.advice in ("plain", "nothing"):
        return
    found = difference(study, name(level), name(base))
    assert found is not None
    moved = f"from {speech.value(base.metric.value)} to {speech.value(level.metric.value)}"
    assert ("it lowers" in study.headline) == (found.high < 0)
    assert ("it raises" in study.headline) == (found.low > 0)
    assert ("no clear difference" in study.headline) == (found.low <= 0 <= found.high)
    assert (moved in study.headline) == (not found.low <= 0 <= found.high)


def test_the_headlines() -> None:
    says = {case: study.headline for case, study in STUDIES.items()}
    assert says["dropout helps"] == (
        "Use dropout at p = 0.5: it lowers the test error from 8.0 % to 6.0 %, by 2.0 points."
    )
    assert says["dropout hurts"].startswith("Use no dropout here: even the best rate, p = 0.02, raises the test error")
    assert says["level"] == "Use no dropout here: no rate lowers the test error by more than chance would."
    assert says["validation and test disagree"].endswith("More rows would tell.")
    assert says["no better than a constant"].startswith("Use none of these networks: no test error below that of a")


@every_case
def test_another_model_that_is_better_is_the_second_sentence(case: str) -> None:
    study = STUDIES[case]
    level = study.chosen
    rivals = [item for item in study.baselines if item.name != "constant"]
    if level is None or not rivals:
        return
    best = min(rivals, key=lambda item: item.metric.value)
    found = difference(study, best.title, name(level))
    assert found is not None
    first = study.words[0]  # right behind the headline
    assert ("does better than every network here" in first) == (
        found.high < 0 and all(best.metric.value < item.metric.value for item in study.levels)
    )
    assert first.startswith("The chosen network does better than") == (found.low > 0)
    assert ("does about as well" in first) == (found.low <= 0 <= found.high)


def test_trees_that_beat_every_network_come_right_behind_the_headline() -> None:
    assert STUDIES["trees beat all"].words[0].startswith("Gradient boosting does better than every network here")


@every_case
def test_the_ranges_name_every_rate_once_and_each_says_its_kind(case: str) -> None:
    study = STUDIES[case]
    said = sentence(study, "Compared with p = 0:")
    assert (said is None) == (not study.ranges)
    if said is None:
        return
    parts = said.removeprefix("Compared with p = 0: ").split("; ")
    assert len(parts) == len(study.ranges)
    verbs = {"better": "lower", "worse": "cost", "level": "change", "unclear": "is not clear"}
    for part, item in zip(parts, study.ranges, strict=True):
        assert verbs[item.kind] in part
        assert f"p = {item.ps[0]:g}" in part
        assert len(item.ps) == 1 or f"to {item.ps[-1]:g}" in part


@every_case
def test_what_an_open_difference_would_take_is_said_and_only_then(case: str) -> None:
    study = STUDIES[case]
    said = sentence(study, "This study would see a true difference of")
    base, other = study.plain, study.noisy
    found = None if base is None or other is None else difference(study, name(other), name(base))
    assert (said is None) == (found is None or found.visible == 0)
    if said is None or found is None:
        return
    assert Speech.of(study).size(found.visible) in said
    is_open = found.low <= 0 <= found.high and found.value != 0
    assert ("9,000 test rows; more seeds alone would not do" in said) == is_open


@pytest.mark.parametrize(
    ("rows", "seeds", "end"),
    [
        (9000, 40, "would take about 40 seeds or 9,000 test rows."),
        (None, 40, "would take about 40 seeds."),
        (9000, None, "would take about 9,000 test rows; more seeds alone would not do."),
        (None, None, "in 4 of 5 cases."),
    ],
)
def test_seeds_and_rows_that_would_do(rows: int | None, seeds: int | None, end: str) -> None:
    made_up = study_of(UNCLEAR)
    found = [item.model_copy(update={"rows_needed": rows, "seeds_needed": seeds}) for item in made_up.differences]
    study = say(made_up.model_copy(update={"differences": found}))
    said = sentence(study, "This study would see")
    assert said is not None
    assert said.endswith(end)


@every_case
def test_gap_and_steps_go_where_they_are_said_to_go(case: str) -> None:
    study = STUDIES[case]
    base, other = study.plain, study.noisy
    gap, steps = sentence(study, "The gap between"), sentence(study, "Dropout takes")
    assert (gap is None) == (steps is None) == (base is None or other is None)
    if gap is None or steps is None or base is None or other is None:
        return
    if "stays at" not in gap:
        assert ("shrinks" in gap) == (other.gap < base.gap)
        assert ("grows" in gap) == (other.gap > base.gap)
    assert steps.startswith("Dropout takes longer") == (other.steps > base.steps)


@every_case
def test_what_is_unfinished_or_at_an_edge_is_named(case: str) -> None:
    study = STUDIES[case]
    late = sentence(study, "Validation was still improving")
    edge = sentence(study, "At an end of the rates")
    for said, levels in (
        (late, [level for level in study.levels if level.unfinished > 0]),
        (edge, [level for level in study.levels if level.lr_at_edge]),
    ):
        assert (said is None) == (not levels)
        assert all(name(level) in (said or "") for level in levels)


@every_case
def test_the_other_arms_are_compared_with_the_best_rate(case: str) -> None:
    study = STUDIES[case]
    other = study.noisy
    for arm, start in (("decay", "Weight decay alone"), ("both", "Dropout and weight"), ("input", "Dropping inputs")):
        said, level = sentence(study, start), next((item for item in study.levels if item.arm == arm), None)
        assert (said is None) == (level is None or other is None)
        if said is None or level is None or other is None:
            continue
        found = difference(study, name(level), name(other))
        assert found is not None
        assert ("alone lower:" in said) == (found.high < 0)
        assert ("alone higher:" in said) == (found.low > 0)
        assert ("not clearly different" in said) == (found.low <= 0 <= found.high)


@every_case
def test_no_sentence_is_broken(case: str) -> None:
    study = STUDIES[case]
    for words in (study.headline, *study.words):
        assert re.fullmatch(r"[A-Z].*\.", words)
        assert not re.search(r"\bnan\b|None|\binf\b|  |[{}]", words)
    assert len(set(study.words)) == len(study.words)
    assert say(study) == study  # words come from figures alone


def test_the_cases_differ() -> None:
    assert len({study_of(case).advice for case in (HELPS, HURTS, LEVEL)}) == 2
    assert {study.advice for study in STUDIES.values()} == {"plain", "dropout", "decay", "both", "input", "nothing"}


def test_no_rate_lowers_the_error_is_said_only_where_none_does() -> None:
    """Validation's best rate is not clear on test rows, and another rate is."""
    study = STUDIES["level"]
    other = study.ranges[0].model_copy(update={"kind": "better", "low": -0.02, "high": -0.01})
    headline = say(study.model_copy(update={"ranges": [other]})).headline
    assert "no rate lowers" not in headline
    assert f"p = {study.best_p:g}, the best rate on the validation rows, does not lower the test error" in headline


def test_only_models_that_the_network_clearly_beats_are_said_to_be_beaten() -> None:
    """The linear model's interval against the network holds 0, the trees' does not."""
    study = next(
        study for study in STUDIES.values() if study.words and study.words[0].startswith("The chosen network does")
    )
    level = study.chosen
    assert level is not None
    rivals = sorted((item for item in study.baselines if item.name != "constant"), key=lambda item: item.metric.value)
    best, worse = rivals
    assert f"{best.title} and {worse.title}" in study.words[0] or f"{worse.title} and {best.title}" in study.words[0]
    pair = difference(study, worse.title, name(level))
    assert pair is not None
    unsure = [item.model_copy(update={"low": -0.1}) if item is pair else item for item in study.differences]
    sentence = say(study.model_copy(update={"differences": unsure})).words[0]
    assert best.title in sentence
    assert worse.title not in sentence


@every_case
def test_the_learning_rates_sentence_claims_no_equal_number(case: str) -> None:
    """Grids grow by level, so that levels are tried at different numbers of rates."""
    assert not any("same number of trials" in words for words in STUDIES[case].words)
