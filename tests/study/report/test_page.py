"""The page as a browser gets it: complete, offline, in order, and safe against what a file's columns are called."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.study.report.cases import CASES
from tests.study.report.reading import PageReader
from tests.study.report.studies import write_records

from thinned.study.record import CONFIG, WEIGHTS
from thinned.study.report.folder import figures
from thinned.study.report.page import page
from thinned.study.report.picture import Picture, png, svg
from thinned.study.report.records import Records, read

Page = Callable[[str], PageReader]
Read = Callable[[str], Records]
FULL = "edges, unfinished, failures"
FIGURES = [
    "error-by-p", "learning-curves", "nll-by-p", "nll-curves", "steps-by-p", "lr-by-p", "range-test", "activity",
    "thinned",
]  # fmt: skip


@pytest.fixture(scope="module")
def whole(folder_of: Callable[[str], Path], records_of: Read) -> str:
    """A page with every figure on it."""
    return page(records_of(FULL), figures(records_of(FULL)), [], folder_of(FULL))


@pytest.mark.long
def test_it_nests_and_its_ids_are_unique(whole: str) -> None:
    ids = [attributes["id"] for _, attributes in PageReader(whole).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_reference_stays_in_the_file(whole: str) -> None:
    reader = PageReader(whole)
    ids = {attributes.get("id") for _, attributes in reader.tags}
    for tag, attributes in reader.tags:
        assert tag not in {"script", "link", "iframe", "object", "img"}
        for key in ("src", "href", "xlink:href"):
            value = attributes.get(key)
            assert value is None or (value.startswith("#") and value[1:] in ids)
        for value in attributes.values():
            assert all(target in ids for target in re.findall(r"url\(#([\w-]+)\)", value or ""))
    assert not re.search(r"@import|https?:|url\((?!#)", whole)


def test_every_figure_has_a_name_for_screen_readers(whole: str) -> None:
    drawings = re.findall(r"<figure id=\"figure-([\w-]+)\".*?</figure>", whole, flags=re.DOTALL)
    assert drawings == FIGURES
    for key in FIGURES:
        figure = whole[whole.index(f'<figure id="figure-{key}"') :]
        figure = figure[: figure.index("</figure>")]
        assert re.search(rf'<svg [^>]*role="img" aria-labelledby="{key}-title {key}-desc"', figure)
        assert all(len(text) > 20 for text in re.findall(r"<(?:title|desc) [^>]*>([^<]*)<", figure))
        assert "<figcaption>How to read it: " in figure


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("dropout helps", "; the ring is the network to take away."),
        ("inputs win", "; the ring is the network to take away."),
        ("weight decay wins", " The grey line is weight decay alone, the network to take away."),
        ("out of time without an answer", ""),
    ],
)
def test_the_network_to_take_away_is_pointed_out(records_of: Read, case: str, said: str) -> None:
    first = figures(records_of(case))[0]
    caption = getattr(first, "caption", "")
    assert said in caption
    assert caption.count("the network to take away") == (1 if said else 0)


def test_figures_take_every_colour_from_the_page(whole: str) -> None:
    body = whole[whole.index("<body>") :]
    assert not re.search(r"#[0-9a-f]{6}\b|rgb\(", body)
    assert set(re.findall(r"var\(--([\w-]+)\)", whole)) <= set(re.findall(r"--([\w-]+):", whole))


def test_it_serves_phones_dark_screens_and_printers(whole: str) -> None:
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in whole
    assert "@media screen and (prefers-color-scheme:dark)" in whole
    assert "@media print" in whole
    assert len(whole.encode()) < 1_500_000


def test_what_matters_most_comes_first(page_of: Page, records_of: Read) -> None:
    study, reader = records_of(FULL).study, page_of(FULL)
    order = [
        *study.warnings, "Use dropout", study.headline, *study.words[:3], "Key figures", "Is the difference real?",
        "What the networks did", "Every setting", "Other kinds of model", "How it was done", "Use the network",
        *study.notes, *study.failures,
    ]  # fmt: skip
    places = [reader.words.index(part) for part in order]
    assert places == sorted(places)


def test_marks_have_their_legend(page_of: Page) -> None:
    rows = [row[0] for row in page_of(FULL).table("Results of every setting")]
    assert [row.split(" | ")[:2] for row in rows if "†" in row or "‡" in row] == [
        ["p = 0", "†"], ["p = 0.4", "‡"], ["p = 0.5", "†‡"],
    ]  # fmt: skip
    words = page_of(FULL).words
    assert "† The chosen learning rate lies at an end of those tried, 0.0003 to 0.01, for p = 0 and p = 0.5" in words
    assert "ran out, for p = 0.4 (33 % of seeds) and p = 0.5 (67 % of seeds)" in words
    assert not re.search("[†‡]", page_of("level").words)


@pytest.mark.parametrize(
    ("case", "reason"),
    [("unclear", "150 test rows are too few"), ("numbers", "a number is predicted"), ("dropout helps", "")],
)
def test_an_absent_calibration_has_its_reason(page_of: Page, case: str, reason: str) -> None:
    words = page_of(case).words
    assert ("No calibration error" in words) == bool(reason)
    assert reason in words
    assert ("perfect: 1.2" in words) == (not reason)


@pytest.mark.parametrize("case", [key for key, case in CASES.items() if not case.complete])
def test_an_incomplete_study_says_so(page_of: Page, records_of: Read, case: str) -> None:
    words, records = page_of(case).words, records_of(case)
    assert words.index("Incomplete") < words.index(f"{len(records.runs):,} runs are in")
    assert "A complete study saves one." in words
    assert ("No answer yet" in words) == (records.study.network is None)
    absent = [f"{p:g}" for p in records.study.ps if p not in CASES[case].finished]
    assert f"No result yet for p = {', '.join(absent[:-1])} and {absent[-1]}." in words


@pytest.mark.parametrize("case", ["numbers", "numbers with a long name"])
def test_a_column_may_have_any_name(page_of: Page, case: str) -> None:
    reader = page_of(case)
    assert "<script" not in reader.html
    words = reader.words[reader.words.index("Key figures") :]
    assert not re.search(r"test error \(|\bpoints\b| points|\btemperature\b", words)


@pytest.mark.long
def test_a_target_of_any_signs_is_drawn_and_no_formula(tmp_path: Path) -> None:
    """In a figure it is text as it stands; a sign that the figures' font lacks is a box there, and no warning."""
    target = "[/b] $x_{$ <i> \ubaa9\ud45c"
    write_records(replace(CASES["numbers"], target=target), tmp_path / "study")
    records = read(tmp_path / "study")
    drawn = [figure for figure in figures(records) if isinstance(figure, Picture)]
    (error,) = (figure for figure in drawn if figure.name == "error-by-p")
    assert target in html.unescape(re.sub(r"<(title|desc).*?</\1>", "", svg(error)))
    assert png(error).startswith(b"\x89PNG")
    whole = page(records, [error], [], tmp_path / "study")
    assert target in html.unescape(whole)
    assert "<i>" not in whole


