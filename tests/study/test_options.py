"""What a caller can choose, and how a wrong choice is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from thinned.study import StudyError, extras
from thinned.study.answer.metric import METRICS
from thinned.study.options import METRIC_NAMES, StudyOptions, numbers, seconds_of, sizes_of


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": -1}, "`--seed` must be a whole number, 0 or more. Got -1."),
        ({"seed": 2**63}, "`--seed` must be a whole number"),
        ({"seeds": 1}, "`--seeds` must be at least 2: one run can't tell an effect from luck. Got 1."),
        ({"ps": (0.1, 1.0)}, "`--p` must be a drop probability in [0, 1). Got 1.0."),
        ({"ps": (30.0,)}, "`--p` must be a drop probability in [0, 1). Got 30.0. If 30 % was meant, pass 0.3."),
        ({"ps": (float("nan"),)}, "`--p` must be a drop probability"),
        ({"ps": (0.0,)}, "`--p` must be at least one rate above 0 to compare with 0. Got 0."),
        ({"ps": ()}, "`--p` must be at least one rate above 0 to compare with 0. Got none."),
        ({"lrs": (0.01, 0.0)}, "`--lr` must be a positive number. Got 0.0."),
        ({"lrs": (float("inf"),)}, "`--lr` must be a positive number. Got inf."),
        ({"lrs": (1e-320,)}, "`--lr` must be between 1e-10 and 100: a step of AdamW"),
        ({"lrs": (0.01, 1e10)}, "`--lr` must be between 1e-10 and 100: a step of AdamW"),
        ({"lrs": (float("nan"),)}, "`--lr` must be a positive number. Got nan."),
        ({"ps": (1e-320,)}, "`--p` must be 0, or between 1e-06 and 1 - 1e-06."),
        ({"ps": (1 - 1e-12,)}, "`--p` must be 0, or between 1e-06 and 1 - 1e-06."),
        ({"weight_decays": (1e300,)}, "`--weight-decay` must be between 1e-10 and 10000. Got 1e+300."),
        ({"weight_decays": (5e-324,)}, "`--weight-decay` must be between 1e-10 and 10000."),
        ({"seeds": 10**9}, "`--seeds` must be at most 10,000."),
        ({"jobs": 10**6}, "`--jobs` must be at most 1,024."),
        ({"epochs": 10**18}, "`--epochs` must be at most 10,000,000."),
        ({"budget": float("inf")}, "`--budget` must be a time of a year at most."),
        ({"out": Path("caf\udce9")}, "`--out` must be a name in UTF-8. Got caf\\udce9. Rename it."),
        ({"test": Path("caf\udce9.csv")}, "`--test` must be a name in UTF-8."),
        ({"target": "caf\udce9"}, "`--target` must be a name in UTF-8."),
        ({"weight_decays": (0.0,)}, "`--weight-decay` must be a positive number; 0 is always tried. Got 0.0."),
        ({"epochs": 0}, "`--epochs` must be at least 1. Got 0."),
        ({"hidden": ()}, "`--hidden` must be units of each hidden layer, 1 or more. Got none."),
        ({"hidden": (64, 0)}, "`--hidden` must be units of each hidden layer, 1 or more. Got 64, 0."),
        ({"train_rows": 1}, "`--train-rows` must be at least 2. Got 1."),
        ({"jobs": 0}, "`--jobs` must be at least 1. Got 0."),
        ({"ray_cpus": 0.0}, "`--ray-cpus` must be a fraction of one, 0.0001 or more, or a whole number. Got 0.0."),
        ({"ray_gpus": 1.5}, "`--ray-gpus` must be 0, a fraction of one, 0.0001 or more, or a whole number. Got 1.5."),
        ({"ray": "auto", "jobs": 2}, "`--jobs` must be left out with --ray, where the cluster's room"),
        ({"log": "wandb"}, "`--log` must be one of mlflow, tensorboard. Got wandb."),
        (
            {"metric": "accuracy"},
            "`--metric` must be one of error, nll, brier, balanced-error, auc, f1, perplexity, rmse,",
        ),
        ({"budget": 0.0}, "`--budget` must be a time above 0, as 90s, 10m or 1h30m. Got 0.0."),
        ({"groups": "a", "time": "b"}, "which rows are tested on. Got --time with --groups."),
        ({"time": "b", "test": Path("c.csv")}, "it decides which rows are tested on. Got --time with --test."),
    ],
)
def test_a_wrong_choice_is_told(given: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError) as told:
        StudyOptions(**given)
    assert message in str(told.value)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"seed": 2**63 - 1, "seeds": 2, "ps": (0.0, 0.999), "lrs": (1e-9,), "epochs": 1, "hidden": (1,)},
        {"train_rows": 2, "budget": 0.001, "metric": "mae", "groups": "a", "test": Path("c.csv")},
    ],
)
def test_the_ends_of_what_is_allowed(given: dict[str, Any]) -> None:
    StudyOptions(**given)


def test_every_metric_can_be_named() -> None:
    for task, names in METRIC_NAMES.items():
        assert set(names) == {name for name, metric in METRICS.items() if metric.task == task}


@pytest.mark.parametrize(
    ("texts", "found"),
    [(["0.1"], (0.1,)), (["0.1,0.2"], (0.1, 0.2)), (["0.1, 0.2,", "5e-1"], (0.1, 0.2, 0.5)), ([","], ())],
)
def test_numbers_one_by_one_or_with_commas(texts: list[str], found: tuple[float, ...]) -> None:
    assert numbers("--p", texts) == found


def test_what_is_no_number_is_told_with_its_option() -> None:
    with pytest.raises(StudyError, match=r"`--lr` must be numbers, as 0.1 or 0.1,0.2. Got '0.1 high'."):
        numbers("--lr", ["0.1", "high"])


def test_sizes() -> None:
    assert sizes_of("256") == (256,)
    assert sizes_of("256, 128") == (256, 128)
    for text in ("", "big", "1.5", "2,,3"):
        with pytest.raises(StudyError, match="`--hidden` must be whole numbers with commas between"):
            sizes_of(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), (" 1m5s ", 65)]
)
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10 m", "-5", "5m1h", "1d"])
def test_what_is_no_duration_is_told(text: str) -> None:
    with pytest.raises(StudyError, match="`--budget` must be a time, as 90s, 10m or 1h30m"):
        seconds_of(text)


def test_a_missing_extra_is_named_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"ray": "auto"}, "`--ray` needs Ray, which is not installed. Run pip install 'thinned[ray]'."),
        ({"log": "mlflow"}, "`--log mlflow` needs MLflow, which is not installed. Run pip install 'thinned[mlflow]'."),
    ]
    for given, message in cases:
        with pytest.raises(StudyError) as told:
            StudyOptions(**given)
        assert str(told.value) == message
