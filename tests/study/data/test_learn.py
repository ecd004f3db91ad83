"""What a column is: decided by its values, said, and overruled by the caller."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from thinned.study.data.column import Column
from thinned.study.data.dataset import Dataset, StudyError
from thinned.study.data.overrule import TextForm, WantedColumn
from thinned.study.data.source import checked, open_data
from thinned.study.data.suspicion import suspicions
from thinned.study.underway import column_records

ROWS = 60
Values = Sequence[Any]


def written(path: Path, values: Values, **others: Values) -> Path:
    """A file with the column x, a plain number beside it, and classes."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": list(values), "plain": rng.normal(size=len(values)).round(3), **others})
    frame["kind"] = ["a" if i % 3 else "b" for i in range(len(values))]
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


def read(path: Path, values: Values, *wanted: str, form: TextForm | None = None, **others: Values) -> Dataset:
    return open_data(
        written(path, values, **others), "kind", form=form, wanted=[WantedColumn.of(text) for text in wanted]
    )


def column(data: Dataset, name: str = "x") -> Column:
    return next(column for column in data.columns if column.name == name)


def repeat(*values: Any) -> list[Any]:
    return [values[i % len(values)] for i in range(ROWS)]


def numbered(form: Callable[[int], str]) -> list[str]:
    return [form(i) for i in range(ROWS)]


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (repeat("$1,200", "$950", "$2,000,000"), (1200, 950, 2_000_000)),
        (repeat("12%", "7.5 %", "-3%"), (12, 7.5, -3)),
        (repeat("3,14", "2,5", "0,125"), (3.14, 2.5, 0.125)),
        (repeat("1 234", "950", "1 234 567"), (1234, 950, 1234567)),
        (repeat("1\u00a0234,5", "950,25", "0,5"), (1234.5, 950.25, 0.5)),
        (repeat("1'234.50", "950.25", "7"), (1234.5, 950.25, 7)),
        (repeat("1.234,50 €", "950,25 €", "7 €"), (1234.5, 950.25, 7)),
        (repeat("EUR 12.5", "EUR 7", "EUR 1,000.25"), (12.5, 7, 1000.25)),
        (repeat("(1,200.50)", "7.25", "12"), (-1200.5, 7.25, 12)),
        (repeat("$(1,200.50)", "$7.25", "($12)"), (-1200.5, 7.25, -12)),
        (repeat("€ (3)", "€ 7.25", "€ 12"), (-3, 7.25, 12)),
        (repeat("\uff11\uff12\uff0e\uff15", "\uff17", "\uff0d\uff13"), (12.5, 7, -3)),
        (repeat("\u0661\u0662\u066b\u0665", "\u0667", "\u0663"), (12.5, 7, 3)),
        (repeat("\u0967\u0968", "\u096d", "\u0969.\u096b"), (12, 7, 3.5)),
        (repeat("1,200.50-", "7.25", "12"), (-1200.5, 7.25, 12)),
        (repeat("12,34,567", "1,000", "0.5"), (1234567, 1000, 0.5)),
        (repeat("12 kg", "7.5 kg", "80 kg"), (12, 7.5, 80)),
        (repeat("12:30", "6:00", "23:59"), (12.5, 6, 23 + 59 / 60)),
        (repeat("21 °C", "-3.5 °C", "0 °C"), (21, -3.5, 0)),
        (repeat("12 500,50 zł", "7,25 zł", "950 zł"), (12500.5, 7.25, 950)),
        (repeat("1.5e-3", "2E5", "\u22124"), (0.0015, 2e5, -4)),
        (repeat("True", "false", "TRUE"), (1, 0, 1)),
        (repeat("0.5", "1,234.5", ".25"), (0.5, 1234.5, 0.25)),
    ],
)
def test_numbers_as_people_write_them(tmp_path: Path, values: list[str], numbers: tuple[float, ...]) -> None:
    data = read(tmp_path / "data.csv", values)
    assert column(data).kind == "number"
    assert data.features["x"].tolist()[:3] == pytest.approx(numbers)
    assert data.features["x"].notna().all()