@pytest.mark.parametrize("case", ["dropout helps", "inputs win", "weight decay wins", "numbers", "outer splits"])
def test_the_snippet_comes_with_what_load_returns(
    page_of: Page, records_of: Read, folder_of: Callable[[str], Path], tmp_path: Path, case: str
) -> None:
    assert "holds no saved network" in page_of(case).words
    (tmp_path / WEIGHTS).write_bytes(b"weights")
    (tmp_path / CONFIG).write_text('name = "<b>"\n', encoding="utf-8")
    lines = PageReader(page(records_of(case), [], [], tmp_path)).lines
    net = records_of(case).study.network
    assert net is not None
    facts = dict(zip(lines[lines.index("networks") :: 2], lines[lines.index("networks") + 1 :: 2], strict=False))
    assert facts["networks"] == f"{net.members}, one a seed; their answers are averaged"
    assert facts["p, of hidden units"] == f"{net.p:g}"
    assert facts["p, of inputs"] == f"{net.p_input:g}"
    assert facts["weight decay"] == f"{net.weight_decay:g}"
    assert facts["learning rate"] == f"{net.lrs[0]:g}"
    assert facts.get("temperature") == (None if case == "numbers" else "1.31, fitted on validation rows")
    assert ("test rows" in facts) == (net.error is None)
    assert any(f'model = load("{tmp_path.name}")' in line for line in lines)
    assert 'name = "<b>"' in lines[-2] or any('name = "<b>"' in line for line in lines)


def test_how_each_column_was_read(page_of: Page) -> None:
    assert page_of("dropout helps").table("How the columns were read") == [
        ["petal <length>", "number", "numbers, decimal sign ','"],
        ["seen", "date", "dates as 31/01/2026, day first: month, days since 2025-01-03"],
        ["id", "left out", "it numbers the rows: whole numbers, all different"],
    ]
