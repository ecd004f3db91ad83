"""Which files are looked at, by which rules: [tool.thinned], options, noqa."""

from __future__ import annotations

from pathlib import Path

import pytest

from thinned.model.check.check import check
from thinned.model.check.registry import rules
from thinned.model.check.settings import CheckError
from thinned.model.check.walk import check_paths, check_text

from .conftest import BAD, NET, Write

TWO = NET.format(call="F.dropout(nn.Dropout(0.9)(x), 0.5)")  # THN101, THN103 and THN402


def codes(*paths: str, **options: object) -> list[str]:
    return [finding.code for finding in check_paths(paths or (".",), **options)]  # type: ignore[arg-type]


def test_everything_is_on(write: Write) -> None:
    write("net.py", TWO)
    assert codes() == ["THN101", "THN103", "THN402"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"select": ["THN1"]}, ["THN101", "THN103"]),
        ({"select": ["THN101,THN402"]}, ["THN101", "THN402"]),
        ({"select": ["ALL"], "ignore": ["THN1"]}, ["THN402"]),
        ({"select": ["THN101", "THN4"], "ignore": ["THN1"]}, ["THN101", "THN402"]),
        ({"select": []}, []),
        ({"ignore": ["THN103"]}, ["THN101", "THN402"]),
        ({"exclude": ["net.py"]}, []),
        ({"exclude": ["pack"]}, ["THN101", "THN103", "THN402"]),
    ],
)
def test_options(write: Write, options: dict[str, list[str]], expected: list[str]) -> None:
    write("net.py", TWO)
    assert codes(**options) == expected


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('select = ["THN1"]', ["THN101", "THN103"]),
        ('ignore = ["THN1"]', ["THN402"]),
        ('exclude = ["src"]', []),
        ('exclude = ["src/*.py"]', []),
        ('exclude = ["other/"]', ["THN101", "THN103", "THN402"]),
        ('per-file-ignores = {"src/*" = ["THN4"], "*.pyi" = ["THN1"]}', ["THN101", "THN103"]),
        ('per-file-ignores = {"net.py" = ["THN"]}', []),
    ],
)
def test_the_settings_of_pyproject(write: Write, table: str, expected: list[str]) -> None:
    write("pyproject.toml", f"[tool.thinned]\n{table}\n")
    write("src/net.py", TWO)
    assert codes() == expected


def test_the_nearest_settings_hold(write: Write) -> None:
    write("pyproject.toml", '[tool.thinned]\nselect = ["THN402"]\n')
    write("a/pyproject.toml", "[tool.other]\n")
    write("a/net.py", TWO)
    write("b/pyproject.toml", '[tool.thinned]\nselect = ["THN103"]\n')
    write("b/net.py", TWO)
    assert codes() == ["THN402", "THN103"]
    assert codes(select=["THN101"]) == ["THN101", "THN101"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('lines = ["a"]', "must have no keys but select, ignore, exclude, per-file-ignores. Got lines"),
        ('select = "THN1"', "`select` must be a list of strings. Got 'THN1'"),
        ('select = ["E501"]', "must be codes of rules or their beginnings. Got 'E501'"),
        ('per-file-ignores = ["THN1"]', "must be a table"),
        ('per-file-ignores = {"a" = "THN1"}', "must be a list of strings"),
        ("select = [", "can't be read"),
    ],
)
def test_wrong_settings_are_errors(write: Write, table: str, message: str) -> None:
    write("pyproject.toml", f"[tool.thinned]\n{table}\n")
    write("net.py")
    with pytest.raises(CheckError, match="pyproject") as raised:
        codes()
    assert message in str(raised.value)


def test_wrong_options_are_errors(write: Write) -> None:
    write("net.py")
    for options in ({"select": ["F401"]}, {"ignore": ["THN9"]}):
        with pytest.raises(CheckError, match="must be codes of rules"):
            codes(**options)
    with pytest.raises(CheckError, match=r"Got 'nowhere.py', which is not there"):
        codes("nowhere.py")


