"""The GPU's benchmark: where it refuses, what it records, and what the page makes of it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from .run import ROOT, read, run, write

PAGE = ROOT / "docs" / "design" / "performance.md"
COLUMNS = ("date", "gpu", "cpu", "torch", "dtype", "p", "elements", "what", "pass", "ns_per_element")
CONTENDERS = ["copy_", "clone", "torch.nn.Dropout", "thinned.nn.Dropout"]
GPU = torch.cuda.is_available()


@pytest.mark.skipif(GPU, reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"needs an NVIDIA GPU. Got torch\.cuda\.is_available\(\) = False"):
        run("gpu", "--csv", tmp_path / "gpu.csv")
    assert not (tmp_path / "gpu.csv").exists()


@pytest.mark.skipif(not GPU, reason="needs an NVIDIA GPU: torch.cuda.is_available() is False")
def test_every_setting_has_its_contenders(tmp_path: Path) -> None:
    path = tmp_path / "gpu.csv"
    run("gpu", "--quick", "--sizes", 1000, 2**16, "--p", 0.25, "--seconds", 0.01, "--csv", path)
    rows = read(path)
    assert list(rows[0]) == [*COLUMNS, "ratio_to_copy", "ratio_to_torch"]
    settings = itertools.product(("float32", "bfloat16"), ("1000", "65536"), ("forward", "forward+backward"))
    wanted = [(*setting, what) for setting in settings for what in CONTENDERS]
    assert [(row["dtype"], row["elements"], row["pass"], row["what"]) for row in rows] == wanted
    for start in range(0, len(rows), len(CONTENDERS)):
        copy, _, theirs, _ = chosen = rows[start : start + len(CONTENDERS)]
        for row in chosen:
            for against, column in ((copy, "ratio_to_copy"), (theirs, "ratio_to_torch")):
                ratio = float(row["ns_per_element"]) / float(against["ns_per_element"])
                assert float(row[column]) == pytest.approx(ratio, rel=2e-3)
    assert {row["gpu"] for row in rows} == {torch.cuda.get_device_name()}


def test_the_recorded_run_is_whole() -> None:
    """Every size, type, rate and pass, with a copy beside it."""
    rows = read(ROOT / "benchmarks" / "results" / "gpu.csv")
    found = {(row["dtype"], row["p"], row["elements"], row["pass"], row["what"]) for row in rows}
    sizes = [str(2**k) for k in range(10, 29, 2)] + [str(64 * 512 * 768)]
    passes = ("forward", "forward+backward")
    assert found >= set(itertools.product(("float32", "bfloat16"), ("0.1", "0.5"), sizes, passes, CONTENDERS))


def test_the_page_follows_a_run(tmp_path: Path) -> None:
    page, path = tmp_path / "performance.md", tmp_path / "gpu.csv"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    first = {"date": "2026-01-01", "gpu": "NVIDIA G", "cpu": "a CPU", "torch": "2.0", "dtype": "float32"}
    times = {"copy_": 2.0, "clone": 2.5, "torch.nn.Dropout": 6.0, "thinned.nn.Dropout": 120.0}
    rows = [
        {**first, "p": p, "elements": size, "what": what, "pass": which, "ns_per_element": f"{time}"}
        | {"ratio_to_copy": f"{time / 2.0}", "ratio_to_torch": f"{time / 6.0}"}
        for p, size, which, (what, time) in itertools.product(
            ("0.1", "0.5"), ("1024", "4096"), ("forward", "forward+backward"), times.items()
        )
    ]
    write(path, rows)
    with pytest.raises(SystemExit, match="is not what the last run says"):
        run("page", "--check", "--gpu", path, "--page", page)
    run("page", "--gpu", path, "--page", page)
    run("page", "--check", "--gpu", path, "--page", page)
    text = page.read_text(encoding="utf-8")
    section = text.partition("<!-- gpu:")[2].partition("<!-- end of gpu")[0]
    assert "2026-01-01 UTC; NVIDIA G, in a machine with a CPU; torch 2.0." in section
    for line in (
        "| `copy_` | 2 | 2 |",
        "| thinned.nn.Dropout, p = 0.5 | 120 | 120 |",
        "| **thinned.nn.Dropout against torch.nn.Dropout, p = 0.1** | 0.05x | 0.05x |",
        "| **torch.nn.Dropout, in copies, p = 0.5** | 3 | 3 |",
    ):
        assert section.count(line) == 2  # passes
