"""The order of trials, on made-up figures: what is decided, when, and from what."""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from thinned.study.plan import Candidate, Chooser, Grid, ValidationFigures, ladder
from thinned.study.trial import Config

PLAN = Grid(ps=(0.0, 0.2, 0.5), lrs=(1.0, 2.0, 4.0), weight_decays=(0.5, 2.0), seeds=4)
Figure = Callable[[Config], float]


def finish(grid: Grid, figure: Figure) -> tuple[Chooser, list[list[Config]]]:
    """Run a grid to its end, with `figure` in place of training."""
    seen: list[ValidationFigures] = []
    rounds: list[list[Config]] = []
    while missing := Chooser(grid, seen).missing():
        rounds.append(missing)
        seen += [ValidationFigures(config, figure(config), 0.0) for config in missing]
        assert len(rounds) < 20
    return Chooser(grid, seen), rounds


def distance(lr: float) -> Figure:
    return lambda config: abs(config.lr - lr) + config.weight_decay + config.p


def test_a_choice_sees_validation_figures_only() -> None:
    assert [field.name for field in fields(ValidationFigures)] == ["config", "loss", "nll"]


def test_search_uses_two_seeds_and_the_final_all() -> None:
    _, rounds = finish(PLAN, distance(2.0))
    assert {config.seed for config in rounds[0]} == {0, 1}
    assert len(rounds[0]) == (3 + 2) * 3 * 2
    assert {config.seed for config in rounds[-1]} == {2, 3}
    assert {config.lr for config in rounds[-1]} == {2.0}
    assert len(rounds[-1]) == (3 + 1) * 2


def test_no_trial_is_run_twice() -> None:
    _, rounds = finish(PLAN, distance(100.0))
    configs = [config for batch in rounds for config in batch]
    assert len(configs) == len(set(configs))


@pytest.mark.parametrize(
    ("best", "tried"),
    [
        (2.0, [1, 2, 4]),
        (4.0, [1, 2, 4, 8]),
        (8.0, [1, 2, 4, 8, 16]),
        (0.5, [0.25, 0.5, 1, 2, 4]),
        (99.0, [1, 2, 4, 8, 16]),
    ],
)
def test_the_grid_is_widened_where_the_best_rate_is_at_its_edge(best: float, tried: list[float]) -> None:
    chooser, _ = finish(PLAN, distance(best))
    assert chooser.tried(Candidate("dropout", 0.2, 0.0)) == tried


def test_each_p_gets_its_own_learning_rate() -> None:
    chooser, _ = finish(PLAN, lambda config: abs(config.lr - (1.0 if config.p == 0.5 else 2.0)))
    assert [chooser.lr(candidate) for candidate in chooser.dropout()] == [2.0, 2.0, 1.0]


INPUTS = replace(PLAN, p_input=0.1)


def test_inputs_are_tried_once_the_best_p_is_known_and_above_0() -> None:
    chooser, rounds = finish(INPUTS, lambda config: abs(config.p - 0.2) + abs(config.lr - 4.0) - config.p_input)
    candidate = Candidate("input", 0.2, 0.0, 0.1)
    assert {config.p_input for batch in rounds[:-3] for config in batch} == {0.0}
    assert {(config.arm, config.p, config.p_input) for batch in rounds[-3:] for config in batch} == {
        ("input", 0.2, 0.1)
    }
    assert chooser.finals()[-1] == candidate == chooser.best()
    assert chooser.tried(candidate) == [1.0, 2.0, 4.0, 8.0]
    assert chooser.lr(candidate) == 4.0
    assert {config.seed for config in rounds[-1]} == {2, 3}
    assert chooser.p() == 0.2


def test_inputs_that_do_worse_are_not_chosen() -> None:
    chooser, _ = finish(INPUTS, lambda config: abs(config.p - 0.2) + config.p_input)
    assert chooser.best() == Candidate("dropout", 0.2, 0.0)


def test_inputs_are_left_alone_where_no_dropout_is_best() -> None:
    chooser, rounds = finish(INPUTS, lambda config: config.p - config.p_input)
    assert {config.p_input for batch in rounds for config in batch} == {0.0}
    assert chooser.best() == Candidate("dropout", 0.0, 0.0)


def test_one_learning_rate_is_taken_as_given() -> None:
    chooser, rounds = finish(Grid((0.0, 0.5), (3.0,), (0.5, 2.0), seeds=2), distance(100.0))
    assert {config.lr for batch in rounds for config in batch} == {3.0}
    assert chooser.lr(Candidate("dropout", 0.5, 0.0)) == 3.0


@pytest.mark.parametrize("best", [0.0, 0.2, 0.5])
def test_the_rate_with_the_least_validation_error_is_chosen_and_0_can_be_it(best: float) -> None:
    chooser, _ = finish(PLAN, lambda config: abs(config.p - best))
    assert chooser.p() == best
    assert chooser.p_above_zero() == (best or 0.2)


def test_ties_go_to_the_smaller_rate_after_nll() -> None:
    seen: list[ValidationFigures] = []
    while missing := Chooser(PLAN, seen).missing():
        seen += [ValidationFigures(config, 0.1, 0.3 if config.p == 0.0 else 0.2) for config in missing]
    chooser = Chooser(PLAN, seen)
    assert chooser.p() == 0.2
    assert chooser.lr(Candidate("dropout", 0.2, 0.0)) == min(chooser.tried(Candidate("dropout", 0.2, 0.0)))


def test_the_weight_decay_is_chosen_and_its_grid_widened() -> None:
    chooser, _ = finish(PLAN, lambda config: abs(config.weight_decay - 8.0) + abs(config.lr - 2.0))
    assert chooser.weight_decay() == 8.0
    assert chooser.finals()[-1] == Candidate("l2", 0.0, 8.0)


def test_the_next_round_depends_on_what_has_finished_not_on_when() -> None:
    _, rounds = finish(PLAN, distance(4.0))
    seen = [ValidationFigures(config, distance(4.0)(config), 0.0) for config in rounds[0]]
    assert Chooser(PLAN, seen).missing() == Chooser(PLAN, reversed(seen)).missing() == rounds[1]
    resumed = list(seen[5:])
    while missing := Chooser(PLAN, resumed).missing():
        resumed += [ValidationFigures(config, distance(4.0)(config), 0.0) for config in missing[:3]]
    assert {item.config for item in resumed} == {config for batch in rounds for config in batch}


def test_seeds_done_counts_whole_seeds_after_the_search() -> None:
    chooser, rounds = finish(PLAN, distance(2.0))
    assert chooser.seeds_done() == 4
    seen = [ValidationFigures(config, distance(2.0)(config), 0.0) for batch in rounds for config in batch]
    assert Chooser(PLAN, seen[:-1]).seeds_done() == 3
    assert Chooser(PLAN, [item for item in seen if item.config in rounds[0]][:-1]).seeds_done() == 0


def test_a_ladder_waits_for_figures() -> None:
    assert ladder((1.0, 2.0), lambda value: (value, 0.0) if value == 1.0 else None) == [1.0, 2.0]
