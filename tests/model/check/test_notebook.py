"""Notebooks are read as people write them: cells of text, magics, shell lines; findings say the cell and its line."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import thinned
from thinned.model.check.fix import mend
from thinned.model.check.notebook import python_lines
from thinned.model.check.walk import check_paths

from .conftest import BAD, GOOD, Write


def notebook(*cells: str, language: str = "python", **extra: Any) -> str:
    """A notebook whose cells are code, but for those that begin with "#text"."""
    return json.dumps(
        {
            "cells": [
                {
                    "cell_type": "markdown" if cell.startswith("#text") else "code",
                    "metadata": {},
                    "source": cell.splitlines(keepends=True),
                    **({} if cell.startswith("#text") else {"outputs": [], "execution_count": None}),
                }
                for cell in cells
            ],
            "metadata": {"kernelspec": {"language": language, "name": "kernel"}},
            "nbformat": 4,
            "nbformat_minor": 5,
            **extra,
        },
        indent=1,
    )


FAULTY = notebook(
    "#text A model\n",
    "!pip install torch\n%matplotlib inline\nimport torch\nfrom torch import nn",
    "import torch.nn.functional as F\n\nclass Net(nn.Module):\n    def forward(self, x):\n        return F.dropout(x)",
    "net = Net()\nnet?",
)


def test_a_finding_has_its_cell_and_its_line_there(write: Write) -> None:
    write("a.ipynb", FAULTY)
    found = check_paths(["."])
    (finding,) = found
    assert (finding.code, finding.file, finding.cell, finding.line, finding.column) == ("THN101", "a.ipynb", 3, 5, 16)
    assert str(found).splitlines()[0].startswith("a.ipynb:cell 3:5:16: THN101 `dropout` drops in evaluation too")
    assert len(thinned.check("a.ipynb")) == 1


def test_every_format_says_the_cell(write: Write) -> None:
    write("a.ipynb", FAULTY)
    found = check_paths(["."])
    (row,) = json.loads(found.to_json())
    assert (row["cell"], row["location"], row["fix"]) == (3, {"row": 5, "column": 16}, None)
    assert found.to_github().startswith("::error title=thinned (THN101),file=a.ipynb::a.ipynb:cell 3:5:16: THN101 ")
    (result,) = json.loads(found.to_sarif())["runs"][0]["results"]
    assert result["message"]["text"].startswith("cell 3, line 5, column 16: `dropout`")
    assert result["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": "a.ipynb"}}}]
    write("a.py", BAD)
    assert {row["cell"] for row in json.loads(check_paths(["a.py"]).to_json())} == {None}


def test_what_one_cell_builds_another_runs(write: Write) -> None:
    build = (
        f"import torch\n{GOOD}\nclass Deep(nn.Module):\n    def __init__(self):\n        self.drop = nn.Dropout(0.1)"
    )
    write("a.ipynb", notebook(build, "net = Deep()", "with torch.no_grad():\n    y = net(x)"))
    write("b.ipynb", notebook(build, "net = Deep()", "net.eval();", "with torch.no_grad():\n    y = net(x)"))
    assert [(f.file, f.code, f.cell, f.line) for f in check_paths(["."])] == [("a.ipynb", "THN104", 3, 2)]


def test_noqa(write: Write) -> None:
    write("a.ipynb", FAULTY.replace("F.dropout(x)", "F.dropout(x)  # noqa: THN101"))
    assert list(check_paths(["."])) == []


def test_settings_hold_for_notebooks_too(write: Write) -> None:
    write("pyproject.toml", '[tool.thinned]\nper-file-ignores = {"*.ipynb" = ["THN101"]}\n')
    write("a.ipynb", FAULTY)
    write(".ipynb_checkpoints/a.ipynb", FAULTY)
    found = check_paths(["."])
    assert (list(found), found.nothing) == ([], "")


@pytest.mark.parametrize(
    ("cell", "python"),
    [
        ("%matplotlib inline\nx = 1", "pass\nx = 1"),
        ('!pip install -q torch && echo "it\'s"\nx = 1', "pass\nx = 1"),
        ("!pip install torch \\\n    torchvision\nx = 1", "pass\n\nx = 1"),
        ("%%time\nx = 1", "\nx = 1"),
        ("%%capture out\nx = 1", "\nx = 1"),
        ("%%bash\nls -la | grep 'x", "\n"),
        ("%%writefile net.py\nimport torch", "\n"),
        ("\n%%html\n<b>x</b>", "\n\n"),
        ("net?", "pass"),
        ("net.fit??", "pass"),
        ("?net", "pass"),
        ("??net.fit", "pass"),
        ("files = !ls *.csv", "files = None"),
        ("t = %timeit -o f(x)", "t = None"),
        ("a, b = !ls", "a, b = None"),
        ("if gpu:\n    !nvidia-smi\nelse:\n    %load_ext x", "if gpu:\n    pass\nelse:\n    pass"),
        ("y = (a\n     % b)", "y = (a\n     % b)"),
        ("y = a \\\n  % b", "y = a \\\n  % b"),
        ('s = """\n!ls\n%x\n"""', 's = """\n!ls\n%x\n"""'),
        ("s = '''a''' + '''\n!ls\n'''\n!ls", "s = '''a''' + '''\n!ls\n'''\npass"),
        ("x = f(\n    '(',  # (\n    1,\n)\n%time x", "x = f(\n    '(',  # (\n    1,\n)\npass"),
        ("a != b", "a != b"),
        ('print("x=%d" % 3)', 'print("x=%d" % 3)'),
        ("'x=%d' % 3", "'x=%d' % 3"),
        ("found['a'], *rest = !ls", "found['a'], *rest = None"),
        ("a %= b", "a %= b"),
        ("print(a, '?')", "print(a, '?')"),
        ("x = a % b", "x = a % b"),
        ("x = '!'", "x = '!'"),
        ("model.eval();", "model.eval();"),
        ("await f()", "await f()"),
        ("", ""),
    ],
)
def test_lines_for_ipython(cell: str, python: str) -> None:
    read = "\n".join(python_lines(cell))
    assert read == python
    ast.parse(read)


def test_a_broken_cell_is_said_and_the_others_are_checked(write: Write) -> None:
    write("a.ipynb", notebook("#text", "def f(:\n", BAD))
    found = check_paths(["."])
    assert [(f.code, f.cell) for f in found] == [("THN101", 3)]
    assert [(e.file, e.cell, e.line, e.message[:15]) for e in found.errors] == [("a.ipynb", 2, 1, "no valid Python")]
    assert found.summary() == "Found 1 finding. 1 file could not be read."


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"cells": 3}', '{"cells": [{"cell_type": "code"}]}', "x = 1"])
def test_no_notebook_is_an_error(write: Write, text: str) -> None:
    write("a.ipynb", text)
    (error,) = check_paths(["a.ipynb"]).errors
    assert error.message.startswith("no valid notebook: ")


def test_other_languages_and_old_notebooks(write: Write) -> None:
    write("r.ipynb", notebook("x <- 1", language="R"))
    assert check_paths(["."]).nothing == "no use of torch in 1 file of ."
    old = json.loads(notebook(BAD))
    (cell,) = old.pop("cells")
    cell["input"] = cell.pop("source")
    write("old.ipynb", json.dumps({**old, "nbformat": 3, "worksheets": [{"cells": [cell]}]}))
    assert [(f.file, f.cell) for f in check_paths(["."])] == [("old.ipynb", 1)]


def test_fixes_leave_notebooks_as_they_are(write: Write) -> None:
    path: Path = write("a.ipynb", FAULTY)
    write("a.py", BAD)
    before = path.read_bytes()
    for preview in (True, False):
        made = mend(["."], preview=preview)
        assert (made.fixes, made.notebooks) == (1, ("a.ipynb",))
        assert path.read_bytes() == before
