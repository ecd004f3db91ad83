"""One long text: which words are asked for, where it is cut, and which texts are refused by name."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thinned.study import StudyError
from thinned.study.data.overrule import TextForm
from thinned.study.data.parts import notes, parts, sizes
from thinned.study.data.running_text import UNKNOWN_WORD, WINDOW, spread
from thinned.study.data.source import open_data

WORDS = [f"w{n}" for n in range(40)]


def numbered(count: int) -> str:
    """A text that says where each of its words stands, in two words: the hundreds and the rest."""
    return " ".join(f"h{n // 50} r{n % 50}" for n in range(count // 2))


def a_text(folder: Path, content: str | bytes, name: str = "book.txt") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_each_row_asks_for_the_word_behind_its_window(tmp_path: Path) -> None:
    words = numbered(4000).split()
    data = open_data(a_text(tmp_path, " ".join(words)))
    assert data.title == "book.txt"
    assert data.source.startswith("4,000 words in ")
    assert data.words == "text"
    place = 0
    for window, label in zip(data.features["text"], data.y, strict=True):
        window = window.split()
        assert len(window) == WINDOW
        while words[place : place + WINDOW] != window:
            place += 1
        assert data.classes[label] in (words[place + WINDOW], UNKNOWN_WORD)


def test_parts_are_cut_where_the_text_stands_and_no_window_reaches_over_a_border(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    text = " ".join(f"{rng.choice(WORDS)}" if n % 2 else f"n{n}" for n in range(6000))  # every other says its place
    data = open_data(a_text(tmp_path, text))
    size = sizes(data, None, 0, bearable=200)
    assert size.train == 200
    found = [parts(data, size, 0, seed) for seed in range(2)]
    assert not np.array_equal(found[0].train, found[1].train)
    assert np.array_equal(found[0].val, found[1].val)
    assert np.array_equal(found[0].test, found[1].test)
    for rows, low, high in ((found[0].train, 0, 3300), (found[0].val, 3300, 4500), (found[0].test, 4500, 6000)):
        places = [int(word[1:]) for row in rows for word in data.features["text"][row].split() if word[0] == "n"]
        assert low <= min(places) < max(places) < high
    said = notes(data, size)[0]
    assert f"intervals are over {size.test // data.stretch} stretches of {data.stretch} words" in said
    assert size.test % data.stretch == 0


def test_words_are_learnt_from_the_training_part(tmp_path: Path) -> None:
    """Words of the later parts alone are unknown, however frequent they are."""
    early, late = ["a", "b", "c", "d", "e", "f", "g", "h"], ["v", "w", "x", "y", "z"]
    rng = np.random.default_rng(0)
    text = [*rng.choice(early, 1100), "once", *rng.choice(late, 899)]
    data = open_data(a_text(tmp_path, " ".join(text)))
    assert set(data.classes) == {UNKNOWN_WORD, *early}
    assert "8 words are answers of their own" in data.notes[1]
    assert (data.y[-100:] == 0).all()


def test_five_hundred_words_are_known_at_most(tmp_path: Path) -> None:
    data = open_data(a_text(tmp_path, " ".join(f"w{n % 900}" for n in range(9000))))
    assert len(data.classes) == 501
    assert data.classes[1] == "w0"  # of equals the first


@pytest.mark.parametrize(
    ("start", "end", "most", "count", "size"),
    [(0, 10_000, 2_000, 30, 66), (100, 334, 2_000, 11, 21), (0, 45, 2_000, 2, 22)],
)
def test_stretches_are_equally_long_and_spread_over_a_part(
    start: int, end: int, most: int, count: int, size: int
) -> None:
    places, found = spread(start, end, most)
    assert found == size
    assert len(places) == count * size
    assert places[0] == start
    assert end - (end - start) // count <= places[-1] < end
    assert len(set(places.tolist())) == len(places)
    assert (np.diff(places.reshape(count, size), axis=1) == 1).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "a text must have 1,000 words at least.* Got 0. Pass a longer text"),
        ("to be or not to be " * 100, "a text must have 1,000 words at least.* Got 600. .*a folder a class"),
        ("buffalo " * 3000, "must have different words. It has one, 'buffalo', 3,000 times"),
        (" ".join(f"w{n}" for n in range(2000)), "words must recur.* none stands there twice"),
        ("a " * 1500 + " ".join(f"w{n}" for n in range(900)), "must recur, and differ,.* only 'a' stands there"),
        (b"\x89PNG\r\n\0\0\0\rIHDR" * 400, "holds zero bytes, which no text does"),
        (gzip.compress(bytes(np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8))), "could not be read"),
        ("Grüße an alle. ".encode("shift_jis", "replace") + "日本語の文章。".encode("shift_jis") * 300, "--encoding"),
    ],
)
def test_texts_that_are_refused_by_name(tmp_path: Path, content: str | bytes, said: str) -> None:
    path = a_text(tmp_path, content)
    with pytest.raises(StudyError, match=rf"(?s){path}: .*{said}"):
        open_data(path)


def test_encodings_are_found_out_or_said(tmp_path: Path) -> None:
    text = "Die Größe der Bäume ist schön . Ein Café liegt hier , und dort ! " * 90
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        data = open_data(a_text(tmp_path, text.encode(encoding)))
        assert "größe" in data.classes
    japanese = "日本語の文章。" * 300
    data = open_data(a_text(tmp_path, japanese.encode("shift_jis")), form=TextForm(encoding="shift_jis"))
    assert {"日", "本", "語", "の", "。"} <= set(data.classes)


@pytest.mark.parametrize(
    "options", [{"target": "y"}, {"task": "regression"}, {"groups": "g"}, {"time": "t"}, {"form": TextForm(sep=";")}]
)
def test_options_of_tables_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    path = a_text(tmp_path, numbered(4000))
    name = "sep" if "form" in options else next(iter(options))
    with pytest.raises(StudyError, match=f"`--{name}`: for a table. .*book.txt is one long text"):
        open_data(path, **options)
