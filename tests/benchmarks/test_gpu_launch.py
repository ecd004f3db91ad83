"""The benchmark of a launch reaches the launcher, once a pass, and records what it measured."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("triton", "3.7", reason="needs Triton 3.7 or newer, which is for Linux")

from benchmarks import gpu_launch

from .run import read, run


def test_every_call_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    honest = gpu_launch.Nothing._launch

    def counted(self: gpu_launch.Nothing, *arguments: object, **options: object) -> gpu_launch.Nothing:
        made.append(len(arguments))
        return honest(self, *arguments, **options)

    monkeypatch.setattr(gpu_launch.Nothing, "_launch", counted)
    with gpu_launch.launching_nothing():
        for (name, call), launches in zip(gpu_launch.calls().items(), (0, 0, 1, 2), strict=True):
            for _ in range(3):
                made.clear()
                call()
                assert len(made) == launches, name


def test_a_run(tmp_path: Path) -> None:
    printed = run("gpu_launch", "--seconds", 0, "--csv", tmp_path / "launch.csv")
    rows = read(tmp_path / "launch.csv")
    assert [row["what"] for row in rows] == [gpu_launch.ON_CPU, *gpu_launch.calls()]
    assert all(float(row["us_per_call"]) > 0 for row in rows)
    assert "goal: thinned.nn.Dropout, forward, at most 12 us: " in printed
