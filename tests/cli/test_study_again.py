"""The same command on a finished study: nothing is trained or fitted again, and the answer is the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.cli.finished import OPTIONS, numbers
from typer.testing import CliRunner

from thinned.cli.app import app
from thinned.study import other_models
from thinned.study.trial.baseline import Answers, baselines
from thinned.study.trial.fold import Fold


@pytest.mark.long
def test_a_finished_study_fits_no_other_model_again(
    finished: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    fitted: list[Fold] = []

    def fit(fold: Fold, like: Answers | None) -> list[Answers]:
        fitted.append(fold)
        return baselines(fold, like)

    monkeypatch.setattr(other_models, "baselines", fit)
    command = ["study", str(rows), *OPTIONS, "--jobs", "1", "-o", str(out)]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert not fitted
    assert numbers(out) == numbers(finished)
    assert (out / "report.html").read_bytes() == (finished / "report.html").read_bytes()
    (out / "others" / "seed-1.npz").write_bytes(b"damaged")
    result = CliRunner().invoke(app, command)
    assert "seed-1.npz is damaged" in " ".join(result.output.split())
    assert len(fitted) == 1
    assert numbers(out) == numbers(finished)
