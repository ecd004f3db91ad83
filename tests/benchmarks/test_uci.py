"""The UCI protocol, on a small real set in the published format."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_diabetes

from benchmarks import uci

from .run import read, run, write

SPLITS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Diabetes, 442 x 10, under the name of one of the sets."""
    place = tmp_path_factory.mktemp("sets")
    data = load_diabetes(scaled=False)
    lines = [" ".join(f"{value:g}" for value in (*row, y)) for row, y in zip(data.data, data.target, strict=True)]
    files = {"data": lines, "index_features": [str(column) for column in range(10)], "index_target": ["10"]}
    for split in range(SPLITS):
        order = torch.randperm(442, generator=torch.Generator().manual_seed(split)).tolist()
        files[f"index_train_{split}"], files[f"index_test_{split}"] = ([f"{row}" for row in order[:400]], [])
        files[f"index_test_{split}"] = [f"{row:.18e}" for row in order[400:]]  # as NumPy writes them
    (place / "yacht").mkdir()
    for name, content in files.items():
        (place / "yacht" / f"{name}.txt").write_text("\n".join(content))
    return place


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uci, "SPLITS", SPLITS)
    monkeypatch.setattr(uci, "INNER", 10)


@pytest.mark.long
@pytest.mark.usefixtures("small")
def test_a_set_is_run_and_resumed(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "uci.csv"
    command = ("uci", folder, "--sets", "yacht", "--epochs", 8, "--samples", 40, "--csv", path)
    assert "yacht: 400 training rows of 10 features" in run(*command)
    rows = read(path)
    assert [(row["set"], row["split"]) for row in rows] == [("yacht", "0"), ("yacht", "1")]
    deviation = float(load_diabetes().target.std())
    for row in rows:
        assert float(row["p"]) in uci.RATES
        assert 0.5 * deviation < float(row["rmse"]) < 1.1 * deviation
        assert -7.0 < float(row["log_likelihood"]) < -5.0  # a normal of the targets' deviation has -5.76
        assert float(row["sigma"]) > 20.0
    # Interrupted after the first split: the second is what it was.
    write(path, rows[:1])
    run(*command)
    again = read(path)
    changing = ("date", "seconds")
    assert [{k: row[k] for k in row if k not in changing} for row in again] == [
        {k: row[k] for k in row if k not in changing} for row in rows
    ]
    assert "yacht: recorded before" in run(*command)
    assert read(path) == again
    with pytest.raises(SystemExit):
        run("uci", folder, "--sets", "energy", "--csv", path)


@pytest.mark.usefixtures("small")
def test_networks_of_a_batch_know_nothing_of_each_other(folder: Path) -> None:
    data = [(split.x, split.y) for split in uci.splits(folder / "yacht")]
    alone = uci.train(data, [(0.1, 0)], 3, seed=1)
    among = uci.train(data, [(0.1, 1), (0.0, 1), (0.1, 0), (0.5, 0)], 3, seed=1)
    x = data[1][0]
    for fitted in (alone, among):
        torch.testing.assert_close(fitted.features((0.1, 0), data[0][0]).mean(0), torch.zeros(10), atol=1e-5, rtol=0)
    one, other = alone.network((0.1, 0)), among.network((0.1, 0))
    torch.testing.assert_close(one(x), other(x), rtol=1e-3, atol=1e-2)  # products of other batches round differently
    assert other[0].p == 0.1
    assert not torch.allclose(one(x), among.network((0.1, 1))(x), rtol=1e-2, atol=0.1)
    # In the targets' unit, about their mean.
    outputs = among.network((0.0, 1))(among.features((0.0, 1), x))
    assert float(outputs.detach().mean()) == pytest.approx(float(data[1][1].mean()), rel=0.2)
