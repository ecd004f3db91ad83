"""`thinned check`, `rules` and `rule`: what they print, and their exit codes."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from thinned.model.check.registry import rules
from thinned.model.check.settings import settings_for

from .conftest import Thinned

BAD = """\
import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(8, 2)

    def forward(self, x, mask=None):
        x = F.dropout(x, 0.5)
        return self.out(x if mask is None else x * mask)


def inputs():
    return {"x": torch.ones(2, 8), "mask": torch.ones(2, 8)}


def pair():
    return torch.ones(2, 8), torch.ones(2, 8)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(2, 8)
        self.dropout = nn.Dropout(0.9)
        self.out = nn.Linear(8, 2)

    def forward(self, tokens):
        return self.out(self.dropout(self.embedding(tokens)))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with one file, whose module is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "faulty_net.py").write_text(BAD)
    yield tmp_path
    sys.modules.pop("faulty_net", None)


def test_findings_are_1_and_none_0(thinned: Thinned, project: Path) -> None:
    found = thinned("check", ".")
    assert found.exit_code == 1
    assert found.output.splitlines()[0] == (
        "faulty_net.py:12:13: THN101 [*] `dropout` drops in evaluation too: it is not told `training`"
    )
    assert found.output.splitlines()[-1] == "Found 2 findings. 1 can be mended with --fix."
    assert thinned("check", ".", "--exit-zero").exit_code == 0
    (project / "faulty_net.py").write_text("import torch\n\nx = torch.ones(1)\n")
    nothing = thinned("check", ".")
    assert (nothing.exit_code, nothing.output) == (0, "All checks passed.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give PATHS, or --model and --input"),
        (["src", "--model", "a:b"], "give PATHS, or --model and --input"),
        (["nowhere"], "Got 'nowhere', which is not there"),
        ([".", "--select", "E5"], "Got 'E5'"),
        ([".", "--input", "1x3"], "--input belongs to --model"),
        (["--model", "faulty_net:Net", "--fix"], "--fix and --diff are for source code"),
        (["--model", "faulty_net"], "must be package.module:factory. Got 'faulty_net'"),
        (["--model", "no_such_net:Net"], "there is no module 'no_such_net'"),
        (["--model", "faulty_net:Nett"], "faulty_net has no 'Nett'. It has Net, Words, inputs, pair"),
        (["--model", "faulty_net:pair"], "must give a torch.nn.Module. It gives tuple"),
        (["--model", "faulty_net:Net", "--input", "2by8"], "an input must be a shape"),
        (["--model", "faulty_net:Net", "--input", "int63:2x8"], "type must be one of torch's"),
        (["--model", "faulty_net:Net", "--input", "2x9"], "faulty_net:Net fails on --input 2x9: RuntimeError"),
    ],
)
def test_what_can_t_be_done_is_2(thinned: Thinned, project: Path, arguments: list[str], message: str) -> None:
    found = thinned("check", *arguments)
    assert found.exit_code == 2
    assert message in " ".join(found.output.split())


def test_a_broken_file_is_2_and_the_others_are_checked(thinned: Thinned, project: Path) -> None:
    (project / "broken.py").write_text("def f(:\n")
    found = thinned("check", ".")
    assert found.exit_code == 2
    assert "broken.py:1:7: error no valid Python" in found.output
    assert "faulty_net.py:12:13: THN101" in found.output


def test_select_and_ignore(thinned: Thinned, project: Path) -> None:
    assert "THN101" not in thinned("check", ".", "--select", "THN4").output
    assert "THN402" not in thinned("check", ".", "--ignore", "THN402,THN6").output


def test_formats(thinned: Thinned, project: Path) -> None:
    assert [each["code"] for each in json.loads(thinned("check", ".", "--output-format", "json").output)] == [
        "THN101",
        "THN402",
    ]
    log = json.loads(thinned("check", ".", "--output-format", "sarif").output)
    assert [result["ruleId"] for result in log["runs"][0]["results"]] == ["THN101", "THN402"]
    github = thinned("check", ".", "--output-format", "github")
    assert github.exit_code == 1
    assert github.output.startswith("::error title=thinned (THN101),file=faulty_net.py,line=12,col=13::")


