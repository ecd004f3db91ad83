"""`thinned.study.tune`: the right rates where the truth is known, and nothing lost by failures or interruptions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from torch.nn import functional

import thinned
from thinned.study import StudyError, TuneResult, tune

pytestmark = pytest.mark.usefixtures("pages_without_drawings")


def two_kinds() -> torch.nn.Sequential:
    """Channels are dropped in front, hidden units behind."""
    return torch.nn.Sequential(
        torch.nn.Conv1d(1, 4, 3),
        torch.nn.Dropout1d(0.1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 8),
        torch.nn.Dropout(0.2),
        torch.nn.Linear(8, 2),
    )


def bowl(model: Any, rates: dict[str, float], seed: int, budget: Any) -> dict[str, float]:
    """A loss that is least at 0.3 for channels and at 0.5 for hidden units, with noise that all rates share."""
    assert thinned.rates(model) == rates
    return {"loss": (rates["1"] - 0.3) ** 2 + (rates["4"] - 0.5) ** 2 + torch.rand(()).item() / 10, "seen": float(seed)}


def test_each_kind_gets_its_own_p(tmp_path: Path) -> None:
    model = two_kinds()
    found = tune(bowl, model, metric="loss", out=tmp_path)
    assert found.taken == "tuned"
    assert found.rates == {"1": 0.3, "4": 0.5}
    assert found.kinds == {"1": "convolution maps", "4": "hidden"}
    assert thinned.rates(model) == {"1": 0.1, "4": 0.2}  # a copy was trained
    assert [item.verdict for item in found.differences] == ["better"] * 3
    against_zero = found.differences[0]
    assert (against_zero.first, against_zero.second) == ("tuned", "p = 0")
    assert against_zero.interval.value == pytest.approx(-0.34)  # pairs have the same noise, so nothing of it is left
    assert str(found) + "\n" == (tmp_path / "tune.txt").read_text(encoding="utf-8")


def test_the_line_and_the_file_give_a_model_the_rates(tmp_path: Path) -> None:
    found = tune(bowl, two_kinds(), metric="loss", out=tmp_path)
    pasted, loaded = two_kinds(), two_kinds()
    exec(found.set_rates_line, {"thinned": thinned, "model": pasted})
    thinned.load_rates(loaded, found.file)
    assert thinned.rates(pasted) == thinned.rates(loaded) == found.rates


@pytest.mark.parametrize("alone", [True, False], ids=["a plan alone", "a plan beside a model"])
def test_a_plans_places_are_tuned(tmp_path: Path, alone: bool) -> None:
    def build() -> torch.nn.Sequential:
        return torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))

    def fit(given: Any, rates: dict[str, float], seed: int, budget: Any) -> float:
        model = build() if alone else given
        if alone:
            thinned.apply(model, given)
        (p,) = thinned.rates(model).values()
        assert [p] == list(rates.values())
        return (p - 0.5) ** 2 + seed / 1e4

    plan = thinned.plan(build(), torch.ones(8, 4))
    found = tune(fit, plan, out=tmp_path) if alone else tune(fit, build, plan=plan, out=tmp_path)
    assert list(found.rates.values()) == [0.5]
    model = build()
    exec(found.set_rates_line, {"thinned": thinned, "model": model})
    assert thinned.rates(model) == {"1.thinned_output": 0.5}
    if not alone:  # without the plan there is no dropout, so two of the three are one
        assert [(item.first, item.second) for item in found.differences] == [("tuned", "p = 0")]


def test_all_rates_have_the_same_seeds_and_those_that_judge_are_others(tmp_path: Path) -> None:
    seen: dict[tuple[float, ...], list[int]] = {}
    draws: dict[int, set[float]] = {}

    def fit(model: Any, rates: dict[str, float], seed: int, budget: Any) -> float:
        seen.setdefault(tuple(rates.values()), []).append(seed)
        draws.setdefault(seed, set()).add(torch.rand(()).item())
        assert budget == "12 epochs"
        return sum(rates.values()) + seed / 1e3

    before = torch.get_rng_state()
    found = tune(fit, two_kinds, budget="12 epochs", seed=7, seeds=3, out=tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(seeds[:2] == [7, 8] for seeds in seen.values())
    assert seen[0.0, 0.0] == [7, 8, 9, 10, 11, 12, 13]
    assert seen[0.1, 0.2][-3:] == [11, 12, 13]
    assert sum(11 in seeds for seeds in seen.values()) == 2
    assert all(len(values) == 1 for values in draws.values())
    assert found.taken == "p = 0"
    assert "The search liked p = 0 best." in str(found)


@pytest.mark.long
def test_more_is_better_where_the_caller_says_so(tmp_path: Path) -> None:
    found = tune(
        lambda model, rates, seed, budget: 1 - (rates["4"] - 0.3) ** 2 - rates["1"], two_kinds(), direction="maximize",
        out=tmp_path,
    )  # fmt: skip
    assert found.rates == {"1": 0.0, "4": 0.3}
    assert found.differences[0].interval.value > 0
    assert found.differences[0].verdict == "better"


def test_kinds_of_the_callers_own(tmp_path: Path) -> None:
    found = tune(bowl, two_kinds(), metric="loss", kinds={"*": "all"}, out=tmp_path)
    assert set(found.kinds.values()) == {"all"}
    assert found.rates["1"] == pytest.approx(found.rates["4"] / 2)  # the places keep their shares


def test_what_is_finished_is_never_trained_again(tmp_path: Path) -> None:
    calls = 0

    def stopped(*arguments: Any) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise KeyboardInterrupt
        return bowl(*arguments)

    with pytest.raises(KeyboardInterrupt):
        tune(stopped, two_kinds(), metric="loss", out=tmp_path)
    found = tune(stopped, two_kinds(), metric="loss", out=tmp_path)
    first = calls
    again = tune(stopped, two_kinds(), metric="loss", out=tmp_path)
    assert calls == first
    assert str(again) == str(found)
    tune(stopped, two_kinds(), metric="loss", seeds=6, out=tmp_path)
    assert calls == first + 3  # one seed more for each of the three
    (study,) = optuna.get_all_study_summaries(f"sqlite:///{tmp_path / 'trials.db'}")
    assert study.n_trials == first - 1 + 3


def test_a_training_that_raises_is_one_failed_training(tmp_path: Path) -> None:
    broken = True

    def fit(model: Any, rates: dict[str, float], seed: int, budget: Any) -> dict[str, float]:
        if broken and rates["4"] == 0.5:
            raise RuntimeError("no memory for this")
        if rates["1"] == 0.3:
            return {"loss": math.nan, "seen": 0.0}
        return bowl(model, rates, seed, budget)

    found = tune(fit, two_kinds(), metric="loss", out=tmp_path)
    assert found.rates["4"] != 0.5
    assert found.rates["1"] != 0.3
    notes = [arm.note for arm in found.arms]
    assert "failed: RuntimeError: no memory for this" in notes
    assert "diverged: loss is nan" in notes
    broken = False
    assert tune(fit, two_kinds(), metric="loss", out=tmp_path).rates["4"] == 0.5  # it was tried again


@pytest.mark.long
def test_rates_that_diverge_when_they_are_judged_are_not_taken(tmp_path: Path) -> None:
    def fit(model: Any, rates: dict[str, float], seed: int, budget: Any) -> float:
        return math.inf if seed == 5 and rates["4"] > 0.2 else -rates["4"]

    found = tune(fit, two_kinds(), out=tmp_path)
    assert found.taken == "as it was"
    assert "tuned, seed 5, diverged: figure is inf" in str(found)


@pytest.mark.long
def test_dropout_that_changes_nothing_is_not_praised(tmp_path: Path) -> None:
    """Rates have no part in the figure, noise of the trainings has: whatever the search likes is luck."""

    def fit(model: Any, rates: dict[str, float], seed: int, budget: Any) -> float:
        torch.manual_seed(hash((seed, *rates.values())) % 2**31)
        return torch.randn(()).item()

    found = tune(fit, two_kinds(), out=tmp_path)
    assert found.taken == "p = 0"
    assert {item.verdict for item in found.differences} == {"no difference was seen"}
    assert "no difference was seen" in str(found)


@pytest.mark.long
def test_a_loop_that_trains_another_model_is_noticed(tmp_path: Path) -> None:
    found = tune(lambda model, rates, seed, budget: 0.5, two_kinds(), out=tmp_path)
    assert "`fit` does not train the model that it is given" in str(found)
    assert found.taken == "p = 0"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seeds": 1}, "`seeds` must be at least 2"),
        ({"trials": 3}, "`trials` must be at least 8"),
        ({"ps": (0.0,)}, "must have a rate above 0"),
        ({"ps": (0.0, 20)}, "If 20 % was meant, pass 0.2"),
        ({"direction": "up"}, "must be 'minimize' or 'maximize'"),
        ({"metric": "accuracy"}, "must return 'accuracy', which decides. It returned loss, seen"),
        ({"metric": None}, "Pass `metric`"),
        ({"judge": "test"}, "must return 'test'"),
        ({"kinds": {"head*": "head"}}, "'head*' matches none of 1, 4"),
    ],
)
def test_options_that_cannot_be_used_are_told(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError) as error:
        tune(bowl, two_kinds(), **{"metric": "loss", "out": tmp_path, **options})
    assert said in str(error.value)


@pytest.mark.long
def test_models_and_folders_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="there must be a place for dropout"):
        tune(bowl, torch.nn.Linear(2, 2), out=tmp_path)
    with pytest.raises(TypeError, match=r"must build a torch\.nn\.Module. Got int"):
        tune(bowl, lambda: 3, out=tmp_path)  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError, match="a model, a plan, or a function"):
        tune(bowl, "net", out=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(StudyError, match=r"nothing could be trained\. p = 0, seed 0: ZeroDivisionError"):
        tune(lambda *_: 1 / 0, two_kinds(), out=tmp_path / "failing")
    with pytest.raises(StudyError, match="must return a number, or a mapping"):
        tune(lambda *_: "good", two_kinds(), out=tmp_path / "text")
    tune(bowl, two_kinds(), metric="loss", out=tmp_path / "used")
    with pytest.raises(StudyError, match="holds a study with other settings: budget was None, now 3"):
        tune(bowl, two_kinds(), metric="loss", budget=3, out=tmp_path / "used")


def noisy_task(rows: int, seed: int, noise: float) -> tuple[torch.Tensor, ...]:
    """A linear rule of 3 of 20 columns, with labels of which a share is wrong."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 20, generator=generator)
    y = x[:, :3].sum(1) > 0
    return x, (y ^ (torch.rand(rows, generator=generator) < noise)).long()