def test_folders_that_hold_no_own_code_are_not_walked(write: Write) -> None:
    for folder in (".venv/lib", ".git", "build", "node_modules/x", "src/__pycache__"):
        write(f"{folder}/net.py")
    write("src/net.py")
    write("src/net.txt")
    assert [finding.file for finding in check_paths(["."])] == ["src/net.py"]
    assert codes("build") == ["THN101"]  # unless one is named


def test_a_named_file_is_checked_although_excluded(write: Write) -> None:
    write("net.py")
    assert codes("net.py", exclude=["net.py"]) == ["THN101"]
    assert codes("net.py", exclude=["net.py"], force_exclude=True) == []


def test_a_file_is_checked_once(write: Write) -> None:
    write("src/net.py")
    assert codes("src", "src/net.py", ".") == ["THN101"]


def test_what_can_t_be_read_does_not_stop_the_rest(write: Write) -> None:
    write("a.py", "def f(:\n")
    write("b.py").write_bytes(b"x = '\xff'\n")
    write("c.py", "# coding: nonsense\n")
    write("d.py", "x = " + "(" * 5000 + ")" * 5000)
    write("e.py")
    found = check_paths(["."])
    assert [finding.file for finding in found] == ["e.py"]
    assert [(error.file, error.line) for error in found.errors] == [("a.py", 1), ("b.py", 1), ("c.py", 1), ("d.py", 1)]
    assert "no valid Python" in found.errors[0].message
    assert found.summary().startswith("Found 1 finding. 4 files could not be read.")


@pytest.mark.parametrize(
    ("comment", "silenced"),
    [
        ("# noqa", True),
        ("# NOQA", True),
        ("# noqa: THN101", True),
        ("# noqa:THN402,THN101", True),
        ("# noqa: E501, THN101  it is meant", True),
        ("# type: ignore # noqa: THN101", True),
        ("# noqa: THN102", False),
        ("# noqa: E501", False),
        ("# nothing", False),
    ],
)
def test_noqa(comment: str, silenced: bool) -> None:
    text = BAD.replace("F.dropout(x, 0.5)", f"F.dropout(x, 0.5)  {comment}")
    assert (check_text("net.py", text, rules().values()) == []) == silenced


def test_noqa_in_a_string_silences_nothing() -> None:
    text = BAD.replace("F.dropout(x, 0.5)", "F.dropout(x, 0.5), '# noqa'")
    assert len(check_text("net.py", text, rules().values())) == 1


def test_columns_count_characters(write: Write) -> None:
    text = BAD.replace("return F", "return 'äöü€𝄞', F")
    (finding,) = check_text("net.py", text, rules().values())
    assert finding.column == text.splitlines()[finding.line - 1].index("F.dropout") + 1


def test_nothing_to_check_is_no_pass(write: Write, tmp_path: Path) -> None:
    write("data/a.csv", "a,b")
    write("plain.py", "x = 1")
    for path, why in (("data", "no Python file and no notebook in data"), ("plain.py", "no use of torch in 1 file of")):
        found = check(path)
        assert (len(found), found.failed, found.nothing.startswith(why)) == (0, True, True)
        assert str(found).startswith(f"Nothing to check: {why}")
    write("net.py", "import torch")
    assert (check(tmp_path).failed, check(tmp_path).nothing, str(check(tmp_path))) == (False, "", "All checks passed.")


def test_the_function_takes_paths(write: Write, tmp_path: Path) -> None:
    path = write("net.py", TWO)
    assert [finding.code for finding in check(path, ignore=["THN4"])] == ["THN101", "THN103"]
    assert [finding.code for finding in check(str(tmp_path), select="THN4")] == ["THN402"]
    with pytest.raises(TypeError, match="a path takes no example"):
        check(path, 1)
    with pytest.raises(TypeError, match=r"must be a torch.nn.Module, or the path .* Got int"):
        check(3)  # type: ignore[arg-type]