@pytest.mark.parametrize("word", ["?", "-", "n/a", "NA", "null", "None", "#N/A", "not available", "--", "."])
@pytest.mark.parametrize("share", [20, 5])
def test_words_for_missing_among_numbers_are_missing_and_said(tmp_path: Path, word: str, share: int) -> None:
    values = [word if i % share == 0 else str(i / 8) for i in range(ROWS)]
    data = read(tmp_path / "data.csv", values)
    count = ROWS // share
    assert data.features["x"].isna().sum() == count
    assert column(data).why == f"numbers; {word!r} in {count} rows: missing"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (repeat("01234", "02139", "10001"), "level"),  # zip codes
        (repeat("01234", "02139", "K1A0B1"), "level"),
        ([f"{250 + i % 9}.0{i % 3}" if i % 20 else "V57" for i in range(ROWS)], "level"),  # ICD-9
        (repeat("E11.9", "I10", "V57"), "level"),  # ICD-10
        (repeat("S", "M", "38", "40"), "level"),
        (repeat("1.2.3", "1.10.0"), "level"),
        (repeat("10.0.0.1", "192.168.0.12"), "level"),
        (repeat("12a", "12b", "14"), "level"),
        (repeat("NA", "EU", "None"), "level"),
        ([f"{4000000000000000 + i % 9}" for i in range(ROWS)], "level"),  # more digits than a number keeps
        (numbered(lambda i: f"note {i % 55}"), "text"),
    ],
)
def test_codes_and_texts_are_levels_as_they_stand(tmp_path: Path, values: list[str], kind: str) -> None:
    data = read(tmp_path / "data.csv", values)
    assert column(data).kind == kind
    assert data.features["x"].tolist() == values


def days(form: str, step: int = 11) -> list[str]:
    return [date.strftime(form) for date in pd.date_range("2023-11-05", periods=ROWS, freq=f"{step}D")]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("%Y-%m-%d", "dates: year, month, weekday, days since 2023-11-05"),
        ("%d/%m/%Y", "dates as 31/01/2026, day first: year, month, weekday, days since 2023-11-05"),
        ("%m/%d/%Y", "dates as 01/31/2026, month first: year, month, weekday, days since 2023-11-05"),
        ("%d.%m.%Y", "dates as 31.01.2026, day first: "),
        ("%d-%m-%y", "dates as 31-01-26, day first, 69 to 99 as 19xx: "),
        ("%Y%m%d", "dates as 20260131: "),
        ("%Y/%m/%d", "dates as 2026/01/31: "),
        ("%d %b %Y", "dates as 31 Jan 2026"),
        ("%B %d, %Y", "dates as January 31, 2026"),
        ("%Y년 %m월 %d일", "dates as 2026년 01월 31일"),
        ("%Y. %m. %d.", "dates as 2026. 01. 31."),
        ("%Y年%m月%d日", "dates as 2026年01月31日"),
    ],
)
def test_dates_as_people_write_them(tmp_path: Path, form: str, said: str) -> None:
    data = read(tmp_path / "data.csv", days(form))
    assert column(data).kind == "date"
    assert column(data).why.startswith(said)
    assert data.features["x"].tolist() == list(pd.date_range("2023-11-05", periods=ROWS, freq="11D"))


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%d/%m/%Y %H:%M:%S", "%m/%d/%y %I:%M %p"])
def test_dates_with_a_time_have_an_hour(tmp_path: Path, form: str) -> None:
    times = pd.date_range("2025-03-05 01:30", periods=ROWS, freq="31h")
    data = read(tmp_path / "data.csv", [time.strftime(form) for time in times])
    assert "hour" in column(data).why
    assert data.features["x"].tolist() == list(times)


