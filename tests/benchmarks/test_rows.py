"""The commands measure what they say and keep it: at tiny sizes, and never how fast."""

from __future__ import annotations

import importlib.util
import itertools
import os
from pathlib import Path

import pytest
import torch

from thinned.noise.kernel import instruction_sets, kernel

from .run import read, run

MEASURED = ("date", "cpu", "instruction_set", "torch", "threads", "dtype", "p", "elements", "what", "pass")
IN_CACHE = 65536  # where each instruction set has a row
ALWAYS = {"copy_", "clone", "torch.nn.Dropout", "thinned.nn.Dropout"}
FORWARD = {"thinned.nn.Dropout, in place", "thinned.ops.drop, out="}
ARRAYS = {"NumPy mask", "thinned.noise.drop", "thinned.noise.drop, out="}


@pytest.fixture(scope="module")
def tensors(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("results") / "new" / "cpu.csv"
    sizes = ("--sizes", 64, IN_CACHE)
    return path, run("dropout", *sizes, "--threads", 1, "--p", 0.25, "--seconds", 0.01, "--csv", path)


def test_every_setting_has_its_contenders(tensors: tuple[Path, str]) -> None:
    alone = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) == 1
    jax = {"JAX"} if alone and importlib.util.find_spec("jax") else set()
    found: dict[tuple[str, ...], list[str]] = {}
    for row in read(tensors[0]):
        assert (row["threads"], row["p"], row["torch"]) == ("1", "0.25", torch.__version__)
        found.setdefault((row["dtype"], row["elements"], row["pass"]), []).append(row["what"])
    settings = itertools.product(("float32", "bfloat16"), ("64", str(IN_CACHE)), ("forward", "forward+backward"))
    assert list(found) == list(settings)
    for (dtype, size, which), names in found.items():
        wanted = ALWAYS | jax
        if which == "forward":
            wanted = wanted | FORWARD | (ARRAYS if dtype == "float32" else set())
            wanted |= {f"kernel, {name}" for name in instruction_sets} if size == str(IN_CACHE) else set()
        assert sorted(names) == sorted(wanted)
    assert ("JAX has no row for 1 thread(s): not " in tensors[1]) == (not jax)


def test_ratios_are_those_of_the_times_beside_them(tensors: tuple[Path, str]) -> None:
    rows = read(tensors[0])
    assert list(rows[0]) == [*MEASURED, "ns_per_element", "ratio_to_copy", "ratio_to_torch"]
    for name, column in (("copy_", "ratio_to_copy"), ("torch.nn.Dropout", "ratio_to_torch")):
        setting = ("dtype", "elements", "pass")
        against = {tuple(row[k] for k in setting): float(row["ns_per_element"]) for row in rows if row["what"] == name}
        for row in rows:
            ratio = float(row["ns_per_element"]) / against[tuple(row[k] for k in setting)]
            assert float(row[column]) == pytest.approx(ratio, rel=2e-3)  # four digits of each are kept


def test_a_bare_kernel_s_row_names_its_instruction_set(tensors: tuple[Path, str]) -> None:
    default = kernel.instruction_set or "none"
    for row in read(tensors[0]):
        kind, _, name = row["what"].partition(", ")
        assert row["instruction_set"] == (name if kind == "kernel" else default)


def test_runs_follow_each_other_and_a_quick_look_is_not_kept(tensors: tuple[Path, str], tmp_path: Path) -> None:
    first, _ = tensors
    path = tmp_path / "cpu.csv"
    path.write_text(first.read_text())
    small = ("--sizes", 64, "--threads", 1, "--seconds", 0.01, "--p", 0.5)
    kept = Path(__file__).parents[2] / "benchmarks" / "results" / "cpu.csv"
    before = kept.read_bytes() if kept.exists() else None
    run("dropout", "--quick", *small)
    assert (kept.read_bytes() if kept.exists() else None) == before
    run("dropout", "--quick", *small, "--csv", path)
    assert path.read_text().startswith(first.read_text())
    dates = [row["date"] for row in read(path)]
    assert dates == sorted(dates)
    assert len(set(dates)) == 2


def test_rows_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cpu.csv"
    path.write_text("date,speed\n2026-01-01,fast\n")
    small = ("--sizes", 64, "--threads", 1, "--seconds", 0.01, "--p", 0.5)
    with pytest.raises(ValueError, match=r"rows must have the columns \['date', 'speed'\]"):
        run("dropout", "--quick", *small, "--csv", path)
    assert path.read_text() == "date,speed\n2026-01-01,fast\n"


@pytest.mark.long
def test_a_training_step_with_each_kind_of_dropout(tmp_path: Path) -> None:
    path = tmp_path / "training.csv"
    run("training", "--batch", 2, "--threads", 1, "--seconds", 0.01, "--csv", path)
    rows = read(path)
    models = ("MLP", "CNN", "transformer layer", "LSTM language model")
    kinds = ("none", "torch.nn.Dropout", "thinned.nn.Dropout")
    assert [(row["model"], row["dropout"]) for row in rows] == list(itertools.product(models, kinds))
    for start in range(0, len(rows), len(kinds)):
        without, *_ = times = [float(row["ms_per_step"]) for row in rows[start : start + len(kinds)]]
        for row, time in zip(rows[start:], times, strict=False):
            assert float(row["share"]) == pytest.approx(1 - without / time, abs=2e-3)


@pytest.mark.long
def test_networks_are_trained_together_and_apart(tmp_path: Path) -> None:
    path = tmp_path / "stack.csv"
    printed = run("stack", "--seconds", 0.01, "--csv", path)
    rows = read(path)
    assert [(row["network"], row["networks"]) for row in rows] == [
        *(("13-128-128-3", number) for number in ("1", "10", "20", "40")),
        *(("784-256-256-10", number) for number in ("1", "4")),
    ]
    for row in rows:
        assert float(row["ratio"]) == pytest.approx(float(row["separate_us"]) / float(row["stack_us"]), rel=2e-3)
        assert f" {row['ratio']} times as fast" in printed
