"""Class folders of pictures and texts, and a text file a class: what is read, what is left out by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from thinned.study.data.dataset import Dataset, StudyError
from thinned.study.data.new_files import new_files
from thinned.study.data.parts import sizes
from thinned.study.data.source import open_data


def picture(path: Path, seed: int, size: tuple[int, int] = (12, 10), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).convert(mode).save(path)


def pictures(folder: Path, mode: str = "RGB", suffix: str = ".png", each: int = 25) -> Path:
    for seed in range(2 * each):
        picture(folder / ("cat", "dog")[seed % 2] / f"{seed:02}{suffix}", seed, mode=mode)
    return folder


def texts(folder: Path, each: int = 25) -> Path:
    for row in range(2 * each):
        path = folder / ("ham", "spam")[row % 2] / f"{row:02}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"This is text {row}.\nIt has two lines.", encoding="utf-8")
    return folder


def pixels(data: Dataset) -> np.ndarray:
    assert data.image is not None
    return data.features.to_numpy().reshape(data.rows, *data.image.size)


def test_colours_stay_and_channels_are_last(tmp_path: Path) -> None:
    data = open_data(pictures(tmp_path / "pets"))
    assert data.image is not None
    assert data.image.size == (10, 12, 3)
    assert (data.title, data.target, data.classes) == ("pets", "class", ("cat", "dog"))
    with Image.open(tmp_path / "pets" / "cat" / "00.png") as first:
        assert (pixels(data)[0] == np.asarray(first)).all()
    assert data.notes == ("Pictures are 10 x 12 pixels, in colour.",)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".bmp", ".gif", ".webp", ".tif"])
def test_grey_pictures_have_one_channel_whatever_the_format(tmp_path: Path, suffix: str) -> None:
    data = open_data(pictures(tmp_path / "pets", "L", suffix))
    assert data.image is not None
    assert data.image.channels == 1


def test_grey_saved_as_colours_is_grey(tmp_path: Path) -> None:
    for seed in range(50):
        path = tmp_path / "pets" / ("cat", "dog")[seed % 2] / f"{seed}.png"
        picture(path, seed, mode="L")
        Image.open(path).convert("RGB").save(path)
    data = open_data(tmp_path / "pets")
    assert data.image is not None
    assert data.image.channels == 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_are_white(tmp_path: Path, mode: str) -> None:
    pictures(tmp_path / "pets", "L")
    clear = Image.new("RGBA", (12, 10), (255, 0, 0, 0))
    options: dict[str, Any] = {"transparency": 0} if mode == "P" else {}
    clear.convert(mode).save(tmp_path / "pets" / "cat" / "00.png", **options)
    assert (pixels(open_data(tmp_path / "pets"))[0] == 255).all()


def test_sixteen_bits_are_made_eight(tmp_path: Path) -> None:
    pictures(tmp_path / "pets", "L")
    values = np.full((10, 12), 65_535, dtype=np.uint16)
    values[0, 0] = 257
    Image.fromarray(values).save(tmp_path / "pets" / "cat" / "00.png")
    first = pixels(open_data(tmp_path / "pets"))[0]
    assert (first[0, 0, 0], first[5, 5, 0]) == (1, 255)


def test_sizes_are_made_one_and_large_ones_small(tmp_path: Path) -> None:
    pictures(tmp_path / "pets")
    for seed in range(60):
        picture(tmp_path / "pets" / "cat" / f"large{seed}.png", seed, size=(100, 50))
    data = open_data(tmp_path / "pets")
    assert data.image is not None
    assert data.image.size == (16, 32, 3)
    assert "resized to 16 x 32 pixels, whatever their shape (they were 10 x 12 to 50 x 100)" in data.notes[0]


def test_a_broken_picture_and_other_files_are_left_out_by_name(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pets")
    (folder / "cat" / "00.png").write_bytes(b"no picture")
    whole = (folder / "dog" / "01.png").read_bytes()
    (folder / "dog" / "01.png").write_bytes(whole[: len(whole) // 2])
    (folder / "cat" / "empty.jpg").touch()
    (folder / "cat" / "notes.md").write_text("x")
    (folder / "beside.png").write_bytes(whole)
    (folder / "cat" / ".DS_Store").write_text("x")
    data = open_data(folder)
    assert data.rows == 48
    [warning] = data.warnings
    assert warning.startswith("3 files can't be read as pictures and were left out: ")
    assert all(name in warning for name in ("00.png", "01.png", "empty.jpg"))
    assert "2 other files were left out: " in data.notes[1]
    assert "notes.md" in data.notes[1]
    assert "beside.png" in data.notes[1]
    assert ".DS_Store" not in data.notes[1]


def test_folders_train_and_test_are_sides(tmp_path: Path) -> None:
    pictures(tmp_path / "pets" / "train")
    for seed in range(100, 120):
        picture(tmp_path / "pets" / "test" / ("cat", "dog")[seed % 2] / f"{seed}.png", seed)
    data = open_data(tmp_path / "pets")
    assert data.classes == ("cat", "dog")
    assert data.test is not None
    assert len(data.test) == 20
    assert sizes(data).test == 20


def test_a_small_set_of_pictures_is_divided_as_a_table_is(tmp_path: Path) -> None:
    assert sizes(open_data(pictures(tmp_path / "pets"))).train == 28


def test_texts_of_class_folders(tmp_path: Path) -> None:
    data = open_data(texts(tmp_path / "mails"))
    assert data.words == "text"
    assert data.features["text"][1] == "This is text 2.\nIt has two lines."
    assert data.classes == ("ham", "spam")


def test_a_file_a_class_has_a_text_a_line(tmp_path: Path) -> None:
    folder = tmp_path / "mails"
    folder.mkdir()
    for name in ("ham", "spam"):
        (folder / f"{name}.txt").write_text("".join(f"{name} number {row}\n\n" for row in range(25)))
    data = open_data(folder)
    assert (data.rows, data.classes) == (50, ("ham", "spam"))
    assert data.features["text"][0] == "ham number 0"
    assert "each line of it a text" in data.notes[0]


def test_other_encodings_are_read(tmp_path: Path) -> None:
    folder = texts(tmp_path / "mails")
    (folder / "ham" / "00.txt").write_bytes("Gr\u00fc\u00dfe".encode("cp1252"))
    (folder / "spam" / "01.txt").write_bytes("\ufeffna\u00efve".encode())
    data = open_data(folder)
    assert data.features["text"][0] == "Gr\u00fc\u00dfe"
    assert "na\u00efve" in data.features["text"].tolist()


def test_what_can_not_be_used_is_said_in_a_sentence(tmp_path: Path) -> None:
    one = tmp_path / "one"
    picture(one / "cat" / "1.png", 0)
    with pytest.raises(StudyError, match=r"there must be two classes at least.*Got one, 'cat'"):
        open_data(one)
    both = pictures(tmp_path / "both")
    (both / "cat" / "a.txt").write_text("x")
    with pytest.raises(StudyError, match="pictures or texts, not both"):
        open_data(both)
    few = pictures(tmp_path / "few", each=5)
    with pytest.raises(StudyError, match="at least 40 rows"):
        open_data(few)
    for path in pictures(tmp_path / "broken").rglob("*.png"):
        path.write_bytes(b"x")
    with pytest.raises(StudyError, match=r"no picture can be read: .*00\.png"):
        open_data(tmp_path / "broken")
    with pytest.raises(StudyError, match=r"`--target`: for a table\. .* has no columns to name"):
        open_data(pictures(tmp_path / "pets"), target="class")
    zeros = texts(tmp_path / "zeros")
    (zeros / "ham" / "00.txt").write_bytes(b"a\0b")
    with pytest.raises(StudyError, match="zero bytes"):
        open_data(zeros)


def test_new_pictures_take_the_form_of_training(tmp_path: Path) -> None:
    data = open_data(pictures(tmp_path / "pets", "L"))
    picture(tmp_path / "new" / "b.png", 1, size=(40, 40))
    picture(tmp_path / "new" / "a.png", 1, size=(40, 40))
    (tmp_path / "new" / "c.png").write_bytes(b"x")
    found = new_files(tmp_path / "new", data.image)
    assert found is not None
    assert found.frame.shape == (2, 120)
    assert [Path(name).name for name in found.names] == ["a.png", "b.png"]
    assert "c.png" in found.notes[0]
    with pytest.raises(StudyError, match="have learnt from a table or texts"):
        new_files(tmp_path / "new", None)