@pytest.mark.parametrize(
    "form",
    [
        "%a %b %e %H:%M:%S %Y",  # as C's ctime writes it, with the day in two places
        "%a %b %e %H:%M:%S UTC %Y",
        "%a %b %d %H:%M:%S +0000 %Y",
        "%a, %d %b %Y %H:%M:%S +0000",
        "%a, %d %b %Y %H:%M:%S GMT",
        "%d %b %Y %H:%M:%S +0000",
        "%d/%b/%Y:%H:%M:%S +0000",
    ],
)
def test_dates_as_machines_write_them(tmp_path: Path, form: str) -> None:
    times = pd.date_range("2025-03-05 01:30", periods=ROWS, freq="31h")
    data = read(tmp_path / "data.csv", [time.strftime(form) for time in times])
    assert column(data).kind == "date"
    assert "weekday, hour, days since 2025-03-05" in column(data).why
    assert data.features["x"].tolist() == list(times)


def test_a_zone_is_put_into_utc(tmp_path: Path) -> None:
    data = read(tmp_path / "data.csv", repeat("Tue, 03 Dec 2024 23:00:00 -0500", "Wed, 04 Dec 2024 10:00:00 +0100"))
    assert data.features["x"].tolist()[:2] == [pd.Timestamp("2024-12-04 04:00"), pd.Timestamp("2024-12-04 09:00")]


LANGUAGES = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "de short": "Jan Feb Mär Apr Mai Jun Jul Aug Sep Okt Nov Dez",
    "de dots": "Jan. Feb. März Apr. Mai Juni Juli Aug. Sept. Okt. Nov. Dez.",
    "de at": "Jänner Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "fr short": "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "es short": "ene feb mar abr may jun jul ago sept oct nov dic",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "it short": "gen feb mar apr mag giu lug ago set ott nov dic",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "pt short": "jan. fev. mar. abr. mai. jun. jul. ago. set. out. nov. dez.",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "nl short": "jan feb mrt apr mei jun jul aug sep okt nov dec",
    "en dots": "Jan. Feb. March April May June July Aug. Sept. Oct. Nov. Dec.",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_months_have_their_names_in_six_languages(tmp_path: Path, language: str) -> None:
    names, dates = LANGUAGES[language].split(), list(pd.date_range("2023-11-05", periods=ROWS, freq="11D"))
    forms = ["{0}. {1} {2}", "{0:02}. {1} {2}", "{0} {1} {2}", "{0} de {1} de {2}", "{1} {0}, {2}"]
    for number, form in enumerate(forms if language in ("de", "pt") else forms[2::2]):
        texts = [form.format(date.day, names[date.month - 1], date.year) for date in dates]
        data = read(tmp_path / f"{number}.csv", texts)
        assert column(data).kind == "date", column(data).why
        assert data.features["x"].tolist() == dates


def test_a_day_may_be_an_ordinal(tmp_path: Path) -> None:
    for number, texts in enumerate((["March 1st, 2024", "May 22nd, 2024"], ["1er mars 2024", "22 mai 2024"])):
        data = read(tmp_path / f"{number}.csv", repeat(*texts))
        assert data.features["x"].tolist()[:2] == [pd.Timestamp("2024-03-01"), pd.Timestamp("2024-05-22")]


def test_a_saved_form_reads_months_of_the_same_language(tmp_path: Path) -> None:
    data = read(tmp_path / "data.csv", repeat("3. März 2024", "5. Mai 2024"), "x=date:%d. %B %Y")
    found = column(data).read(pd.Series(["24. Dezember 2023"], name="x"))
    assert found.tolist() == [pd.Timestamp("2023-12-24")]


@pytest.mark.parametrize(
    "values",
    [
        repeat("3 marca 2024", "15 grudnia 2023"),
        repeat("So., 3. März 2024", "Mo., 4. März 2024"),
        repeat("3. maj 2024", "4. maj 2024"),
    ],
)
def test_text_that_looks_like_dates_is_said_to(tmp_path: Path, values: list[str]) -> None:
    found = column(read(tmp_path / "data.csv", values))
    assert (found.kind, found.why.partition("; ")[2]) == (
        "level", "they look like dates: written as 2026-01-31, they are read as such",
    )  # fmt: skip


