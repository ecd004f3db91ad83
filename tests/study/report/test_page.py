"""The page as a browser gets it: complete, offline, in order, and safe against what a file's columns are called."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from thinned.study.record import Study
from thinned.study.report import write
from thinned.study.report.folder import figures
from thinned.study.report.page import page
from thinned.study.report.records import read

VOID = {"meta", "br", "link", "img", "hr", "input"}
FIGURES = ["learning-curves", "error-by-p", "nll-curves", "nll-by-p", "activity", "thinned", "lr-by-p"]


class Reader(HTMLParser):
    """Checks that tags nest, and collects what the tests ask about."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "title", "desc"} & set(self.open):
            self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text)).strip()


@pytest.fixture(scope="module")
def html(digits: Path) -> str:
    return write(digits).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def regression(diabetes: Path) -> str:
    return write(diabetes).read_text(encoding="utf-8")


def test_it_nests_and_its_ids_are_unique(html: str) -> None:
    ids = [attributes["id"] for _, attributes in Reader(html).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_reference_stays_in_the_file(html: str) -> None:
    reader = Reader(html)
    ids = {attributes.get("id") for _, attributes in reader.tags}
    for tag, attributes in reader.tags:
        assert tag not in {"script", "link", "iframe", "object", "img"}
        for name in ("src", "href", "xlink:href"):
            value = attributes.get(name)
            assert value is None or (value.startswith("#") and value[1:] in ids)
        for value in attributes.values():
            assert all(target in ids for target in re.findall(r"url\(#([\w-]+)\)", value or ""))
    assert "@import" not in html
    assert "http:" not in html
    assert "https:" not in html
    assert not re.search(r"url\((?!#)", html)


def test_the_answer_comes_first(html: str, digits: Path) -> None:
    study = Study.model_validate_json((digits / "study.json").read_text(encoding="utf-8"))
    words = Reader(html).words
    places = [words.index(study.title), *(words.index(sentence) for sentence in study.words)]
    assert places == sorted(places)
    assert places[-1] < words.index("What the networks did") < words.index("Every setting")


def test_every_figure_has_a_name_for_screen_readers(html: str) -> None:
    drawings = re.findall(r"<figure id=\"figure-([\w-]+)\".*?</figure>", html, flags=re.DOTALL)
    assert drawings == FIGURES
    for name in FIGURES:
        figure = html[html.index(f'<figure id="figure-{name}"') :]
        figure = figure[: figure.index("</figure>")]
        assert re.search(rf'<svg [^>]*role="img" aria-labelledby="{name}-title {name}-desc"', figure)
        assert all(len(text) > 20 for text in re.findall(r"<(?:title|desc) [^>]*>([^<]*)<", figure))
        assert "<figcaption>How to read it: " in figure


def test_figures_take_every_colour_from_the_page(html: str) -> None:
    body = html[html.index("<body>") :]
    assert not re.search(r"#[0-9a-f]{6}\b|rgb\(", body)
    defined = set(re.findall(r"--([\w-]+):", html))
    assert set(re.findall(r"var\(--([\w-]+)\)", html)) <= defined


def test_it_serves_phones_dark_screens_and_printers(html: str) -> None:
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    assert "@media screen and (prefers-color-scheme:dark)" in html
    assert "@media print" in html
    assert len(html.encode()) < 1_500_000


def test_the_table_holds_every_level(html: str, digits: Path) -> None:
    study = Study.model_validate_json((digits / "study.json").read_text(encoding="utf-8"))
    body = html[html.index("<h2>Every setting") : html.index("<h2>How it was done")]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL)[1:]]
    assert [row[1] for row in rows] == [f"{level.p:g}" for level in study.levels]
    assert ["inputs 0.2" in row[0] for row in rows] == [level.arm == "input" for level in study.levels]
    assert [row[5] for row in rows] == [f"{100 * level.test_error:.1f}" for level in study.levels]
    assert [row[7] for row in rows] == [f"{level.test_nll:.3f}" for level in study.levels]
    chosen = [row[1] for row in rows if "(chosen)" in row[0]]
    assert chosen == [f"{study.best_p:g}"]


def test_a_title_cannot_become_markup(regression: str) -> None:
    assert "<script" not in regression
    assert "Diabetes &lt;script&gt;alert(1)&lt;/script&gt;" in regression
    Reader(regression)


def test_regression_speaks_the_targets_unit(regression: str) -> None:
    words = Reader(regression).words
    words = words[words.index("What the networks did") :]  # the sentences above are the study's own
    assert "RMSE (cost <$ & $>)" in words  # also on the axes, where $ must not start a formula
    assert "test error" not in words
    assert "points" not in words


def test_the_verdict_is_in_words(html: str, digits: Path) -> None:
    study = Study.model_validate_json((digits / "study.json").read_text(encoding="utf-8"))
    badge = re.search(r'<div class="badge \w+">([^<]*)</div>', html)
    words = {"helps": "Dropout helps", "no difference": "No clear difference", "hurts": "Dropout hurts"}
    assert badge is not None
    assert badge[1] == words[study.verdict]


def test_a_saved_model_comes_with_the_lines_to_use_it(digits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "thinned-study"
    folder.mkdir()
    for name in ("study.json", "trials.csv", "curves.csv"):
        (folder / name).write_bytes((digits / name).read_bytes())
    records = read(folder)
    assert "holds no saved model" in page(records, figures(records), folder)
    (folder / "best.safetensors").write_bytes(b"weights")
    (folder / "config.toml").write_text('name = "<b>"\n', encoding="utf-8")
    html = page(records, figures(records), folder)
    assert 'model = load("thinned-study")' in html
    assert "name = &#34;&lt;b&gt;&#34;" in html
