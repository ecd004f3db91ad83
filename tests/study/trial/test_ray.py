"""Trials on a Ray cluster of two nodes: the record of local processes, whatever becomes of a node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.cli.finished import OPTIONS, numbers

from thinned.study import StudyError, run_study
from thinned.study.ray_cluster import connected_to_ray
from thinned.study.trial.config import Level, Recipe, Unit
from thinned.study.trial.engine import Failed
from thinned.study.trial.fold import Fold
from thinned.study.trial.pool import Pool
from thinned.study.trial.ray_tasks import RayTasks
from thinned.study.underway import Progress

pytest.importorskip("ray", reason="Ray is not installed: pip install 'thinned[ray]'")
pytestmark = [pytest.mark.frameworks, pytest.mark.xdist_group("ray")]  # one cluster, by one worker

MAIN = "from thinned.cli import main\nif __name__ == '__main__':\n    main()\n"
TINY: dict[str, Any] = {"target": "y", "hidden": (4,), "epochs": 2, "seeds": 2, "ps": [0.3], "weight_decays": [0.5]}
TINY |= {"lrs": [0.01], "chapters": "none"}
RECIPE = Recipe(0, (4,), 4, 100)
UNITS = [Unit(Level("dropout", p), (0.1,), (0, 1)) for p in (0.0, 0.1, 0.2, 0.3)]
BAD = UNITS[1]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """520 rows of two numbers and a class."""
    x = np.random.default_rng(0).normal(size=(520, 2))
    path = tmp_path_factory.mktemp("rows") / "data.csv"
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.where(x[:, 0] > 0, "up", "down")}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def finished(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study by this process alone."""
    out = tmp_path_factory.mktemp("finished") / "out"
    run_study(rows, out=out, **TINY)
    return out


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head with one CPU; tests add the second node."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        yield made
    finally:
        made.shutdown()


@pytest.fixture
def second(cluster: Any) -> Iterator[Any]:
    """The second node. It may be killed."""
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    try:
        yield node
    finally:
        if node in cluster.list_all_nodes():
            cluster.remove_node(node)


def arrays(out: Path) -> dict[str, bytes]:
    """What every network answered."""
    return {path.name: path.read_bytes() for path in (out / "arrays").iterdir()}


def test_a_study_that_loses_a_node_has_the_record_of_local_processes(
    rows: Path, finished: Path, cluster: Any, second: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:

    def watch(step: Progress) -> None:
        if step.done and second in cluster.list_all_nodes():
            cluster.remove_node(second, allow_graceful=False)

    before = signal.getsignal(signal.SIGTERM)
    study = run_study(rows, out=tmp_path / "out", ray=cluster.address, ray_cpus=0.5, watch=watch, **TINY)
    assert second not in cluster.list_all_nodes()
    assert capfd.readouterr().out == ""
    assert signal.getsignal(signal.SIGTERM) == before
    assert study.failures == []
    assert study.complete
    assert numbers(tmp_path / "out") == numbers(finished)
    assert arrays(tmp_path / "out") == arrays(finished)


def test_sigterm_keeps_what_is_finished_and_processes_go_on(rows: Path, cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(MAIN)
    command: list[str | Path] = [sys.executable, tmp_path / "main.py", "study", rows, *OPTIONS, "-o", tmp_path / "out"]
    process = subprocess.Popen(
        [*command, "--ray", cluster.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 300
    while len(list((tmp_path / "out").glob("arrays/*"))) < 2:  # the first of them is in the record
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    printed, said = process.communicate()
    assert process.returncode == 143, said
    assert "raylet" not in printed + said
    assert "Go on with: thinned study" in said
    assert "Traceback" not in said
    begun = arrays(tmp_path / "out")
    ended = subprocess.run([*command, "--jobs", "1"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert begun.items() <= arrays(tmp_path / "out").items()


def die_or_refuse(unit: Unit, folds: Mapping[int, Fold], recipe: Recipe) -> tuple[float, list[float], bool]:
    if unit == BAD:
        os.kill(os.getpid(), signal.SIGKILL)
    if unit == UNITS[2]:
        raise OSError(28, "No space left on device")
    first = [fold.x_train for fold in folds.values()]
    return unit.level.p, [float(x[0, 0]) for x in first], all(x.flags.writeable for x in first)


def test_what_a_unit_does_to_its_process_is_its_own_failure(cluster: Any, second: Any) -> None:
    rows = np.arange(3)
    x = [np.full((3, 2), seed, dtype=np.float32) for seed in (0, 1)]
    folds = {seed: Fold(own, rows, own, rows, own, rows, rows, rows, 3) for seed, own in enumerate(x)}
    with connected_to_ray(cluster.address, 1, 0), Pool(folds, RECIPE, 1, RayTasks(folds, RECIPE, 1, 0)) as pool:
        found = dict(pool.map(die_or_refuse, UNITS))
        killed, refused = found.pop(BAD), found.pop(UNITS[2])
        assert isinstance(killed, Failed)
        assert killed.reason == "its process was ended from outside, 3 times: killed, or out of memory"
        assert refused == Failed(UNITS[2], "OSError: [Errno 28] No space left on device")
        assert found == {unit: (unit.level.p, [0.0, 1.0], True) for unit in (UNITS[0], UNITS[3])}
        assert list(pool.map(die_or_refuse, UNITS, deadline=time.monotonic())) == []


def test_a_node_with_other_packages_ends_the_study(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folds: dict[int, Fold] = {}
    unit = Unit(Level("dropout"), (0.1,), ())
    with connected_to_ray(cluster.address, 1, 0):
        engine = RayTasks(folds, RECIPE, 1, 0)
        engine._versions |= {"torch": "1.0"}
        with (
            Pool(folds, RECIPE, 1, engine) as pool,
            pytest.raises(StudyError, match=r"node \S+ has torch .*, not 1\.0"),
        ):
            list(pool.map(die_or_refuse, [unit]))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "local", "ray://127.0.0.1:10001"])
def test_an_address_without_a_cluster_is_refused_at_once(rows: Path, tmp_path: Path, address: str) -> None:
    with pytest.raises(StudyError, match=r"`--ray` must .*Got '.*Start one with `ray start --head`"):
        run_study(rows, out=tmp_path / "out", ray=address, **TINY)
    assert not (tmp_path / "out").exists()