def trained(model: Any, seed: int, rows: int, noise: float) -> dict[str, float]:
    x, y = noisy_task(rows, seed, noise)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(200):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        return {
            name: functional.cross_entropy(model(x), y).item()
            for name, (x, y) in (
                ("validation", noisy_task(500, 10_000 + seed, noise)),
                ("test", noisy_task(2000, 20_000 + seed, noise)),
            )
        }


def noisy_sums(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum of 3 of 20 columns, and noise of a larger variance (4) than the sum's (3)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 20, generator=generator)
    return x, x[:, :3].sum(1, keepdim=True) + 2 * torch.randn(rows, 1, generator=generator)


def trained_on_sums(model: Any, seed: int) -> dict[str, float]:
    x, y = noisy_sums(200, seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(400):
        optimizer.zero_grad()
        functional.mse_loss(model(x), y).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        return {
            name: functional.mse_loss(model(x), y).item()
            for name, (x, y) in (
                ("validation", noisy_sums(500, 10_000 + seed)),
                ("test", noisy_sums(2000, 20_000 + seed)),
            )
        }


def overfitting() -> torch.nn.Sequential:
    layers = torch.nn.Linear(20, 128), torch.nn.ReLU(), torch.nn.Dropout(0.1)
    return torch.nn.Sequential(
        *layers, torch.nn.Linear(128, 128), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(128, 1)
    )


@pytest.mark.long
def test_where_a_network_overfits_dropout_is_found(tmp_path: Path) -> None:
    """It learns the noise of 200 rows by heart: at p = 0 its test error is 6.9, at 0.1 5.7, at 0.5 5.4."""
    found: TuneResult = tune(
        lambda model, rates, seed, budget: trained_on_sums(model, seed), overfitting, metric="validation",
        judge="test", trials=20, out=tmp_path,
    )  # fmt: skip
    assert found.taken == "tuned"
    assert min(found.rates.values()) >= 0.3
    assert found.differences[0].verdict == "better"


@pytest.mark.long
def test_where_dropout_cannot_help_none_is_claimed(tmp_path: Path) -> None:
    """A linear rule without noise, and a linear model with far more rows than columns: there is nothing to overfit."""
    found = tune(
        lambda model, rates, seed, budget: trained(model, seed, 2000, 0.0),
        lambda: torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Linear(20, 2)),
        metric="validation", judge="test", trials=16, out=tmp_path,
    )  # fmt: skip
    assert found.taken == "p = 0"
    assert not [item for item in found.differences if item.second == "p = 0" and item.verdict == "better"]
