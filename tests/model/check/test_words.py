"""What is passed over by a look at the text: nothing that a rule would find."""

from __future__ import annotations

import pytest

from thinned.model.check.lens.calls import EVERYTHING, WORDS
from thinned.model.check.lens.source_file import SourceFile
from thinned.model.check.registry import ENTRIES, rule
from thinned.model.check.walk import check_text

RULES = [rule(entry.code) for entry in ENTRIES if "source" in entry.looks_at]
NET = "class Net(nn.Module):\n    def forward(self, x):\n        return {call}\n"


def test_every_function_that_drops_has_one_of_the_words_in_its_last_name() -> None:
    assert [name for name in EVERYTHING if not any(word in name.rpartition(".")[2] for word in WORDS)] == []


def test_every_function_that_drops_has_a_module_in_its_name() -> None:
    """So a name that the file does not give to an import is none of them."""
    assert [name for name in EVERYTHING if "." not in name] == []


@pytest.mark.parametrize(
    ("start", "call"),
    [
        ("from torch import nn\nfrom torch.nn.functional import dropout as d\n", "d(x)"),
        ("from torch import nn\nfrom torch.nn.functional import *\n", "nn.functional.dropout(x)"),
        ("from torch import nn\nimport torch.nn.functional as F\n", "F.\N{MATHEMATICAL BOLD SMALL D}ropout(x)"),
        ("from torch import nn\nimport torch.nn.functional as F\n", "F.\N{FULLWIDTH LATIN SMALL LETTER D}ropout(x)"),
        ("from torch import nn\n", "nn.functional.alpha_dropout(x, training=True)"),
        ("from torch import nn\nfrom torchvision.ops import stochastic_depth as s\n", "s(x, 0.5, 'row', True)"),
    ],
)
def test_names_as_python_reads_them(start: str, call: str) -> None:
    assert [found.code for found in check_text("net.py", start + NET.format(call=call), RULES)] == ["THN101"]


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("import torch\n", True),
        ("def f():\n    import timm\n", True),
        ("try:\n    import jax\nexcept ImportError:\n    pass\n", True),
        ("class Net(Base):\n    def forward(self, x):\n        return x\n", True),
        ("import numpy\n", False),
        ("text = 'import torch'\n", False),
        ("def forward(x):\n    return x\n", False),
        ("torch = 1\n", False),
    ],
)
def test_whether_a_file_concerns_torch(text: str, uses: bool) -> None:
    assert SourceFile("net.py", text).uses_torch == uses


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("F = other\n        return F.dropout(x)", []),
        ("f = F.dropout\n        return f(x)", ["THN101"]),
        ("f = F.dropout\n        f = other\n        return f(x)", ["THN101"]),
        ("return (lambda F: F.dropout(x))(y)", []),
        ("return (lambda y: F.dropout(y))(x)", ["THN101"]),
        ("for F in x: y = F.dropout(x)\n        return y", []),
        ("def inner(F): return F.dropout(x)\n        return inner(x), F.dropout(x)", ["THN101"]),
    ],
)
def test_what_a_name_means_where_it_stands(body: str, found: list[str]) -> None:
    start = "from torch import nn\nimport torch.nn.functional as F\n"
    assert [
        one.code for one in check_text("net.py", start + NET.format(call="0").replace("return 0", body), RULES)
    ] == (found)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("fs = []\nfs.append(F.relu)\nfs.append(F.dropout)\nfor f in fs: x = f(x)\nfor g in fs: x = g(x)", 2),
        ("d = {}\nd['a'] = F.relu\nd['k'] = F.dropout\nx = d['k'](x)\nx = d['a'](x)\nx = d['k'](x)", 2),
        ("d = {}\nd['training'] = True\nx = F.dropout(x, **d)\nx = F.dropout(x, **d)", 2),
        ("d = {}\nd['training'] = self.training\nx = F.dropout(x, **d)\nx = F.dropout(x, **d)", 0),
    ],
)
def test_each_use_of_a_list_or_dictionary_has_its_finding(lines: str, found: int) -> None:
    body = "\n".join(f"        {line}" for line in lines.splitlines())
    start = "from torch import nn\nimport torch.nn.functional as F\n"
    text = start + NET.format(call="x").replace("        return x", f"{body}\n        return x")
    assert [one.code for one in check_text("net.py", text, RULES)] == ["THN101"] * found
