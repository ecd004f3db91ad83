"""IDX folders, from files written here."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from thinned.study.data.dataset import StudyError
from thinned.study.data.idx import idx_folder


def write(folder: Path, part: str, pixels: NDArray[np.uint8], labels: NDArray[np.uint8], packed: bool) -> None:
    for name, values in ((f"{part}-images-idx3-ubyte", pixels), (f"{part}-labels-idx1-ubyte", labels)):
        content = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    pixels = np.arange(12 * 2 * 3, dtype=np.uint8).reshape(12, 2, 3)
    labels = np.arange(12, dtype=np.uint8) % 3
    write(tmp_path, "train", pixels[:8], labels[:8], request.param)
    write(tmp_path, "t10k", pixels[8:], labels[8:], request.param)
    return tmp_path


def test_reads_both_parts_and_keeps_the_authors_test_set(folder: Path) -> None:
    data = idx_folder(folder)
    assert data.features.to_numpy().tolist() == np.arange(72).reshape(12, 6).tolist()
    assert data.y.tolist() == [0, 1, 2] * 4
    assert data.test is not None
    assert data.test.tolist() == [8, 9, 10, 11]
    assert data.classes == (0, 1, 2)


def damaged(folder: Path, change: str) -> None:
    images = next(folder.glob("train-images*"))
    if change == "missing":
        images.unlink()
    elif change == "short":
        raw = gzip.decompress(images.read_bytes()) if images.suffix == ".gz" else images.read_bytes()
        images.write_bytes(gzip.compress(raw[:-1]) if images.suffix == ".gz" else raw[:-1])
    elif change == "other format":
        content = b"PNG and more than sixteen bytes"
        images.write_bytes(gzip.compress(content) if images.suffix == ".gz" else content)
    else:
        write(folder, "train", np.zeros((5, 2, 3), np.uint8), np.zeros(4, np.uint8), images.suffix == ".gz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", "must hold train-images-idx3-ubyte"),
        ("short", "the header says 8 x 2 x 3 bytes, the file holds 47"),
        ("other format", "not an IDX file"),
        ("mismatch", "5 images and 4 labels"),
    ],
)
def test_says_what_is_wrong(folder: Path, change: str, message: str) -> None:
    damaged(folder, change)
    with pytest.raises(StudyError, match=message):
        idx_folder(folder)


def test_a_damaged_gzip_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip")
    with pytest.raises(StudyError, match=r"train-images-idx3-ubyte\.gz: not a readable gzip file"):
        idx_folder(tmp_path)
