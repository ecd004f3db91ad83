"""Outcomes of runs, made from a seed: a journal looks at no number."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from thinned.study.trial.config import Config, Level, Unit
from thinned.study.trial.outcome import Figures, Measured, Outcome

Made = Callable[[Unit], list[Outcome]]


def _outcome(config: Config) -> Outcome:
    rng = np.random.default_rng([config.seed, round(config.lr * 1e9), round(config.level.p * 1e6)])
    points = int(rng.integers(0, 5))
    rows = int(rng.integers(3, 9))
    curve = tuple(Measured(10 * step, *rng.random(6).tolist()) for step in range(points))
    train, val = (Figures(*rng.random(3).tolist()) for _ in range(2))
    val_output, test_output = (rng.normal(size=(size, 3)).astype(np.float32) for size in (rows, 4))
    return Outcome(config, 10, 30, "converged", curve, train, val, val_output, test_output, float(rng.random()))


@pytest.fixture(scope="session")
def made() -> Made:
    """A unit's outcomes."""
    return lambda unit: [_outcome(config) for config in unit.configs()]


@pytest.fixture
def units() -> list[Unit]:
    return [
        Unit(Level("dropout", 0.5), (0.001, 0.003), (0, 1, 2)),
        Unit(Level("both", 0.1 + 0.2, 0.5, 0.2), (1e-5,), (0,)),
    ]


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a database on a PostgreSQL server that is started for the tests, without a network."""
    pytest.importorskip("psycopg", reason="psycopg, the driver for PostgreSQL, is not installed")
    found = shutil.which("initdb") or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None
    )
    if found is None:
        pytest.skip("initdb, which makes a PostgreSQL server, is not on this machine")
    programs = Path(found).resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="thinned-pg-"))  # a socket's path has at most 107 characters
    user = None
    if os.getuid() == 0:  # the server refuses to run as root
        user = "postgres" if subprocess.run(["id", "postgres"], capture_output=True).returncode == 0 else "nobody"
        shutil.chown(folder, user)

    def call(*arguments: str) -> None:
        subprocess.run(arguments, user=user, check=True, stdout=subprocess.DEVNULL, cwd=folder, timeout=60)

    data = str(folder / "data")
    try:
        call(str(programs / "initdb"), "-D", data, "-A", "trust", "-U", "thinned", "--no-sync")
        control = str(programs / "pg_ctl")
        options = f"-c listen_addresses='' -k {folder}"
        call(control, "-D", data, "-w", "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql://thinned:secret@/postgres?host={folder}"
        finally:
            call(control, "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)
