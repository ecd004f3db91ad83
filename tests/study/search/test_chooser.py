"""What is run next, and what is chosen: on loss surfaces whose best place is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from thinned.study.search.chooser import Chooser, ValidationFigures
from thinned.study.search.grid import Grid
from thinned.study.trial.config import Config, Level, Unit

Surface = Callable[[Config], float]
LRS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


def bowl(p: float, lr: float, decay: float = 0.5, inputs: float = 0.0) -> Surface:
    """Losses that are least at one rate, learning rate and weight decay; each seed's a little off."""

    def loss(config: Config) -> float:
        level = config.level
        away = (level.p - p) ** 2 + 0.5 * (math.log10(config.lr) - math.log10(lr)) ** 2
        if level.arm in ("decay", "both"):
            away += 0.02 * (math.log10(level.weight_decay) - math.log10(decay)) ** 2 - 0.01
        if level.arm == "input":
            away += inputs
        return 1.0 + away + 0.001 * (config.seed % 3)

    return loss


def run(
    grid: Grid, surface: Surface, seeds: tuple[int, ...] = tuple(range(8)), before: list[Unit] | None = None
) -> tuple[Chooser, list[Unit]]:
    """The whole search, and its units in order; `before` are those of an earlier one."""
    earlier = [config for unit in before or [] for config in unit.configs()]
    seen = {config: ValidationFigures(config, surface(config)) for config in earlier}
    order: list[Unit] = []
    while units := (chooser := Chooser(grid, seeds, seen.values())).missing():
        for unit in units:
            assert not any(config in seen for config in unit.configs()), "nothing is trained twice"
            order.append(unit)
            seen |= {config: ValidationFigures(config, surface(config)) for config in unit.configs()}
        assert len(order) < 1000
    return chooser, order


@pytest.mark.parametrize("p", [0.0, 0.05, 0.2, 0.4])
@pytest.mark.parametrize("lr", [3e-4, 3e-3])
def test_the_best_place_is_found(p: float, lr: float) -> None:
    chooser, _ = run(Grid((0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5), LRS), bowl(p, lr))
    assert chooser.p() == (p or 0.02)
    assert all(chooser.lr(level) == lr for level in chooser.levels())
    assert not any(chooser.at_edge(level) for level in chooser.levels())
    assert chooser.decay() == Level("decay", 0.0, 0.5)
    assert chooser.both() == Level("both", p or 0.02, 0.5)
    assert {level.arm for level in chooser.levels()} == {"dropout", "decay", "both"} | ({"input"} if p else set())


def test_every_level_gets_the_same_number_of_learning_rates_on_the_same_seeds() -> None:
    grid = Grid((0.0, 0.1, 0.3), LRS, search_seeds=3, together=3)
    _, order = run(grid, bowl(0.1, 1e-3))
    searched = {unit.level for unit in order if len(unit.lrs) > 1}
    for level in searched:
        found = {(lr, seed) for unit in order if unit.level == level and len(unit.lrs) > 1 for lr, seed in
                 ((config.lr, config.seed) for config in unit.configs())}  # fmt: skip
        assert found == {(lr, seed) for lr in LRS for seed in range(3)}


def test_finals_have_all_seeds_at_the_chosen_rate() -> None:
    chooser, _ = run(Grid((0.0, 0.2), LRS, search_seeds=3, together=2), bowl(0.2, 1e-3))
    for level in chooser.levels():
        assert chooser.configs(level) == [Config(level, 1e-3, seed) for seed in range(8)]


@pytest.mark.parametrize(("best", "found"), [(1e-6, 3.3e-5), (2e-1, 1.1e-1)])
def test_the_grid_of_learning_rates_grows_to_where_the_best_is(best: float, found: float) -> None:
    chooser, _ = run(Grid((0.0, 0.2), LRS), bowl(0.0, best))
    assert all(chooser.lr(level) == pytest.approx(found, rel=0.1) for level in chooser.levels())
    assert all(chooser.at_edge(level) for level in chooser.levels())


def test_nothing_is_tried_where_training_diverges() -> None:
    chooser, order = run(Grid((0.0, 0.2), LRS, lr_limit=0.02), bowl(0.0, 1.0))
    assert max(lr for unit in order for lr in unit.lrs) == 1e-2
    assert chooser.at_edge(Level("dropout"))


def test_diverged_runs_lose() -> None:
    surface = bowl(0.1, 1e-2)
    chooser, _ = run(Grid((0.0, 0.1), LRS), lambda config: math.inf if config.lr > 2e-3 else surface(config))
    assert all(chooser.lr(level) == 1e-3 for level in chooser.levels())


def test_one_lucky_cell_is_not_taken() -> None:
    """A cell that is 5 % better than its neighbours' trend, far from the good region."""
    surface = bowl(0.2, 1e-3)
    lucky = Level("dropout", 0.2)

    def loss(config: Config) -> float:
        return 0.99 if config.level == lucky and config.lr == 1e-2 else surface(config)

    chooser, _ = run(Grid((0.0, 0.1, 0.2, 0.3), LRS), loss)
    assert chooser.lr(lucky) in (1e-3, 3e-3)


def test_larger_rates_are_tried_where_the_largest_wins() -> None:
    chooser, _ = run(Grid((0.0, 0.25, 0.5), LRS), bowl(0.65, 1e-3))
    assert [level.p for level in chooser.dropout()] == [0.0, 0.25, 0.5, 0.6, 0.7]
    assert chooser.p() in (0.6, 0.7)
    chooser, _ = run(Grid((0.0, 0.25, 0.5), LRS, widen_ps=False), bowl(0.65, 1e-3))
    assert chooser.p() == 0.5


@pytest.mark.parametrize(("decay", "found"), [(0.03, 0.031), (9.0, 8.0)])
def test_the_grid_of_weight_decays_grows(decay: float, found: float) -> None:
    chooser, _ = run(Grid((0.0, 0.2), LRS), bowl(0.0, 1e-3, decay))
    best = chooser.decay()
    assert best is not None
    assert best.weight_decay == found


def test_one_learning_rate_is_taken_as_given() -> None:
    chooser, order = run(Grid((0.0, 0.2), (0.05,)), bowl(0.2, 1e-3))
    assert {lr for unit in order for lr in unit.lrs} == {0.05}
    assert not chooser.at_edge(Level("dropout"))


@pytest.mark.parametrize("few", [2, 3, 4, 7])
def test_more_seeds_and_rates_run_nothing_again(few: int) -> None:
    surface, seeds = bowl(0.2, 1e-3), tuple(range(8))
    _, first = run(Grid((0.0, 0.2), LRS[1:], search_seeds=3, together=2), surface, seeds[:few])
    grid = Grid((0.0, 0.1, 0.2), LRS, search_seeds=3, together=2)
    chooser, _ = run(grid, surface, seeds, first)
    at_once, _ = run(grid, surface, seeds)
    assert chooser.levels() == at_once.levels()
    assert [chooser.configs(level) for level in chooser.levels()] == [at_once.configs(x) for x in at_once.levels()]


def test_a_search_that_is_stopped_early_has_covered_the_range() -> None:
    grid = Grid((0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5), LRS)
    first = Chooser(grid, range(8), []).missing()[:4]
    levels = [unit.level for unit in first]
    assert Level("dropout") in levels
    assert any(level.arm == "decay" for level in levels)
    assert any(level.p >= 0.3 for level in levels)