@pytest.mark.parametrize(
    "values", [repeat("Set 2024", "Set 2023"), repeat("Out 1", "Out 2"), repeat("3 marble", "4 mai")]
)
def test_words_that_begin_like_months_are_no_dates(tmp_path: Path, values: list[str]) -> None:
    found = column(read(tmp_path / "data.csv", values))
    assert (found.kind, found.why) == ("level", "2 different texts")


def test_days_and_months_that_could_be_either_are_asked_about(tmp_path: Path) -> None:
    either = repeat("01/02/2025", "03/04/2025", "11/12/2025")
    with pytest.raises(
        StudyError,
        match=r"'01/02/2025' in row 1 \(line 2\) can be of two days, .* Pass --column x=date:%d/%m/%Y or x=date:%m/%d",
    ):
        read(tmp_path / "data.csv", either)
    told = read(tmp_path / "data.csv", either, "x=date:%d/%m/%Y")
    assert told.features["x"][0] == pd.Timestamp("2025-02-01")
    by_another_column = read(tmp_path / "data.csv", either, seen=days("%d/%m/%Y"))
    assert by_another_column.features["x"][0] == pd.Timestamp("2025-02-01")
    cut = open_data(tmp_path / "data.csv", "kind", time="x")  # the time's column asks the others, too
    assert cut.time is not None
    assert cut.time[0] == pd.Timestamp("2025-02-01").timestamp()
    written(tmp_path / "data.csv", either)
    with pytest.raises(StudyError, match="can be of two days"):
        open_data(tmp_path / "data.csv", "kind", time="x")
    cut = open_data(tmp_path / "data.csv", "kind", time="x", wanted=[WantedColumn.of("x=date:%m/%d/%Y")])
    assert cut.time is not None
    assert cut.time[0] == pd.Timestamp("2025-01-02").timestamp()
    by_another_column = read(tmp_path / "data.csv", either, seen=days("%m/%d/%Y"))
    assert by_another_column.features["x"][0] == pd.Timestamp("2025-01-02")


def test_a_decimal_sign_that_could_be_either_is_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    lines = ["x;kind", *(f"{x};{'ab'[i % 2]}" for i, x in enumerate(repeat("1.200", "950", "2.500")))]
    path.write_text("\n".join(lines))
    with pytest.raises(StudyError, match=r"column 'x': '2.500' in row 3 \(line 4\) can be 2.5 or 2500, and"):
        open_data(path, "kind")
    for sign, values in ((".", [1.2, 950, 2.5]), (",", [1200, 950, 2500])):
        assert open_data(path, "kind", form=TextForm(decimal=sign)).features["x"].tolist()[:3] == values
    lines = [f"{line};{y}" for line, y in zip(lines, ["y", *repeat("0,5", "7,25")], strict=True)]
    path.write_text("\n".join(lines))
    assert open_data(path, "kind").features["x"].tolist()[:3] == [1200, 950, 2500]  # another column tells


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            [*map(str, range(59)), "4o"],
            r"holds numbers, but 1 of its values are none, the first in row 60: '4o' \(line 61\)",
        ),
        ([*days("%d/%m/%Y")[:59], "31/31/2025"], r"holds dates, but 1 of its values are none, .* row 60: '31/31/2025'"),
        (["unk" if i % 4 == 0 else f"{i / 7:.3f}" for i in range(ROWS)], r"holds numbers, but 15 .* in row 1: 'unk'"),
        (["open" if i % 4 == 0 else day for i, day in enumerate(days("%Y-%m-%d"))], r"holds dates, but 15 .*'open'"),
        (repeat("12%", "0.5"), r"numbers in different units: '12%' in row 1 \(line 2\), '0.5' in row 2 \(line 3\)"),
        (repeat("$5", "€5"), "numbers in different units"),
        ([*map(str, range(59)), "inf"], "has 1 infinite values, the first in row 60"),
    ],
)
def test_a_few_values_that_spoil_a_column_are_named(tmp_path: Path, values: list[str], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        read(tmp_path / "data.csv", values)


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (repeat(Decimal("12.50"), Decimal("0.25")), [12.5, 0.25]),
        (repeat(True, False, None), [1, 0]),
        (repeat(datetime.timedelta(hours=12), datetime.timedelta(days=2)), [0.5, 2]),
        (repeat(datetime.time(12, 30), datetime.time(6)), [12.5, 6]),
        (repeat("1,200", "3,400.5"), [1200, 3400.5]),
    ],
)
def test_parquet_has_more_kinds_of_numbers(tmp_path: Path, values: Values, numbers: list[float]) -> None:
    data = read(tmp_path / "data.parquet", values)
    assert column(data).kind == "number"
    assert data.features["x"].tolist()[:2] == numbers