def test_the_pre_commit_hook_s_command_runs(thinned: Thinned, project: Path) -> None:
    hooks = (Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    (entry,) = re.findall(r"^  entry: thinned (.*)$", hooks, re.MULTILINE)
    assert thinned(*entry.split(), "faulty_net.py").exit_code == 1
    (project / "pyproject.toml").write_text('[tool.thinned]\nexclude = ["faulty_net.py"]\n')
    settings_for.cache_clear()
    assert thinned(*entry.split(), "faulty_net.py").exit_code == 0


@pytest.mark.parametrize(
    ("files", "arguments", "said"),
    [
        ({}, ["empty"], "no Python file and no notebook in empty"),
        ({"data/x.csv": "a,b\n", "data/net.txt": BAD}, ["data"], "no Python file and no notebook in data"),
        ({"plain/a.py": "x = 1\n", "plain/b.py": "import json\n"}, ["plain"], "no use of torch in 2 files of plain"),
        ({"plain.py": "x = 1\n"}, ["plain.py"], "no use of torch in 1 file of plain.py"),
        ({"conf.json": "{}"}, ["conf.json"], "no use of torch in 1 file of conf.json"),
        ({"nb.ipynb": '{"cells": []}'}, ["nb.ipynb"], "no use of torch in 1 file of nb.ipynb"),
        ({"src/.venv/net.py": BAD}, ["src"], "no Python file and no notebook in src"),
        ({"src/net.py": BAD}, ["src", "--exclude", "net.py"], "no Python file and no notebook in src"),
        ({"src/net.py": BAD}, ["src/net.py", "--force-exclude", "--exclude", "net.py"], "in src/net.py"),
    ],
)
def test_nothing_to_check_is_said_and_is_2(
    thinned: Thinned, project: Path, files: dict[str, str], arguments: list[str], said: str
) -> None:
    (project / "empty").mkdir()
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    found = thinned("check", *arguments)
    assert found.exit_code == 2
    assert found.output.startswith("Nothing to check: ")
    assert said in found.output
    meant = thinned("check", *arguments, "--allow-empty")
    assert (meant.exit_code, meant.output) == (0, found.output)


def test_nothing_to_check_in_every_form(thinned: Thinned, project: Path) -> None:
    (project / "plain.py").write_text("x = 1\n")
    for more in (["--fix", "--exit-zero"], ["--diff"], ["--output-format", "github"], ["--output-format", "sarif"]):
        found = thinned("check", "plain.py", *more)
        assert found.exit_code == 2, more
        assert "Nothing to check: no use of torch in 1 file of plain.py." in found.output
    found = thinned("check", "plain.py", "--output-format", "json")
    assert json.loads(found.stdout) == []
    assert found.stderr.startswith("Nothing to check: ")


def test_one_file_that_uses_torch_is_something(thinned: Thinned, project: Path) -> None:
    (project / "plain.py").write_text("x = 1\n")
    (project / "foreign.py").write_text("from mine import Base\n\nclass Net(Base):\n    def forward(self): ...\n")
    for names in (["plain.py", "foreign.py"], ["foreign.py"]):
        assert thinned("check", *names).output == "All checks passed.\n"


def test_a_notebook(thinned: Thinned, project: Path) -> None:
    cells = [{"cell_type": "code", "source": "%time x\n" + BAD}]
    (project / "net.ipynb").write_text(json.dumps({"cells": cells}))
    found = thinned("check", "net.ipynb")
    assert found.exit_code == 1
    assert found.output.splitlines()[0].startswith("net.ipynb:cell 1:13:13: THN101 `dropout` drops in evaluation too")
    mended = thinned("check", "net.ipynb", "--fix")
    assert mended.exit_code == 1
    assert "net.ipynb: notebooks are not rewritten. Mend the findings in it by hand." in mended.output


def test_fix(thinned: Thinned, project: Path) -> None:
    preview = thinned("check", ".", "--diff")
    assert preview.exit_code == 1
    assert "+        x = F.dropout(x, 0.5, training=self.training)" in preview.output
    assert (project / "faulty_net.py").read_text() == BAD
    mended = thinned("check", ".", "--fix")
    assert mended.exit_code == 1  # what can't be mended is left
    assert "Made 1 fix." in mended.output
    assert "THN101" not in mended.output
    assert (project / "faulty_net.py").read_text() == BAD.replace("0.5)\n", "0.5, training=self.training)\n", 1)
    assert thinned("check", ".", "--diff").exit_code == 0


@pytest.mark.parametrize("code", ["import torch\n", BAD])
def test_a_preview_that_could_not_read_a_file_is_2(thinned: Thinned, project: Path, code: str) -> None:
    (project / "faulty_net.py").write_text(code)
    (project / "broken.py").write_text("def f(:\n")
    preview = thinned("check", ".", "--diff", "--exit-zero")
    assert preview.exit_code == 2
    assert "broken.py:1:7: error no valid Python" in preview.stderr
    assert ("+        x = F.dropout(x, 0.5, training=self.training)" in preview.stdout) == (code == BAD)


def test_a_preview_that_nobody_can_read_is_said(project: Path) -> None:
    script = "from thinned.cli import main; main()"
    command = f"exec {shlex.quote(sys.executable)} -c '{script}' check . --diff >&-"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True)
    said = "thinned: the answer could not be printed: stdout is closed.\n"
    assert (done.returncode, done.stderr) == (2, f"Would make 1 fix.\n{said}")


@pytest.mark.parametrize("inputs", [["2x8"], ["2x8", "mask=2x8"], ["faulty_net:pair"], ["faulty_net:inputs"]])
def test_a_model(thinned: Thinned, project: Path, inputs: list[str]) -> None:
    arguments = [part for text in inputs for part in ("--input", text)]
    found = thinned("check", "--model", "faulty_net:Net", *arguments, "--select", "THN101")
    assert found.exit_code == 1, found.output
    assert found.output.splitlines()[0].startswith(
        "faulty_net.py:12 :dropout: THN101 `dropout` drops in evaluation too"
    )


def test_a_model_of_tokens(thinned: Thinned, project: Path) -> None:
    found = thinned("check", "--model", "faulty_net:Words", "--input", "int64:2x4", "--select", "THN402")
    assert found.exit_code == 1, found.output
    assert "dropout: THN402 `Dropout` drops 90 %" in found.output


def test_every_rule_is_listed(thinned: Thinned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    listed = thinned("rules")
    assert listed.exit_code == 0
    for code, rule in rules().items():
        assert code in listed.output
        assert rule.name in listed.output


@pytest.mark.long
def test_every_rule_explains_itself(thinned: Thinned) -> None:
    for code, rule in rules().items():
        shown = thinned("rule", code.lower())
        assert shown.exit_code == 0
        for text in (rule.name, rule.summary, rule.bad.strip(), rule.good.strip()):
            assert text in shown.output
    assert thinned("rule", "functional-ignores-training").output == thinned("rule", "THN101").output
    unknown = thinned("rule", "THN999")
    assert unknown.exit_code == 2
    assert "Got 'THN999'" in unknown.output
