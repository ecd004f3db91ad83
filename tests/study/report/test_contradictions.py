"""The whole text of a page, read for what can't both be true, over every made-up study."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from tests.study.report.cases import CASES
from tests.study.report.reading import PageReader

from thinned.study.answer.speech import name
from thinned.study.report.records import Records

Page = Callable[[str], PageReader]
Read = Callable[[str], Records]

every_case = pytest.mark.parametrize("case", CASES)
finished = pytest.mark.parametrize("case", [key for key, case in CASES.items() if case.complete])
N = r"[+-]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?"
DOWN = ("falls from", "lowers", "shrinks from", "narrows")
UP = ("rises from", "raises", "grows from", "widens")


def number(text: str) -> float:
    return float(text.replace(",", ""))


def intervals(cell: str) -> tuple[float, float, float] | None:
    """The value and the ends of a cell "8.0 | 7.4 to 8.6 | worse"."""
    found = re.match(rf"({N}) \| ({N}) to ({N})", cell)
    return (number(found[1]), number(found[2]), number(found[3])) if found else None


@every_case
def test_no_interval_or_change_is_from_a_number_to_itself(page_of: Page, case: str) -> None:
    words = page_of(case).words
    pairs = re.findall(rf"({N})(?: %| points)? to ({N})", words) + re.findall(rf"between ({N})(?: %)? and ({N})", words)
    assert [pair for pair in pairs if pair[0].lstrip("+") == pair[1].lstrip("+")] == []


@every_case
def test_every_number_is_one(page_of: Page, case: str) -> None:
    words = page_of(case).words
    assert not re.search(r"(of|most|by) 0(\.0*)? points(?! \(no interval)|see one of 0(\.0*)?(?![.\d])", words)
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b|[{}]|\d%|-0\.0*\b(?!\d)|\de\+\d", words)


@every_case
def test_the_badge_says_what_the_headline_says(page_of: Page, records_of: Read, case: str) -> None:
    found = re.search(r'<div class="badge \w+">([^<]*)</div>\s*<p class="lead">([^<]*)</p>', page_of(case).html)
    assert found is not None
    badge, headline = found[1], found[2].replace("\N{NO-BREAK SPACE}", " ")
    if not CASES[case].complete:
        assert badge == "Incomplete"
        return
    starts = {
        "Use dropout": r"Use dropout at p = [\d.]+(?!.*(together|drop inputs))",
        "Use weight decay": "Use weight decay .*not dropout",
        "Use dropout and weight decay": "Use dropout at p = .* together with weight decay",
        "Use dropout, of inputs too": "Use dropout at p = .* drop inputs",
        "Use no dropout": "Use no dropout",
        "Use none of these networks": "Use none of these networks",
    }
    assert re.match(starts[badge], headline)
    assert sum(bool(re.match(start, headline)) for start in starts.values()) == 1


@every_case
def test_what_falls_falls_and_what_grows_grows(page_of: Page, case: str) -> None:
    for line in page_of(case).lines:
        for signs, sign in ((DOWN, -1), (UP, 1)):
            for verb in signs:
                change = re.search(rf"{verb}(?: the [^,.:;]*? from| [a-z ]*? from)? ({N})[^,.;:]*? to ({N})", line)
                if change and "from" in change[0]:
                    assert sign * (number(change[2]) - number(change[1])) > 0, line


@every_case
def test_every_interval_holds_its_value(page_of: Page, case: str) -> None:
    reader = page_of(case)
    labels = ("Differences with intervals", "Results of every setting", "Other kinds of model on the same rows")
    cells = [cell for label in labels for row in reader.table(label) for cell in row]
    found = [ends for cell in cells if (ends := intervals(cell))]
    stated = rf"({N})(?: points| %)?,? \(95 % interval ({N})(?: %)? to ({N})"
    found += [(number(a), number(b), number(c)) for a, b, c in re.findall(stated, reader.words)]
    assert all(low <= value <= high and low < high for value, low, high in found)


@every_case
def test_better_and_worse_agree_with_the_interval(page_of: Page, records_of: Read, case: str) -> None:
    for row in page_of(case).table("Differences with intervals"):
        said, ends = row[1].split(" | ")[-1], intervals(row[1])
        if ends is None:
            assert said == "no scatter"
            continue
        _, low, high = ends
        assert said == ("better" if high < 0 else "worse" if low > 0 else "not clear")
    strip = re.findall(r'<li class="\w+" style="flex[^>]*>(.*?)</li>', page_of(case).html)
    assert len(strip) == len(records_of(case).study.ranges)
    for item in strip:
        text = re.sub(r"<[^>]+>", " ", item).replace("\N{MINUS SIGN}", "-")
        bounds = re.search(rf"({N}) to ({N})", text)
        if bounds is None:
            continue
        low, high = number(bounds[1]), number(bounds[2])
        assert ("better" in text) == (high < 0)
        assert ("worse" in text and "worth" not in text) == (low > 0)


@finished
def test_sentences_and_tables_give_the_same_numbers(page_of: Page, records_of: Read, case: str) -> None:
    reader, records = page_of(case), records_of(case)
    rows = {re.sub("[†‡]", "", row[0]).split(" | ")[0]: row for row in reader.table("Results of every setting")}
    assert list(rows) == [name(level) for level in records.study.levels]
    assert records.study.plain is not None
    assert records.study.noisy is not None
    plain, noisy = rows[name(records.study.plain)], rows[name(records.study.noisy)]
    words = reader.words

    headings = [text.split(" | ") for text in reader.columns("Results of every setting")]

    def first(cell: str) -> str:
        return cell.split(" | ")[0]

    def column(start: str) -> int:
        return next(index for index, text in enumerate(headings) if text[0] == start)

    for value, level in re.findall(rf"gives ({N})(?: %)? \(([^()]*)\)", words):
        assert first(rows[level][1]) == value
    moved = re.search(
        rf"(?:lowers|raises) the {re.escape(records.study.metric_title)} from ({N})(?: %)? to ({N})", words
    )
    if moved:
        targets = [first(row[1]) for row in rows.values()]
        assert moved[1] == first(plain[1])
        assert moved[2] in targets
    gap = re.search(rf"off for both, (?:stays at|\w+ from) ({N})(?: to ({N}))?", words)
    assert gap is not None
    assert [gap[1], gap[2] or gap[1]] == [plain[column("gap")], noisy[column("gap")]]
    at = column("steps to the")
    assert (
        f"the best state came after {noisy[at]} steps at {name(records.study.noisy)} and after {plain[at]} without"
        in words
    )
    likelihoods = re.search(rf"NLL(?: goes from)? ({N}) without dropout (?:and|to) ({N})", words)
    assert likelihoods is not None
    at = next(
        index for index, text in enumerate(headings) if text[0].startswith("test NLL") and text[1] != "one temperature"
    )
    assert [likelihoods[1], likelihoods[2]] == [plain[at], noisy[at]]


@finished
def test_the_chosen_row_is_the_network_to_take_away(page_of: Page, records_of: Read, case: str) -> None:
    study = records_of(case).study
    rows = page_of(case).table("Results of every setting")
    chosen = [row[0] for row in rows if row[0].endswith("| chosen")]
    assert len(chosen) == 1
    net = study.network
    assert net is not None
    assert (f"p = {net.p:g}" in chosen[0]) == (net.arm != "decay")
    assert (f"weight decay {net.weight_decay:g}" in chosen[0]) == (net.weight_decay > 0)
    assert (f"inputs {net.p_input:g}" in chosen[0]) == (net.p_input > 0)


@finished
def test_what_is_said_of_the_curve_is_true_of_it(page_of: Page, records_of: Read, case: str) -> None:
    records, words = records_of(case), page_of(case).words
    assert records.study.plain is not None
    runs = records.runs_of(records.study.plain)["run"]
    by_step = records.curves[records.curves["run"].isin(runs)].groupby("step")["val_nll"].mean()
    turned = by_step.iloc[-1] > 1.02 * by_step.min()
    assert turned == CASES[case].turns
    said = re.search(r"Mean validation NLL (rises again|ends within)[^\n]*", words)
    assert said is not None
    lowest = int(by_step.index.to_list()[int(by_step.argmin())])
    assert (f"after step {lowest:,} at p = 0" in said[0]) == turned
    assert ("ends within 2 % of its lowest, at p = 0" in said[0]) == (not turned)


@every_case
def test_the_gap_is_one_thing(page_of: Page, case: str) -> None:
    """Test minus training error; the curves show validation minus training, and call it that."""
    html = page_of(case).html
    for figure in re.findall(r"<figure.*?</figure>", html, re.DOTALL):
        assert not re.search(r"\bgap\b", figure)
    assert not re.search(r"overfitting gap", html)