def test_parquet_has_dates_and_categories(tmp_path: Path) -> None:
    dates = [datetime.date(2025, 1, 1) + datetime.timedelta(days=i) for i in range(ROWS)]
    assert column(read(tmp_path / "data.parquet", dates)).kind == "date"
    zoned = pd.date_range("2025-01-01", periods=ROWS, freq="h", tz="Asia/Seoul")
    assert read(tmp_path / "data.parquet", list(zoned)).features["x"][0] == pd.Timestamp("2024-12-31 15:00")
    towns = read(tmp_path / "data.parquet", repeat(b"Ulm".decode(), "Bonn"))
    assert towns.features["x"].tolist()[:2] == ["Ulm", "Bonn"]


def test_categories_of_numbers_are_levels() -> None:
    frame = pd.DataFrame({"grade": pd.Categorical(repeat(1, 2, None)), "on": repeat(True, False)})
    data = checked(Dataset("t", "s", "classification", "t", frame, np.arange(ROWS) % 2, ("a", "b")))
    assert data.features["grade"].tolist()[:3] == ["1", "2", None]
    assert [column.kind for column in data.columns] == ["level", "number"]


@pytest.mark.parametrize(
    ("values", "wanted", "kind", "found"),
    [
        (repeat("1", "2", "3"), "x=level", "level", ["1", "2", "3"]),
        (repeat("1.0", "2", "3.50"), "x=level", "level", ["1", "2", "3.5"]),
        (repeat("01", "02", "10"), "x=level", "level", ["01", "02", "10"]),
        (repeat("01", "02", "10"), "x=number", "number", [1, 2, 10]),
        (repeat("True", "False"), "x=level", "level", ["True", "False"]),
        (repeat("3,14", "2,5"), "x=number", "number", [3.14, 2.5]),
        (repeat("2025|31|01", "2025|28|02"), "x=date:%Y|%d|%m", "date", [*pd.to_datetime(["20250131", "20250228"])]),
        (repeat("2025-01-31", "2025-02-28"), "x=level", "level", ["2025-01-31", "2025-02-28"]),
        (numbered(str), "x=date:%j", "date", None),
    ],
)  # fmt: skip
def test_the_caller_says_what_a_column_is(
    tmp_path: Path, values: list[str], wanted: str, kind: str, found: list[Any] | None
) -> None:
    if found is None:
        with pytest.raises(StudyError, match="is no date"):
            read(tmp_path / "data.csv", values, wanted)
        return
    data = read(tmp_path / "data.csv", values, wanted)
    assert column(data).kind == kind
    assert column(data).why.endswith("as asked")
    assert data.features["x"].tolist()[: len(found)] == found


def test_a_column_can_be_ignored_and_kept(tmp_path: Path) -> None:
    data = read(tmp_path / "data.csv", numbered(lambda i: f"n{i}"), "x=ignore")
    assert list(data.features.columns) == ["plain"]
    assert (column(data).kind, column(data).why) == ("left out", "as asked")
    ids = read(
        tmp_path / "data.csv", repeat("a", "b"), "customer_id=number", customer_id=[i * 7 % 101 for i in range(ROWS)]
    )
    assert "customer_id" in ids.features.columns
    names = read(tmp_path / "data.csv", numbered(lambda i: f"n{i}"), "x=level")
    assert "x" in names.features.columns


