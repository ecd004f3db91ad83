"""Each metric against scikit-learn for its value, and against the jackknife for its scatter."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn import metrics

from thinned.study.answer.interval import interval
from thinned.study.answer.metric import FURTHEST, METRICS, SUREST

CLASSES = [name for name, metric in METRICS.items() if metric.task == "classification"]
NUMBERS = [name for name, metric in METRICS.items() if metric.task == "regression"]
SCALE = 3.5


def sample(name: str, rows: int, classes: int = 3) -> tuple[NDArray[np.float64], NDArray[np.generic]]:
    rng = np.random.default_rng(0)
    if METRICS[name].task == "regression":
        y = rng.normal(size=rows)
        return (y + 0.5 * rng.normal(size=rows))[:, None], y
    labels = rng.choice(classes, size=rows, p=np.array([0.6, 0.3, 0.1])[:classes] / sum([0.6, 0.3, 0.1][:classes]))
    return 1.2 * np.eye(classes)[labels] + rng.normal(size=(rows, classes)), labels


def reference(name: str, output: NDArray[np.float64], y: NDArray[np.generic]) -> float:
    if name == "rmse":
        return float(SCALE * metrics.mean_squared_error(y, output[:, 0]) ** 0.5)
    if name == "mae":
        return float(SCALE * metrics.mean_absolute_error(y, output[:, 0]))
    p = np.exp(log_softmax(output, axis=1))
    called = output.argmax(axis=1)
    return float(
        {
            "error": lambda: 1 - metrics.accuracy_score(y, called),
            "nll": lambda: metrics.log_loss(y, p),
            "brier": lambda: ((p - np.eye(p.shape[1])[y.astype(int)]) ** 2).sum(axis=1).mean(),
            "balanced-error": lambda: 1 - metrics.balanced_accuracy_score(y, called),
            "auc": lambda: 1 - metrics.roc_auc_score(y, p[:, 1] if p.shape[1] == 2 else p, multi_class="ovr"),
            "f1": lambda: 1 - metrics.f1_score(y, called, average="macro"),
            "perplexity": lambda: np.exp(metrics.log_loss(y, p)),
        }[name]()
    )


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", METRICS)
def test_its_mean_is_the_metric(name: str, classes: int) -> None:
    output, y = sample(name, 200, classes)
    assert METRICS[name].rows(output, y, SCALE).mean() == pytest.approx(reference(name, output, y), rel=1e-9)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", METRICS)
def test_its_scatter_is_the_jackknifes(name: str, classes: int) -> None:
    output, y = sample(name, 150, classes)
    found = METRICS[name].rows(output, y, SCALE).std(ddof=1) / 150**0.5
    every = np.arange(150)
    rest = [every != i for i in every]
    left_out = np.array([METRICS[name].rows(output[others], y[others], SCALE).mean() for others in rest])
    jackknife = (149 / 150 * ((left_out - left_out.mean()) ** 2).sum()) ** 0.5
    # the two differ by terms of order 1 / n_c, and the rarest class has some 15 rows
    assert found == pytest.approx(jackknife, rel=1 / 15)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_answer_that_is_no_number_is_the_worst_there_is(name: str, bad: float) -> None:
    output, y = sample(name, 60)
    output[:, :] = bad
    rows = METRICS[name].rows(output, y)
    assert np.isfinite(rows).all()
    assert rows.mean() == pytest.approx({"nll": SUREST, "brier": 2.0, "perplexity": np.exp(SUREST)}.get(name, 1.0))


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_is_none_is_as_far_off_as_counts(name: str) -> None:
    y = np.zeros(5)
    for bad in (np.nan, np.inf, -np.inf, 1e30):
        rows = METRICS[name].rows(np.full((5, 1), bad), y, SCALE)
        assert rows == pytest.approx(np.full(5, FURTHEST * SCALE))


def test_a_log_probability_of_zero_is_no_failure() -> None:
    output = np.log(np.array([[1.0, 1e-300], [0.5, 0.5]]))
    output[0, 1] = -np.inf
    assert METRICS["error"].rows(output, np.array([0, 0])).tolist() == [0.0, 0.0]
    assert METRICS["nll"].rows(output, np.array([1, 0])) == pytest.approx([SUREST, np.log(2)])


def test_ties_count_half_in_an_auc() -> None:
    rows = METRICS["auc"].rows(np.zeros((6, 2)), np.array([0, 0, 1, 1, 1, 0]))
    assert rows == pytest.approx(np.full(6, 0.5))


def test_an_auc_of_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"of two classes at least. Got class \[1\] alone"):
        METRICS["auc"].rows(np.zeros((4, 2)), np.ones(4, dtype=np.int64))


def test_classes_without_rows_are_left_out() -> None:
    output, y = sample("error", 100, 2)
    wider = np.hstack([output, np.full((100, 1), -50.0)])
    for name in ("balanced-error", "f1"):
        assert METRICS[name].rows(wider, y) == pytest.approx(METRICS[name].rows(output, y))


def test_an_rmse_of_zero_is_an_error_of_zero() -> None:
    assert (METRICS["rmse"].rows(np.ones((4, 1)), np.ones(4)) == 0).all()


def test_rows_of_a_balanced_set_count_one_by_one() -> None:
    assert METRICS["auc"].bounds(np.array([0, 1] * 50)).rows == pytest.approx(100)
    assert METRICS["auc"].bounds(np.array([0] * 90 + [1] * 10)).rows == pytest.approx(36)
    assert METRICS["error"].bounds(np.array([0] * 90 + [1] * 10)).rows is None


def test_no_perplexity_is_below_one() -> None:
    values = np.array([[1.0, 1.4, 1.0, 1.2], [1.0, 3.0, 1.0, 1.1]])
    found = interval([values], METRICS["perplexity"].bounds(np.zeros(4)))
    assert 1 == found.low < found.value < found.high
    assert interval([np.full((2, 50), 2.0)], METRICS["perplexity"].bounds(np.zeros(50))).low > 1
