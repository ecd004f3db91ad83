"""Whatever a source file, a notebook, a pyproject.toml, a plan or a file of rates holds: an answer, or a sentence."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.by_chance import fuzzed
from tests.cli.awkward import PIECES, a_minute_at_most, assert_an_answer_or_a_sentence, damaged
from typer.testing import Result

import thinned as library
from thinned.model.check.registry import ENTRIES, rule

Thinned = Callable[..., Result]
pytestmark = pytest.mark.long
SOURCES = [text for entry in ENTRIES for text in (rule(entry.code).bad, rule(entry.code).good)]
SETTINGS = """\
[project]
name = "net"

[tool.thinned]
select = ["THN1", "THN4"]
ignore = ["THN402"]
exclude = ["old/*"]

[tool.thinned.per-file-ignores]
"tests/*" = ["THN101"]
"""


def source(chance: random.Random) -> bytes:
    """One or two sources, perhaps in another encoding, perhaps damaged."""
    text = "\n".join(chance.choice(SOURCES) for _ in range(chance.randint(1, 2)))
    if chance.random() < 0.3:
        text = text.replace("\n", chance.choice(("\r\n", "\r", "\n\x0c", "\n\n")))
    if chance.random() < 0.4:
        words = text.split(" ")
        for _ in range(chance.randint(1, 4)):
            words[chance.randrange(len(words))] = chance.choice((*PIECES, *words))
        text = " ".join(words)
    encoding = "utf-8"
    if chance.random() < 0.3:
        encoding = chance.choice(("latin-1", "utf-8-sig", "cp949", "utf-16", "shift_jis", "utf-7", "unicode_escape"))
        text = f"# coding: {encoding if chance.random() < 0.8 else 'utf-8'}\n# \u00e9\ubaa9\n{text}"
    content = text.encode(encoding, "backslashreplace")
    return damaged(content, chance) if chance.random() < 0.5 else content


def notebook(chance: random.Random) -> bytes:
    """A notebook of a few cells, perhaps damaged."""
    odd: tuple[object, ...] = (
        None,
        3,
        [],
        {},
        [None],
        "",
        ["%matplotlib\n", "!ls\n"],
        ["x = 1", 2],
        "%%bash\nls",
        "x?\n",
        {"a": []},
    )
    cells: list[object] = []
    for _ in range(chance.randint(0, 4)):
        text: object = chance.choice(SOURCES)
        if chance.random() < 0.5:
            text = str(text).splitlines(keepends=True)
        if chance.random() < 0.2:
            text = chance.choice(odd)
        cells.append({"cell_type": chance.choice(("code", "code", "markdown", "raw", None, 3)), "source": text})
    if chance.random() < 0.2:
        cells.insert(0, chance.choice(odd))
    whole: object = {"cells": cells, "nbformat": chance.choice((4, 4, 3, "x", None)), "metadata": chance.choice(odd)}
    if chance.random() < 0.1:
        whole = chance.choice((*odd, {"worksheets": [{"cells": cells}]}, {"cells": chance.choice(odd)}))
    content = json.dumps(whole).encode()
    return damaged(content, chance) if chance.random() < 0.5 else content


@given(seed=st.integers(0, 2**32))
@fuzzed(150)
def test_check_and_fix_answer_or_say_why_not(thinned: Thinned, tmp_path: Path, seed: int) -> None:
    """`check` changes no file, and `--fix` none outside: of a link's target, of a notebook, of the settings."""
    chance, inside, outside = random.Random(seed), tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    (outside / "net.py").write_bytes(source(chance))
    (inside / "a.py").write_bytes(source(chance))
    (inside / "b.ipynb").write_bytes(notebook(chance))
    (inside / "c.py").symlink_to(outside / "net.py")
    settings = SETTINGS.encode()
    if chance.random() < 0.3:
        settings = damaged(settings, chance)
    if chance.random() < 0.5:
        (chance.choice((inside, tmp_path)) / "pyproject.toml").write_bytes(settings)
    form = chance.choice(("text", "json", "github", "sarif"))
    checked = assert_an_answer_or_a_sentence(lambda: thinned("check", inside, "--output-format", form), tmp_path)
    if form in ("json", "sarif") and checked.stdout:
        json.loads(checked.stdout)
    assert_an_answer_or_a_sentence(lambda: thinned("check", inside, "--diff"), tmp_path)
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "a.py"}
    before = (inside / "a.py").read_bytes()
    fixed = assert_an_answer_or_a_sentence(lambda: thinned("check", inside, "--fix"), outside)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "a.py"} == kept
    assert (inside / "a.py").read_bytes() == before or "Made " in fixed.output
    (tmp_path / "pyproject.toml").unlink(missing_ok=True)


def net() -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(8, 8), torch.nn.ReLU(),
        torch.nn.Linear(8, 2),
    )  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A plan, a file of rates, and one with both, as they are written."""
    path, model = tmp_path_factory.mktemp("written") / "p.toml", net()
    found = []
    plan = library.plan(model, torch.rand(4, 8))
    plan.save(path)
    found.append(path.read_bytes())
    library.save_rates(model, path)
    found.append(path.read_bytes())
    library.apply(model, plan)
    library.save_rates(model, path)
    return [*found, path.read_bytes()]


@given(seed=st.integers(0, 2**32))
@fuzzed(300)
def test_plans_and_rates_are_loaded_or_refused(written: list[bytes], tmp_path: Path, seed: int) -> None:
    """The errors are those that the functions name, their message has the file, and a refused model is as it was."""
    chance, path = random.Random(seed), tmp_path / "p.toml"
    content = chance.choice(written)
    for _ in range(chance.randint(0, 2)):  # values of another kind
        lines = content.split(b"\n")
        at = chance.randrange(len(lines))
        key, equal, _ = lines[at].partition(b" = ")
        if equal:
            value = chance.choice((*PIECES, '"x"', "0.5", "-0.1", "1", "[1, 2]", "{a = 1}", "1e-400", "2**3", "0.1"))
            lines[at] = key + equal + value.encode("utf-8", "surrogatepass")
        content = b"\n".join(lines)
    path.write_bytes(damaged(content, chance) if chance.random() < 0.6 else content)
    model = net()
    before = str(model)
    for load in (library.Plan.load, lambda file: library.load_rates(model, file)):
        with a_minute_at_most():
            said = str(path)
            try:
                load(path)
            except (ValueError, TypeError) as error:
                said = str(error)
                assert str(model) == before
            assert str(path) in said
    library.rates(model)