@pytest.mark.parametrize(
    ("values", "wanted", "said"),
    [
        (repeat("1", "2", "many"), "x=number", r"`--column x=number` can't be done: 'many' in row 3 \(line 4\)"),
        (repeat("1", "2", "many"), "x=date", r"x=date` can't be done: '1' in row 1 .* is no date.*x=date:%d/%m/%Y"),
        (repeat("2025-01-31", "soon"), "x=date", r"'soon' in row 2 \(line 3\) is no date"),
        (repeat("1"), "y=level", r"`--column y=level` must name a column of .*no 'y'.* columns are: x, plain, kind"),
        (repeat("1"), "plian=level", "Did you mean 'plain'?"),
        (repeat("1"), "kind=ignore", "`--column kind=ignore`: the target must be number or level"),
        (repeat("1"), "kind=number", "`--column kind=number` can't be done: 'b' in row 1"),
    ],
)  # fmt: skip
def test_what_can_t_be_done_is_refused_with_the_value_and_its_line(
    tmp_path: Path, values: list[str], wanted: str, said: str
) -> None:
    with pytest.raises(StudyError, match=said):
        read(tmp_path / "data.csv", values, wanted)


@pytest.mark.parametrize("text", ["x", "x=", "=level", "x=words", "x=level:3", "x=date:soon", ""])
def test_what_is_no_kind_is_refused(text: str) -> None:
    with pytest.raises(
        StudyError, match=r"`--column` must be NAME=KIND, where KIND is number, level, date, text or ignore"
    ):
        WantedColumn.of(text)


def test_a_name_may_hold_an_equals_sign() -> None:
    assert WantedColumn.of("a=b=level") == WantedColumn("a=b", "level")


@pytest.mark.parametrize("words", [("None", "type 1"), ("NA", "EU", "US"), ("nan", "null", "x"), ("?", "!")])
def test_classes_named_like_a_missing_value_are_classes(tmp_path: Path, words: tuple[str, ...]) -> None:
    path = written(tmp_path / "data.csv", range(ROWS))
    frame = pd.read_csv(path).assign(kind=repeat(*words))
    frame.to_csv(path, index=False)
    data = open_data(path, "kind")
    assert data.classes == tuple(sorted(words))
    assert data.rows == ROWS
    assert any("named" in warning and "taken as they stand" in warning for warning in data.warnings)


def test_classes_that_differ_in_letters_or_spaces_alone_are_named(tmp_path: Path) -> None:
    path = written(tmp_path / "data.csv", range(ROWS))
    pd.read_csv(path).assign(kind=repeat("Yes", "yes", "No", "no way", "no  way")).to_csv(path, index=False)
    data = open_data(path, "kind")
    assert data.classes == ("No", "Yes", "no  way", "no way", "yes")
    assert data.warnings == (
        "kind has classes that differ in letters or spaces alone: 'Yes' (12 rows) and 'yes' (12 rows); "
        "'no  way' (12 rows) and 'no way' (12 rows). Write them alike.",
    )


def test_words_among_a_target_of_numbers_are_said_first_and_can_be_a_class(tmp_path: Path) -> None:
    path = written(tmp_path / "data.csv", range(ROWS))
    pd.read_csv(path).assign(kind=repeat("1", "2", "None")).to_csv(path, index=False)
    data = open_data(path, "kind")
    assert (data.rows, data.classes) == (40, (1, 2))
    assert data.warnings[0].startswith("kind is 'None' (20 rows): taken for missing values")
    data = open_data(path, "kind", wanted=[WantedColumn.of("kind=level")])
    assert (data.rows, data.classes) == (ROWS, ("1", "2", "None"))


