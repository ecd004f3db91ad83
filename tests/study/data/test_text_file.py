"""Text files as people have them: read as they were meant, or refused with the line and what to do."""

from __future__ import annotations

import codecs
import gzip
from pathlib import Path

import numpy as np
import pytest

from thinned.study.data.dataset import Dataset, StudyError
from thinned.study.data.overrule import TextForm
from thinned.study.data.source import open_data

ROWS = 48


def records(sep: str = ",", decimal: str = ".", town: str = "Köln") -> list[str]:
    """A header and rows of two numbers, a town and a class; the fourth number is 1.75."""
    lines = [sep.join(("size", "weight", "town", "kind"))]
    for i in range(ROWS):
        weight = f"{i * 0.5 + 0.25:.2f}".replace(".", decimal)
        lines.append(sep.join((str(i * 7 % 11), weight, (town, "Ulm")[i % 2], ("a", "b")[i // 3 % 2])))
    return lines


def opened(path: Path, content: str | bytes, form: TextForm | None = None) -> Dataset:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_data(path, "kind", form=form)


def as_meant(data: Dataset, town: str = "Köln") -> None:
    assert list(data.features.columns) == ["size", "weight", "town"]
    assert data.features["weight"].tolist() == [i * 0.5 + 0.25 for i in range(ROWS)]
    assert data.features["size"].tolist() == [i * 7 % 11 for i in range(ROWS)]
    assert set(data.features["town"]) == {town, "Ulm"}
    assert data.classes == ("a", "b")


@pytest.mark.parametrize(
    ("sep", "decimal", "said"),
    [
        (",", ".", "Read as utf-8 with comma between fields; the decimal sign is '.'."),
        (";", ",", "Read as utf-8 with semicolon between fields; the decimal sign is ','."),
        (";", ".", "Read as utf-8 with semicolon between fields; the decimal sign is '.'."),
        ("\t", ",", "Read as utf-8 with tab between fields; the decimal sign is ','."),
        ("|", ".", "Read as utf-8 with pipe between fields; the decimal sign is '.'."),
        (", ", ".", "Read as utf-8 with comma between fields; the decimal sign is '.'."),
    ],
)
def test_separators_and_decimal_signs_are_found_and_said(tmp_path: Path, sep: str, decimal: str, said: str) -> None:
    data = opened(tmp_path / "data.csv", "\n".join(records(sep, decimal)))
    as_meant(data)
    assert said in data.notes


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["data.tsv", "data.csv.gz", "data.tsv.gz"])
def test_other_names_and_line_ends(tmp_path: Path, name: str, end: str) -> None:
    text = (end.join(records("\t" if "tsv" in name else ",")) + end).encode()
    as_meant(opened(tmp_path / name, gzip.compress(text) if name.endswith("gz") else text))


@pytest.mark.parametrize(
    ("encoding", "bom"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-16-le", b""),
        ("utf-16-be", b""),
        ("utf-32-le", codecs.BOM_UTF32_LE),
        ("cp1252", b""),
    ],
)
def test_encodings_are_found(tmp_path: Path, encoding: str, bom: bytes) -> None:
    as_meant(opened(tmp_path / "data.csv", bom + "\n".join(records(";", ",")).encode(encoding)))


def test_a_guessed_encoding_is_said_with_a_word_to_judge_it_by(tmp_path: Path) -> None:
    data = opened(tmp_path / "data.csv", "\n".join(records()).encode("cp1252"))
    assert (
        "Read as cp1252 with comma between fields; the encoding is a guess (is 'Köln' right?), and --encoding says it; "
        "the decimal sign is '.'."
    ) in data.notes


@pytest.mark.parametrize(("encoding", "town"), [("cp949", "서울"), ("shift_jis", "東京"), ("cp1251", "Москва")])
def test_an_encoding_that_is_given_is_taken(tmp_path: Path, encoding: str, town: str) -> None:
    content = "\n".join(records(town=town)).encode(encoding)
    as_meant(opened(tmp_path / "data.csv", content, TextForm(encoding=encoding)), town)


@pytest.mark.parametrize(("encoding", "town"), [("cp949", "면적"), ("gb18030", "北京"), ("cp1251", "Москва")])
def test_text_of_another_script_is_not_guessed_and_each_reading_is_shown(
    tmp_path: Path, encoding: str, town: str
) -> None:
    with pytest.raises(StudyError, match=f"no text of Western Europe.*--encoding: .*{encoding} reads '{town}'"):
        opened(tmp_path / "data.csv", "\n".join(records(town=town)).encode(encoding))


def test_a_wrong_encoding_is_told_with_its_line(tmp_path: Path) -> None:
    content = "\n".join(records()).encode("cp1252")
    with pytest.raises(StudyError, match=r"line 2 is no utf-8, which was asked for. Pass the file's --encoding"):
        opened(tmp_path / "data.csv", content, TextForm(encoding="utf-8"))
    damaged = "\n".join(records()).encode().replace(b"a\n", b"\xff\n", 1)
    with pytest.raises(StudyError, match=r"line 2 is no UTF-8, and other lines are. Mend it, or pass the file's --enc"):
        opened(tmp_path / "data.csv", damaged)
    with pytest.raises(StudyError, match=r"line 2 is no UTF-8, and line 3 is no cp1252. Pass the file's --encoding"):
        opened(tmp_path / "data.csv", b"x,kind\n\xe4,a\n\x81,b\n")


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        StudyError, match=r"as utf-8 it holds zero bytes, which no text does. Pass the file's --encoding"
    ):
        opened(tmp_path / "data.csv", b"PK\x03\x04\0\x14kind,x\n1,2\n3,4\n" * 20)


def test_separators_and_decimal_signs_can_be_given(tmp_path: Path) -> None:
    as_meant(opened(tmp_path / "data.csv", "\n".join(records(" ", ",")), TextForm(sep="space", decimal=",")))
    as_meant(opened(tmp_path / "data.csv", "\n".join(records("^")), TextForm(sep="^")))
    with pytest.raises(StudyError, match=r"It was read as one column: pass the sign between columns as --sep"):
        opened(tmp_path / "data.csv", "\n".join(records("^")))
    (tmp_path / "data.parquet").touch()
    with pytest.raises(StudyError, match=r"--encoding: for text files. This is none. Leave --encoding out"):
        open_data(tmp_path / "data.parquet", "kind", form=TextForm(encoding="utf-8"))


def test_a_file_without_names_is_told(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no 'kind'. The first line must name the columns, and it looks like a row"):
        opened(tmp_path / "data.csv", "\n".join(records()[1:]).replace("Köln", "3").replace("Ulm", "4"))


def test_quoted_fields_keep_their_signs_and_their_lines(tmp_path: Path) -> None:
    lines = records()
    lines[5] = '3,1.75,"Bad\nHonnef, ""am"" Rhein",a'
    lines[9] = "1,x,Ulm,a"
    with pytest.raises(StudyError, match=r"the first in row 9: 'x' \(line 11\)"):
        opened(tmp_path / "data.csv", "\n".join(lines))
    lines[9] = "1,4.25,Ulm,a"
    assert opened(tmp_path / "data.csv", "\n".join(lines)).features["town"][4] == 'Bad\nHonnef, "am" Rhein'


def test_a_line_for_spreadsheets_and_blank_lines_are_no_rows(tmp_path: Path) -> None:
    lines = ["sep=;", *records(";"), "", "  "]
    data = opened(tmp_path / "data.csv", "\n".join(lines))
    as_meant(data)
    lines[10] = "1;x;Ulm;a"
    with pytest.raises(StudyError, match=r"\(line 11\)"):
        opened(tmp_path / "data.csv", "\n".join(lines))


def changed(number: int, line: str) -> str:
    lines = records()
    lines[number - 1] = line
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n".join([records()[0], *(f"{line}," for line in records()[1:])]),
         r"line 2 has 5 fields, the header has 4 \(comma between fields\), and so have 47 other lines. Take the comma "
         "off the end of each line"),
        (changed(7, records()[6] + ","), r"line 7 has 5 fields, the header has 4 .*Take the comma off the end of it"),
        ("\n".join(f"{line}," for line in records()), r"line 1: every column must have a name. Field 5 of 5 .*off"),
        (changed(1, "size,,town,kind"), r"line 1: every column must have a name. Field 2 of 4 has none. Name it."),
        ("\n\n" + changed(1, "size, ,town,kind"), r"line 3: every column must have a name. Field 2"),
        (changed(1, "size,kind,town,kind"), r"line 1: column names must differ. 'kind' is there twice, in fields 2 a"),
        (changed(1, "size, town,town ,kind"), r"'town' is there twice, in fields 2 and 3"),
        (changed(9, "1,2.5,a"), r"line 9 has 3 fields, the header has 4 .*Fill the row up"),
        (changed(9, "1,200,2.5,Ulm,a"), r"line 9 has 5 fields, .*A field that holds the sign between fields must be q"),
        ("\n".join([records()[0], *(f"{i},{line}" for i, line in enumerate(records()[1:]))]),
         "Name the column that the header leaves out"),
        (changed(9, '1,"2.5,Ulm,a'), r"the row that begins in line 9 has quotes that do not fit"),
        ("\n".join(["Report of May", "", *records()]),
         r"line 3 has 4 fields, the header has 1 .*Take away what stands above the names of the columns"),
        ("", "it is empty. Its first line must name the columns"),
    ],
)  # fmt: skip
def test_a_row_or_a_name_too_much_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        opened(tmp_path / "data.csv", text)


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
@pytest.mark.parametrize("start", [0, 1, 4711])
def test_an_index_without_a_name_is_left_out_and_named(tmp_path: Path, name: str, start: int) -> None:
    first, *others = records()
    data = opened(
        tmp_path / "data.csv", "\n".join([f"{name},{first}", *(f"{start + 3 * i},{x}" for i, x in enumerate(others))])
    )
    as_meant(data)
    assert f"{name or 'The first column, which has no name,'} numbers the rows and was left out." in data.notes


def test_a_first_column_without_a_name_that_is_no_index_is_refused(tmp_path: Path) -> None:
    first, *others = records()
    with pytest.raises(StudyError, match=r"line 1: every column must have a name. Field 1 of 5 has none"):
        opened(tmp_path / "data.csv", "\n".join([f",{first}", *(f"n{i},{x}" for i, x in enumerate(others))]))


def test_two_arrays_that_give_one_name_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", X=np.ones((50, 2)), X_1=np.arange(50), y=np.arange(50) % 2)
    with pytest.raises(StudyError, match=r"column names must differ. 'X_1' is there twice"):
        open_data(tmp_path / "data.npz")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sep": "abc"}, "`--sep` must be one sign, or one of tab, comma, semicolon, pipe, space. Got 'abc'."),
        ({"sep": "x"}, "`--sep` must be one sign"),
        ({"encoding": "utf-9"}, "`--encoding` must be an encoding that Python knows, as utf-8, cp1252, .*Got 'utf-9'"),
        ({"encoding": "base64"}, "`--encoding` must be an encoding"),
        ({"decimal": ";"}, "`--decimal` must be . or ,. Got ';'."),
    ],
)
def test_a_form_that_no_file_has_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        TextForm(**given)
