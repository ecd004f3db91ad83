"""Fixes mend what they claim, change nothing else, and never break a file."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from thinned.model.check.finding import Edit, Finding, Fix
from thinned.model.check.fix import apply, fixed, mend
from thinned.model.check.fix import write as write_back
from thinned.model.check.lens.rewrite import rewritten
from thinned.model.check.lens.source_file import SourceFile, read
from thinned.model.check.registry import rules
from thinned.model.check.walk import check_text

from .conftest import BAD, GOOD, NET, Write

RULES = list(rules().values())


@pytest.mark.parametrize(
    ("call", "mended"),
    [
        ("F.dropout(x)", "F.dropout(x, training=self.training)"),
        ("F.dropout(x, p=0.5)", "F.dropout(x, p=0.5, training=self.training)"),
        ("F.dropout(x, 0.5,)", "F.dropout(x, 0.5, training=self.training,)"),
        ("F.dropout(x, (0.5))", "F.dropout(x, (0.5), training=self.training)"),
        ("F.dropout(x, inplace=(((True))))", "F.dropout(x, inplace=(((True))), training=self.training)"),
        ("F.dropout(f(x))", "F.dropout(f(x), training=self.training)"),
        ("F.dropout(x + 'ä)', 0.5)", "F.dropout(x + 'ä)', 0.5, training=self.training)"),
        (
            "F.dropout(\n            x,\n            0.5,  # (p)\n        )",
            "F.dropout(\n            x,\n            0.5, training=self.training,  # (p)\n        )",
        ),
        (
            "F.dropout(\n            x,\n            (\n                0.5  # )\n    )\n    )",
            "F.dropout(\n            x,\n            (\n                0.5  # )\n    ), training=self.training\n    )",
        ),
        (
            "F.dropout(F.dropout(x), 0.1)",
            "F.dropout(F.dropout(x, training=self.training), 0.1, training=self.training)",
        ),
        (
            "F.scaled_dot_product_attention(x, x, x, dropout_p=0.1)",
            "F.scaled_dot_product_attention(x, x, x, dropout_p=0.1 if self.training else 0.0)",
        ),
        ("F.dropout(x, training=True)", "F.dropout(x, training=True)"),  # may be meant
        ("F.dropout(x, 0.5 if self.train else 0.0)", "F.dropout(x, 0.5 if self.training else 0.0)"),
        ("F.dropout(x, 0.5) if self.train else x", "F.dropout(x, 0.5) if self.training else x"),
        ("F.dropout(x, 0.5, training=self.train)", "F.dropout(x, 0.5, training=self.training)"),
        ("F.dropout(x, 0.5) if self.eval else x", "F.dropout(x, 0.5) if self.eval else x"),  # may mean either
        (
            "F.scaled_dot_product_attention(x, x, x, dropout_p=0.1 if self.train else 0)",
            "F.scaled_dot_product_attention(x, x, x, dropout_p=0.1 if self.training else 0)",
        ),
    ],
)
def test_what_is_written(call: str, mended: str) -> None:
    text, made = fixed("net.py", NET.format(call=call), RULES)
    assert text == NET.format(call=mended)
    assert (made == 0) == (call == mended)
    ast.parse(text)
    assert all(finding.fix is None for finding in check_text("net.py", text, RULES))


@pytest.mark.parametrize(
    ("p", "mended"),
    [
        ("0.5 if deep else 0.2", "(0.5 if deep else 0.2) if self.training else 0.0"),
        ("(0.5 if deep else 0.2)", "((0.5 if deep else 0.2) if self.training else 0.0)"),
        (
            "0.5 if deep else 0.2 if self.training else 0.0",  # 0.5 in both modes: one branch asks, the other doesn't
            "(0.5 if deep else 0.2 if self.training else 0.0) if self.training else 0.0",
        ),
        ("(rate := 0.1)", "((rate := 0.1) if self.training else 0.0)"),
        ("self.p or 0.1", "self.p or 0.1 if self.training else 0.0"),
        ("self.p and 0.1", "self.p and 0.1 if self.training else 0.0"),
        ("self.p > 0", "self.p > 0 if self.training else 0.0"),
        ("not self.p", "not self.p if self.training else 0.0"),
        ("-self.p", "-self.p if self.training else 0.0"),
        ("float('0' '.1')", "float('0' '.1') if self.training else 0.0"),
        ("self.p\n    + 0.1", "self.p\n    + 0.1 if self.training else 0.0"),
        (
            "(\n    0.5  # deep\n    if deep\n    else 0.2\n)",
            "(\n    (0.5  # deep\n    if deep\n    else 0.2) if self.training else 0.0\n)",
        ),
        ("'0' '.1'", "'0' '.1' if self.training else 0.0"),
        ("(lambda: 0.1)()", None),  # what can't be traced is left alone
        ("await self.rate()", None),
        ("[0.1][0]", None),
        ("self.p if deep else 0.0", None),
    ],
)
def test_a_rate_is_0_in_evaluation_whatever_expression_it_was(p: str, mended: str | None) -> None:
    net = (
        "import torch.nn.functional as F\nfrom torch import nn\n\n\nclass Net(nn.Module):\n"
        "    def __init__(self, p):\n        super().__init__()\n        self.p = p\n\n"
        "    async def forward(self, x, deep):\n        return F.scaled_dot_product_attention(x, x, x, dropout_p={p})\n"
    )
    text, made = fixed("net.py", net.format(p=p), RULES)
    assert text == net.format(p=mended or p)
    assert made == (mended is not None)
    assert check_text("net.py", text, RULES) == []
    if mended is not None:
        (call,) = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and node.keywords)
        given = call.keywords[0].value
        assert isinstance(given, ast.IfExp)
        assert ast.unparse(given.test) == "self.training"
        assert ast.dump(given.body) == ast.dump(ast.parse(f"({p})", mode="eval").body)


@pytest.mark.parametrize(
    ("text", "template", "written"),
    [
        ("f(*a or b)", "_ if c else d", "f(*a or b if c else d)"),
        ("(a or b) + 1", "_ if c else d", "(a or b if c else d) + 1"),
        ("a or b", "_ * 2", "(a or b) * 2"),
        ("f(*a or b)", "_", "f(*a or b)"),
        ("1 + (a or b)", "not _", "1 + (not (a or b))"),
        ("[a or b for c in d]", "_ if c else d", "[a or b if c else d for c in d]"),
        ("a or b < c", "_ < 1", "(a or b < c) < 1"),
        ("lambda: a or b", "_ if c else d", "lambda: a or b if c else d"),
        ("-(a or b)", "_.t()", "-((a or b).t())"),
    ],
)
def test_an_expression_means_in_its_new_place_what_it_should(text: str, template: str, written: str) -> None:
    file = SourceFile("net.py", f"x = {text}\n")
    edit = rewritten(file, next(file.nodes(ast.BoolOp)), template)
    changed, _ = apply(f"x = {text}\n", [Finding("THN102", "", "net.py", 1, 1, fix=Fix("", (edit,)))])
    assert changed == f"x = {written}\n"


def test_the_argument_does_what_it_should() -> None:
    import torch

    names: dict[str, type[torch.nn.Module]] = {}
    exec(fixed("net.py", BAD, RULES)[0], names)
    net, x = names["Net"](), torch.ones(100)
    assert (net(x) == 0).any()
    assert torch.equal(net.eval()(x), x)


def test_no_fix_where_the_class_may_have_no_mode() -> None:
    text = BAD.replace("from torch import nn", "import nowhere").replace("nn.Module", "nowhere.Base")
    (finding,) = check_text("net.py", text, RULES)
    assert finding.fix is None


def test_inside_an_f_string_text_is_changed_rightly_or_not_at_all() -> None:
    """Before Python 3.12 what is inside an f-string is said to stand elsewhere."""
    call = 'f"""{F.relu(x)}\\n é {F.dropout(x)}\n{F.dropout(x)!r:>8}""", F.dropout(x)'
    text, made = fixed("net.py", NET.format(call=call), RULES)
    assert made >= 1
    assert text.replace(", training=self.training)", ")") == NET.format(call=call)
    assert text.endswith("F.dropout(x, training=self.training)\n")


def test_a_fix_that_breaks_the_file_is_left_out() -> None:
    good = Finding("THN101", "", "net.py", 1, 1, fix=Fix("", (Edit(1, 1, 1, 2, "y"),)))
    breaks = Finding("THN101", "", "net.py", 2, 1, fix=Fix("", (Edit(2, 1, 2, 2, "("),)))
    assert apply("x = 1\nx = 2\n", [good, breaks]) == ("y = 1\nx = 2\n", 1)


def test_a_fix_is_made_wholly_or_not_at_all() -> None:
    inner = Finding("THN101", "", "net.py", 1, 5, fix=Fix("", (Edit(1, 5, 1, 6, "2"),)))
    both = Finding("THN101", "", "net.py", 1, 1, fix=Fix("", (Edit(1, 1, 1, 2, "y"), Edit(1, 5, 1, 6, "3"))))
    assert apply("x = 1\n", [both, inner]) == ("x = 2\n", 1)


@pytest.mark.parametrize(
    ("coding", "end"),
    [
        ("utf-8", "\n"),
        ("utf-8", "\r\n"),
        ("utf-8", "\r"),
        ("utf-8-sig", "\r\n"),
        ("latin-1", "\n"),
        ("latin-1", "\r\n"),
    ],
)
def test_line_ends_encoding_and_permissions_stay(write: Write, coding: str, end: str) -> None:
    mark = "# coding: latin-1\n" if coding == "latin-1" else ""
    text = f"{mark}name = 'Müller'\n{BAD}"
    path = write("net.py")
    path.write_bytes(text.replace("\n", end).encode(coding))
    path.chmod(0o755)
    assert mend([path]).fixes == 1
    assert path.read_bytes() == text.replace(BAD, GOOD).replace("\n", end).encode(coding)
    assert path.stat().st_mode & 0o777 == 0o755
    assert os.listdir(path.parent) == ["net.py"]  # noqa: PTH208


def test_a_link_stays_a_link(write: Write, tmp_path: Path) -> None:
    path = write("real/net.py")
    link = tmp_path / "net.py"
    link.symlink_to(path)
    mend([link])
    assert link.is_symlink()
    assert path.read_text() == GOOD


def test_a_failed_write_leaves_the_file_as_it_was(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("net.py")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    source = read(path)
    text, _ = fixed("net.py", source.text, RULES)
    with pytest.raises(OSError, match="disk full"):
        write_back(path, source, text)
    assert path.read_text() == BAD
    assert os.listdir(path.parent) == ["net.py"]  # noqa: PTH208


def test_a_preview_changes_nothing(write: Write) -> None:
    path = write("net.py")
    write("broken.py", "def")
    made = mend(["."], preview=True)
    assert made.fixes == 1
    assert "+        return F.dropout(x, 0.5, training=self.training)" in made.diff.splitlines()
    assert path.read_text() == BAD
    assert mend(["."]).fixes == 1
    assert path.read_text() == GOOD


def test_what_noqa_silences_is_not_mended() -> None:
    text = BAD.replace("F.dropout(x, 0.5)", "F.dropout(x, 0.5)  # noqa: THN101")
    assert fixed("net.py", text, RULES) == (text, 0)