def test_a_target_of_money_is_a_number_and_one_of_dates_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "data.csv", range(ROWS))
    pd.read_csv(path).assign(kind=numbered(lambda i: f"$1,{i:03d}.5")).to_csv(path, index=False)
    assert open_data(path, "kind").y.tolist() == [1000.5 + i for i in range(ROWS)]
    pd.read_csv(path).assign(kind=days("%Y-%m-%d")).to_csv(path, index=False)
    with pytest.raises(StudyError, match=r"'kind' holds dates. Pass --column kind=level"):
        open_data(path, "kind")


def test_a_decimal_sign_that_is_given_and_does_not_fit_is_refused(tmp_path: Path) -> None:
    values = repeat("3.14", "2.5", "0.125")
    with pytest.raises(
        StudyError, match=r"'3.14' in row 1 \(line 2\) is no number with the decimal sign ',', which was"
    ):
        read(tmp_path / "data.csv", values, form=TextForm(decimal=","))
    quoted = read(
        tmp_path / "data.csv", repeat("3,14", "2,5", "1.000"), form=TextForm(sep=",", decimal=","), plain=repeat(1, 2)
    )
    assert quoted.features["x"].tolist()[:3] == [3.14, 2.5, 1000]


def test_text_of_rare_values_is_warned_of(tmp_path: Path) -> None:
    data = read(tmp_path / "data.csv", [f"street {i if i > 3 else 0}" for i in range(ROWS)])
    assert column(data).kind == "text"
    [said] = [text for text in suspicions(data) if text.startswith("x is text")]
    assert "57 different values, 93 % of them rare" in said
    assert "--column x=ignore" in said


def test_the_target_in_another_form_is_warned_of(tmp_path: Path) -> None:
    prices = np.random.default_rng(2).integers(1000, 9000, ROWS)
    path = written(tmp_path / "data.csv", [f"${price:,}" for price in prices])
    pd.read_csv(path).assign(kind=[f"{price / 1000:.3f}" for price in prices]).to_csv(path, index=False)
    data = open_data(path, "kind")
    assert any(text.startswith("x alone gives kind away") for text in suspicions(data))
    marked = {record.name: record.why for record in column_records(data, suspicions(data))}
    assert marked["x"] == "numbers in $, thousands set apart by ','; a warning tells of it"
    assert marked["plain"] == "numbers"


def test_options_of_text_files_are_for_files(tmp_path: Path) -> None:
    for form, name in ((TextForm(sep=";"), "--sep"), (TextForm(decimal=","), "--decimal")):
        with pytest.raises(StudyError, match=f"`{name}`: for a data file, not for images"):
            open_data(None, form=form)
    with pytest.raises(StudyError, match="`--column`: for a data file, not for images"):
        open_data(None, wanted=[WantedColumn.of("x=level")])


def test_ids_constants_and_empty_columns_are_left_out_and_named(tmp_path: Path) -> None:
    data = read(
        tmp_path / "data.csv", numbered(lambda i: f"n{i}"), patient_id=[i * 7 % 101 for i in range(ROWS)],
        same=repeat("Ulm"), empty=repeat(None), two=repeat("Ulm", None),
    )  # fmt: skip
    assert list(data.features.columns) == ["plain", "two"]
    assert {column.name: column.why for column in data.columns if column.kind == "left out"} == {
        "x": "it names the rows, 60 different texts",
        "patient_id": "it numbers the rows: whole numbers, all different",
        "same": "one value in all rows: 'Ulm'",
        "empty": "no value in any row",
    }
    assert "patient_id numbers the rows and was left out. --column patient_id=number keeps it." in data.notes
    assert "same has the same value in all 60 rows and was left out." in data.notes
    with pytest.raises(
        StudyError,
        match=r"must be a column to learn from besides the target 'kind'. x: no value in any row; plain: as asked",
    ):
        open_data(written(tmp_path / "data.csv", repeat(None)), "kind", wanted=[WantedColumn.of("plain=ignore")])
