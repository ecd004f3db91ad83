"""Whatever a table or an archive holds, `study` reads it or says in a sentence why not, and so does `predict`."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import struct
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.by_chance import fuzzed
from tests.cli.awkward import assert_an_answer_or_a_sentence, awkward_table, damaged
from typer.testing import Result

Thinned = Callable[..., Result]
pytestmark = pytest.mark.long
ALL = ("--target", "y", "--jobs", "1", "--hidden", "4")
DTYPES = ("f4", ">f8", "i1", "u8", ">i4", "f2", "g", "c8", "?", "M8[s]", "m8[D]", "U3", "S2", "V4", "O")


class ReadError(SystemExit):
    """The study has read its data, and would train now."""


@pytest.fixture
def only_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study ends where its data are read and prepared."""

    def end(*_: object, **__: object) -> None:
        raise ReadError(0)

    import_module("thinned.study.run")  # what the first call would load is no part of its minute
    monkeypatch.setattr("thinned.study.underway.Journal", end)


def arrays(chance: random.Random) -> bytes:
    """An archive of arrays of any kinds and shapes."""
    rows = chance.choice((0, 1, 30, 30, 30))

    def one() -> np.ndarray:
        shape = [rows if chance.random() < 0.95 else chance.randint(0, 3)]
        shape += [chance.randint(0, 3) for _ in range(chance.choice((0, 1, 1, 1, 2)))]
        values = np.random.default_rng(chance.randrange(99)).integers(0, 9, shape)
        kind = chance.choice(DTYPES) if chance.random() < 0.4 else chance.choice(("f4", "f8", "i8"))
        if kind == "V4":
            return np.zeros(shape, "V4")
        made = values.astype(kind)
        if made.dtype.kind == "f" and made.size and chance.random() < 0.3:
            made.flat[0] = chance.choice((np.nan, np.inf, -np.inf, np.finfo(made.dtype).max))
        return made

    names = chance.sample(("X", "a", "X_0", "[/b]", "x_train"), chance.randint(1, 3))
    named = {name: one() for name in names}
    if chance.random() < 0.9:
        named["y"] = np.arange(rows) % 2
    file = io.BytesIO()
    (np.savez_compressed if chance.random() < 0.5 else np.savez)(file, **named)  # type: ignore[arg-type]
    return file.getvalue()


def parquet(chance: random.Random) -> bytes:
    """A table in Parquet."""
    rows = chance.choice((0, 1, 30))
    columns: dict[str, object] = {
        "a": np.arange(rows) / 7,
        "b": [chance.choice((None, "u", "v")) for _ in range(rows)],
        "c": pd.Series([chance.choice((None, {"k": 1}, {"k": 2})) for _ in range(rows)], dtype=object),
        "d": pd.Series([chance.choice((None, b"x", b"\xff")) for _ in range(rows)], dtype=object),
        "e": pd.Series([[1], [], None] * rows, dtype=object)[:rows],
        "f": pd.date_range("1970", periods=rows, tz="Asia/Seoul"),
    }
    frame = pd.DataFrame({name: columns[name] for name in chance.sample(list(columns), chance.randint(1, 4))})
    file = io.BytesIO()
    frame.assign(y=np.arange(rows) % 2).to_parquet(file)
    return file.getvalue()


def idx(chance: random.Random, labels: bool) -> bytes:
    """An IDX file of 40 pictures of 3 x 3, or of their labels."""
    sizes = (40,) if labels else (40, 3, 3)
    kind = chance.choice((8, 8, 8, 9, 11, 12, 13, 14, 0, 255))
    count = int(np.prod(sizes)) * chance.choice((1, 1, 1, 4, 8))
    head = struct.pack(f">HBB{len(sizes)}I", 0, kind, len(sizes), *sizes)
    return head + bytes(chance.randrange(10) for _ in range(count))


def write(folder: Path, chance: random.Random) -> Path:
    """A file of data, or a folder of them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    match chance.randrange(10):
        case 0 | 1:
            path, content = folder / "d.npz", arrays(chance)
        case 2:
            path, content = folder / "d.parquet", parquet(chance)
        case 3 | 4:
            path = folder / "pictures"
            path.mkdir()
            for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
                content = idx(chance, "labels" in name)
                content = damaged(content, chance) if chance.random() < 0.4 else content
                packed = chance.random() < 0.3
                (path / f"{name}-ubyte{'.gz' if packed else ''}").write_bytes(
                    gzip.compress(content) if packed else content
                )
            return path
        case _:
            path, content = folder / f"d.{chance.choice(('csv', 'csv', 'tsv'))}", awkward_table(chance)
    path.write_bytes(
        damaged(content, chance) if path.suffix in (".npz", ".parquet") and chance.random() < 0.5 else content
    )
    return path


@given(seed=st.integers(0, 2**32))
@fuzzed(120)
def test_a_study_reads_it_or_says_why_not(thinned: Thinned, tmp_path: Path, only_read: None, seed: int) -> None:
    chance = random.Random(seed)
    path = write(tmp_path / "data", chance)
    options: tuple[str, ...] = ALL if path.is_file() else ALL[2:]
    if chance.random() < 0.2 and path.is_file():
        options += chance.choice((("--groups", "a"), ("--time", "a"), ("--column", "a=date"), ("--column", "b=text")))
    assert_an_answer_or_a_sentence(lambda: thinned("study", path, *options, "-o", tmp_path / "out"), tmp_path / "data")
    assert not (tmp_path / "out").exists()


@given(seed=st.integers(0, 2**32))
@fuzzed(60)
def test_a_finished_study_predicts_it_or_says_why_not(
    thinned: Thinned, regressed: tuple[Path, Result], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    path = write(tmp_path / "data", chance)
    if chance.random() < 0.6:  # a table of its columns
        rows = pd.read_parquet(regressed[0].parent / "diabetes.parquet").drop(columns="target").head(12)
        text = rows.to_csv(index=False)
        for _ in range(chance.randint(0, 3)):
            old = chance.choice(text.split(","))
            text = text.replace(old, chance.choice(("", "inf", "1e39", "x", '"', "\x00", "nan", old.strip("-"))), 1)
        content = text.encode()
        path = tmp_path / "data" / "d.csv"
        path.write_bytes(damaged(content, chance, 1) if chance.random() < 0.4 else content)
    assert_an_answer_or_a_sentence(
        lambda: thinned("predict", regressed[0], path, "--n", "4", "-o", tmp_path / "p.csv"), tmp_path / "data"
    )
