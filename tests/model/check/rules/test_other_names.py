"""Functions that drop are known by whatever name a file gives to them, and with whatever arguments it spreads."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

import thinned
from thinned.model.check.lens import project
from thinned.model.check.registry import rules
from thinned.model.check.walk import check_text

RULES = list(rules().values())
HEAD = """\
import collections, copy, functools, importlib, itertools, operator, torch
import torch.nn.functional as F
from functools import partial
from operator import attrgetter, methodcaller
from types import SimpleNamespace
from torch import nn
from torch.utils.checkpoint import checkpoint
"""
ATTEND = "x = F.scaled_dot_product_attention(x, x, x, "


def net(forward: str, init: str = "", top: str = "", body: str = "") -> str:
    parts = [HEAD, top, "\nclass Net(nn.Module):\n", textwrap.indent(body, "    ") + "\n" if body else ""]
    parts += ["    def __init__(self, p=0.5):\n        super().__init__()\n        self.p = p\n"]
    parts += [textwrap.indent(init, " " * 8) + "\n", "    def forward(self, x, flag=False):\n"]
    return "".join([*parts, textwrap.indent(forward, " " * 8), "\n        return x\n"])


def codes(text: str) -> list[str]:
    return sorted({finding.code for finding in check_text("net.py", text, RULES)})


LOOPS = {
    "list": net("for f in [F.relu, F.dropout]:\n    x = f(x)"),
    "tuple": net("for f in (F.relu, F.dropout):\n    x = f(x)"),
    "values": net("for f in {'a': F.relu, 'b': F.dropout}.values():\n    x = f(x)"),
    "items": net("for k, f in {'a': F.relu, 'b': F.dropout}.items():\n    x = f(x)"),
    "enumerate": net("for i, f in enumerate([F.relu, F.dropout]):\n    x = f(x)"),
    "zip": net("for g, f in zip(self.layers, [F.relu, F.dropout]):\n    x = f(g(x))"),
    "pairs": net("for f, p in [(F.relu, 1), (F.dropout, 0.5)]:\n    x = f(x, p)"),
    "a global name": net("for f in LAYERS:\n    x = f(x)", top="LAYERS = [F.relu, F.dropout]\n"),
    "an attribute": net("for f in self.fs:\n    x = f(x)", init="self.fs = [F.relu, F.dropout]"),
    "an attribute of the class": net("for f in self.fs:\n    x = f(x)", body="fs = (F.relu, F.dropout)"),
    "partials": net("for f in [partial(F.dropout, p=0.1)]:\n    x = f(x)"),
    "a comprehension": net("x = sum([f(x) for f in (F.relu, F.dropout)])"),
    "reversed": net("for f in reversed([F.relu, F.dropout]):\n    x = f(x)"),
    "appended": net("for f in self.fs:\n    x = f(x)", init="self.fs = []\nself.fs.append(F.dropout)"),
    "appended at the left": net(
        "for f in self.fs:\n    x = f(x)", init="self.fs = collections.deque()\nself.fs.appendleft(F.dropout)"
    ),
    "extended": net("for f in fs:\n    x = f(x)", top="fs = [F.relu]\nfs += [F.dropout]\n"),
    "two lists": net("for f in [F.relu] + [F.dropout]:\n    x = f(x)"),
    "starred": net("for f in [F.relu, *(F.dropout, F.gelu)]:\n    x = f(x)"),
    "chained": net("for f in itertools.chain([F.relu], [F.dropout]):\n    x = f(x)"),
    "next": net("x = next(iter([F.dropout]))(x)"),
    "map": net("(x,) = map(F.dropout, [x])"),
    "one told and one not": net(
        "for f in (partial(F.dropout, training=self.training), F.dropout, F.dropout):\n    x = f(x)"
    ),
    "a list of itself": net("fs = [F.dropout]\nfs = fs + fs\nfor f in fs:\n    x = f(x)"),
}
NAMES = {
    "getattr": net('x = getattr(F, "dropout")(x, 0.5)'),
    "getattr with a default": net('x = getattr(torch.nn.functional, "dropout", None)(x, 0.5)'),
    "getattr by a name": net("x = getattr(F, NAME)(x, 0.5)", top="NAME = 'dropout'\n"),
    "getattr by a name in part": net('x = getattr(F, f"dropout{x.ndim - 2}d")(x, 0.5)'),
    "getattr of self": net('x = getattr(self, "d")(x)', init="self.d = F.dropout"),
    "attrgetter": net('x = attrgetter("nn.functional.dropout")(torch)(x, 0.5)'),
    "methodcaller": net('x = methodcaller("dropout", x, 0.5)(F)'),
    "operator.methodcaller": net('x = operator.methodcaller("dropout", x, p=0.5)(F)'),
    "vars": net('x = vars(F)["dropout"](x)'),
    "__dict__": net('x = F.__dict__["dropout"](x)'),
    "import_module": net('m = importlib.import_module("torch.nn.functional")\nx = m.dropout(x)'),
    "partial": net("x = partial(F.dropout, p=0.5)(x)"),
    "a partial of a partial": net("x = partial(partial(F.dropout), p=0.5)(x)"),
    "a partial with **": net("x = self.d(x)", init="self.d = partial(F.dropout, **{'p': p})"),
    "unpacked": net("a, d = F.relu, F.dropout\nx = d(a(x))"),
    "unpacked, global": net("x = d(a(x))", top="a, d = F.relu, F.dropout\n"),
    "unpacked attributes": net("x = self.d(x)", init="self.a, self.d = F.relu, F.dropout"),
    "of the class": net("x = Net.d(x)", body="d = F.dropout"),
    "of the type": net("x = type(self).d(x)", body="d = staticmethod(F.dropout)"),
    "of another class": net("x = Ops.d(x)", top="class Ops:\n    d = F.dropout\n"),
    "of a namespace": net("x = ns.d(x)", top="ns = SimpleNamespace(d=F.dropout)\n"),
    "the last": net("fs = (F.relu, F.dropout)\nx = fs[-1](x)"),
    "get": net('fs = {"d": F.dropout}\nx = fs.get("d", F.relu)(x)'),
    "any entry": net("x = self.fs[self.k](x)", init='self.fs = {"d": F.dropout, "r": F.relu}; self.k = p'),
    "an entry set later": net('fs = {}\nfs["d"] = F.dropout\nx = fs["d"](x)'),
    "dict()": net('fs = dict(d=F.dropout)\nx = fs["d"](x)'),
    "a lambda": net("d = lambda t: F.dropout(t, 0.5)\nx = d(x)"),
    "a global lambda": net("x = d(x)", top="d = lambda t: F.dropout(t, 0.5)\n"),
    "a lambda of the class": net("x = self.d(x)", body="d = staticmethod(lambda t: F.dropout(t, 0.5))"),
    "a helper": net("x = d(x)", top="def d(t):\n    return F.dropout(t, 0.5)\n"),
    "what a function returns": net("x = make()(x)", top="def make():\n    return F.dropout\n"),
    "a named expression": net("x = (d := F.dropout)(x)"),
    "a choice": net("x = (F.dropout if self.p else F.relu)(x)"),
    "or": net("x = (flag or F.dropout)(x)"),
    "a module's other name": net("x = G.dropout(x)", top="G = F\n"),
    "a module's local name": net("G = F\nx = G.dropout(x)"),
    "a module in an attribute": net("x = self.F.dropout(x)", init="self.F = F"),
    "a default": net("def g(t, f=F.dropout):\n    return f(t)\nx = g(x)"),
    "compiled": net("x = torch.compile(F.dropout)(x)"),
    "checkpointed": net("x = checkpoint(F.dropout, x, 0.5, use_reentrant=False)"),
    "setattr": net("x = self.d(x)", init='setattr(self, "d", F.dropout)'),
    "told once": net("x = self.d(x)", init="self.d = partial(F.dropout, p=p, training=self.training)"),
}
SPREAD = {
    "a name": net('kw = {"dropout_p": 0.1}\n' + ATTEND + "**kw)"),
    "inline": net(ATTEND + '**{"dropout_p": 0.1})'),
    "dict()": net("kw = dict(dropout_p=self.p)\n" + ATTEND + "**kw)"),
    "an attribute": net(ATTEND + "**self.kw)", init='self.kw = {"dropout_p": p}'),
    "a global name": net(ATTEND + "**KW)", top="KW = dict(dropout_p=0.1)\n"),
    "set later": net('kw = {}\nkw["dropout_p"] = self.p\n' + ATTEND + "**kw)"),
    "updated": net("kw = {}\nkw.update({'dropout_p': self.p})\n" + ATTEND + "**kw)"),
    "joined": net("kw = {'is_causal': True} | dict(dropout_p=self.p)\n" + ATTEND + "**kw)"),
    "nested": net("kw = {'dropout_p': self.p}\n" + ATTEND + "**{**kw, 'scale': 1.0})"),
    "in a partial": net("x = self.a(x, x, x)", init="self.a = partial(F.scaled_dot_product_attention, dropout_p=p)"),
    "positional": net("args = (x, x, x, None, 0.1)\nx = F.scaled_dot_product_attention(*args)"),
    "told once": net(ATTEND + "**self.kw)", init="self.kw = dict(dropout_p=p if self.training else 0.0)"),
}


@pytest.mark.parametrize("name", LOOPS)
def test_in_a_loop(name: str) -> None:
    assert codes(LOOPS[name]) == ["THN101"]


@pytest.mark.parametrize("name", NAMES)
def test_under_another_name(name: str) -> None:
    assert codes(NAMES[name]) == ["THN101"]


@pytest.mark.parametrize("name", SPREAD)
def test_with_spread_arguments(name: str) -> None:
    assert codes(SPREAD[name]) == ["THN102"]


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        ('x = F.dropout(x, **{"p": 0.5})', ["THN101"]),
        ('kw = {"p": 0.5, "training": True}\nx = F.dropout(x, **kw)', ["THN101"]),
        ("x = F.dropout(*(x, 0.5, True))", ["THN101"]),
        ('x = getattr(nn, "Dropout")(0.5)(x)', ["THN103"]),
        ("for layer in (nn.Identity, nn.Dropout):\n    x = layer()(x)", ["THN103"]),
        ('x = F.dropout(x, **{"p": 1.0, "training": self.training})', ["THN401"]),
        ("x = partial(F.dropout, p=0.95, training=self.training)(x)", ["THN402"]),
    ],
)
def test_each_argument_is_read_wherever_it_stands(forward: str, expected: list[str]) -> None:
    assert codes(net(forward)) == expected


RIGHT = {
    "told": net("for f in (F.relu, partial(F.dropout, training=self.training)):\n    x = f(x)"),
    "a choice by mode": net("f = F.dropout if self.training else F.relu\nx = f(x)"),
    "a list by mode": net("for f in [F.dropout] if self.training else []:\n    x = f(x)"),
    "appended by mode": net("fs = [F.relu]\nif self.training:\n    fs.append(F.dropout)\nfor f in fs:\n    x = f(x)"),
    "an entry by mode": net("fs = {}\nif self.training:\n    fs['d'] = F.dropout\nfor f in fs.values():\n    x = f(x)"),
    "called by mode": net("for f in [F.dropout]:\n    x = f(x) if self.training else x"),
    "no entry of that name": net('x = {"r": F.relu, "d": F.dropout}["r"](x)'),
    "another place": net("x = (F.relu, F.dropout)[0](x)"),
    "another part": net("for f, g in [(F.relu, F.dropout)]:\n    x = f(x)"),
    "another function of torch": net('x = getattr(F, f"adaptive_avg_pool{x.ndim - 2}d")(x, 1)'),
    "any function of torch": net("x = getattr(F, self.name)(x)"),
    "a rate by mode in **": net('kw = {"dropout_p": self.p if self.training else 0.0}\n' + ATTEND + "**kw)"),
    "an entry of ** by mode": net('kw = {}\nif self.training:\n    kw["dropout_p"] = self.p\n' + ATTEND + "**kw)"),
    "** by mode": net("kw = dict(dropout_p=self.p) if self.training else {}\n" + ATTEND + "**kw)"),
    "** that is changed": net(
        'kw = {"dropout_p": self.p}\nself.turn_off(kw)\nkw.pop("dropout_p")\n' + ATTEND + "**kw)"
    ),
    "told in **": net('kw = {"p": 0.5, "training": self.training}\nx = F.dropout(x, **kw)'),
    "told in *": net("x = F.dropout(*(x, 0.5, self.training))"),
    "told through methodcaller": net('x = methodcaller("dropout", x, training=self.training)(F)'),
    "told through map": net("(x,) = map(partial(F.dropout, training=self.training), [x])"),
    "a function of the caller's": net("x = f(x)", top="def run(f, x):\n    return f(x)\nrun(F.dropout, 1)\n"),
    "a helper that is told": net(
        "x = d(x, self.training)", top="def d(t, training):\n    return F.dropout(t, 0.5, training)\n"
    ),
    "a helper called by mode": net("x = d(x) if self.training else x", top="def d(t):\n    return F.dropout(t, 0.5)\n"),
    "a helper that samples": net("x = mc_drop(x)", top="def mc_drop(t):\n    return F.dropout(t, 0.5)\n"),
    "a rate that the caller gives": net(
        "a = 0.0\n" + ATTEND + "dropout_p=self.p if flag else 0.0)", top="# the mode may be the caller's `flag`\n"
    ),
    "compared": net("x = x if F.dropout in self.fs else F.relu(x)"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_code_is_left_alone(name: str) -> None:
    assert codes(RIGHT[name]) == []


def test_a_fix_is_offered_only_where_it_is_sure() -> None:
    offered = {
        "x = F.dropout(x)": True,
        'x = getattr(F, "dropout")(x, 0.5)': True,
        "for f in (F.relu, F.dropout):\n    x = f(x)": False,  # relu takes no `training`
        "(x,) = map(F.dropout, [x])": False,
        'x = methodcaller("dropout", x)(F)': False,
    }
    for forward, mends in offered.items():
        (finding,) = check_text("net.py", net(forward), RULES)
        assert (finding.fix is not None) == mends, forward


OPS = "class Ops:\n    @staticmethod\n    def drop(x):\n        return F.dropout(x, 0.3)\n"
DROPS = "class Drops(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.d = nn.Dropout()\n"
GIVEN = "class Call(nn.Module):\n    def __init__(self, f):\n        super().__init__()\n        self.f = f\n"
GIVEN += "    def forward(self, x):\n        return self.f(x)\n"
MANY = "".join(f"    lambda v: v + {i},\n" for i in range(20))
BY_WAY_OF = {
    "reduce": net("x = functools.reduce(lambda v, f: f(v), [F.relu, F.dropout], x)"),
    "reduce over an attribute": net(
        "x = functools.reduce(lambda v, f: f(v), self.fs, x)", init="self.fs = [F.relu, F.dropout]"
    ),
    "a map of calls": net("x, _ = map(lambda f: f(x), (F.dropout, F.relu))"),
    "an argument": net("x = apply(F.dropout, x)", top="def apply(f, x):\n    return f(x)\n"),
    "an argument by name": net("x = self.apply_to(x, f=F.dropout)", body="def apply_to(self, x, f): return f(x)"),
    "partialmethod": net(
        "x = self.drop(x)",
        body="def _drop(self, x, p): return F.dropout(x, p)\ndrop = functools.partialmethod(_drop, p=.3)",
    ),
    "partialmethod of a function": net(
        "x = self.drop(x)", body="def _call(self, f, x): return f(x)\ndrop = functools.partialmethod(_call, F.dropout)"
    ),
    "a constant p": net("x = self.drop(x, 0.3)", body="def drop(self, x, p): return F.dropout(x, p)"),
    "a fixed p": net("x = drop(x, self.p)", top="def drop(x, p): return F.dropout(x, p)\n"),
    "many values in a list": net("for f in FS:\n    x = f(x)", top=f"FS = [\n{MANY}    F.dropout,\n]\n"),
    "many values of a name": net(
        "f = F.relu\n" + "".join(f"if n == {i}: f = lambda v: v + {i}\n" for i in range(20)) + "f = F.dropout\nx = f(x)"
    ),
    "joined": net('x = getattr(F, "drop" + "out")(x)'),
    "joined by join": net('x = getattr(F, "".join(["drop", "out"]))(x)'),
    "joined in a name": net("x = getattr(F, NAME)(x)", top='NAME = "drop" + "out"\n'),
    "by percent": net('x = getattr(F, "drop%s" % "out")(x)'),
    "by format": net('x = getattr(F, "{}{}".format("drop", end))(x)'),
    "an f-string of a name": net('x = getattr(F, f"{KIND}out")(x)', top='KIND = "drop"\n'),
    "attrgetter, first": net("x = drop(x)", top='drop = attrgetter("dropout")(F)\n'),
    "a star": "from torch.nn import *\nfrom torch.nn.functional import *\n\n\nclass Net(Module):\n"
    "    def forward(self, x):\n        return dropout(x, 0.5)\n",
    "a static method": net("x = Ops.drop(x)", top=OPS),
    "a class beside the module": HEAD
    + "class Drops:\n    def drop(self, x):\n        return F.dropout(x, self.p)\n\n\n"
    "class Net(Drops, nn.Module):\n    def forward(self, x):\n        return self.drop(x)\n",
    "given to a module": HEAD + GIVEN + "net = nn.Sequential(nn.Linear(4, 4), Call(lambda x: F.dropout(x, 0.2)))\n",
    "a choice by a method": net("x = F.dropout(x, 0.1, training=True if self.train else False)"),
    "bool of a method": net("x = F.dropout(x, 0.1, training=bool(self.train))"),
    "of a graph": net("x = dropout_edge(x, p=0.2)[0]", top="from torch_geometric.utils import dropout_edge\n"),
    "of a graph, by its module": net("x = G.dropout_node(x)[0]", top="import torch_geometric.utils as G\n"),
}
RIGHT_BY_WAY_OF = {
    "reduce": net("x = functools.reduce(lambda v, f: f(v), [F.relu, F.gelu], x)"),
    "reduce in training": net("if self.training:\n    x = functools.reduce(lambda v, f: f(v), [F.dropout], x)"),
    "an argument in training": net(
        "x = apply(F.relu, x)\nif self.training:\n    x = apply(F.dropout, x)",
        top="def apply(f, x):\n    return f(x)\n",
    ),
    "a p by the mode": net(
        "x = self.drop(x, 0.3 if self.training else 0.0)", body="def drop(self, x, p): return F.dropout(x, p)"
    ),
    "a p that is 0 somewhere": net("x = drop(drop(x, 0.3), 0)", top="def drop(x, p): return F.dropout(x, p)\n"),
    "a p of nobody": net("", body="def drop(self, x, p): return F.dropout(x, p)"),
    "joined to another name": net('x = getattr(F, "re" + "lu")(x)'),
    "a name that is not known": net("x = getattr(F, self.activation)(x)"),
    "a static method in training": net("if self.training:\n    x = Ops.drop(x)", top=OPS),
    "a static method of nobody": net("", top=OPS),
    "a lambda for a data set": HEAD + "data = Dataset(transform=lambda x: F.dropout(x, 0.2))\n",
    "a star and an own name": "from torch.nn.functional import *\nfrom torch import nn\n\n\n"
    "def dropout(x):\n    return x\n\n\n"
    "class Net(nn.Module):\n    def forward(self, x):\n        return dropout(x)\n",
    "of a graph": net(
        "x = dropout_edge(x, training=self.training)[0]", top="from torch_geometric.utils import dropout_edge\n"
    ),
    "a class that drops, told": net(
        "x = Drops().train(self.training)(x)",
        top=DROPS,
    ),
    "a builder": net("x = self.d(x)", init="self.d = self.make(0.1)", body="def make(self, p): return nn.Dropout(p)"),
}


@pytest.mark.parametrize("form", BY_WAY_OF)
def test_by_way_of_something_else(form: str) -> None:
    assert codes(BY_WAY_OF[form]) == ["THN101"]


@pytest.mark.parametrize("form", RIGHT_BY_WAY_OF)
def test_by_way_of_something_else_right_code_is_left_alone(form: str) -> None:
    assert codes(RIGHT_BY_WAY_OF[form]) == []


def test_modules_that_a_forward_builds() -> None:
    assert codes(net("x = Drops()(x)", top=DROPS)) == ["THN103"]
    assert codes(net("x = self.make(0.2)(x)", body="def make(self, p): return nn.Dropout(p)")) == ["THN103"]


PROJECT = {
    "__init__.py": "",
    "ops.py": "import torch.nn.functional as F\n\n\ndef drop(x):\n    return F.dropout(x, 0.3)\n\n\n"
    "def told(x, training):\n    return F.dropout(x, 0.3, training)\n\n\n"
    "def by(x, p):\n    return F.dropout(x, p)\n\n\n"
    "class Ops:\n    @staticmethod\n    def drop(x):\n        return F.dropout(x)\n\n\n"
    "def thin(x):\n    return F.dropout(x)\n",
    "through.py": "from .ops import thin\n",
    "again.py": "from .ops import drop as again, told\n",
    "deep/__init__.py": "from ..ops import drop\n",
}
FROM_ELSEWHERE = {
    "from .ops import drop": ("x = drop(x)", 1),
    "from . import ops": ("x = ops.drop(x)", 1),
    "from .ops import Ops": ("x = Ops.drop(x)", 1),
    "from .again import again": ("x = again(x)", 1),
    "from .deep import drop": ("x = drop(x)", 1),
    "from .through import thin": ("x = thin(x)", 1),
    "from project.ops import drop as d": ("x = d(x)", 1),
    "import project.ops": ("x = project.ops.drop(x)", 1),
    "from .again import told": ("x = told(x, self.training)", 0),
    "from .ops import by": ("x = by(x, 0.1 if self.training else 0)", 0),
    "from .ops import drop  # in training": ("if self.training:\n    x = drop(x)", 0),
    "from .missing import drop": ("x = drop(x)", 0),
    "from elsewhere.ops import drop": ("x = drop(x)", 0),
}


@pytest.mark.parametrize("imported", FROM_ELSEWHERE)
def test_a_function_of_another_file(imported: str, tmp_path: Path) -> None:
    forward, count = FROM_ELSEWHERE[imported]
    for name, text in PROJECT.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    path = tmp_path / "project" / "net.py"
    path.write_text(net(forward, top=f"{imported}\n"))
    found = thinned.check(path)
    assert [finding.code for finding in found] == ["THN101"] * count
    assert all("drops in evaluation too: ops.py:" in finding.message for finding in found)


def test_of_files_that_import_one_another_one_name_is_followed_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty files, each of which imports a name from every other: 20^4 ways through them, and a few dozen looks."""
    looks: list[str] = []
    offered = project._offered

    def look(path: str, function: str, depth: int) -> project.ForeignNoise | None:
        looks.append(path)
        return offered(path, function, depth)

    monkeypatch.setattr(project, "_offered", look)
    (tmp_path / "__init__.py").touch()
    for one in range(20):
        others = [other for other in range(20) if other != one]
        lines = [f"from .m{other} import f{other}, drop as drop{other}" for other in others]
        lines += ["from .m0 import drop" if one else "from .ops import drop", f"\ndef f{one}(x):", "    return x\n"]
        (tmp_path / f"m{one}.py").write_text("\n".join(lines))
    (tmp_path / "ops.py").write_text(PROJECT["ops.py"])
    path = tmp_path / "net.py"
    calls = "\n".join(f"x = f{n}(drop{n}(x))" for n in range(20))
    path.write_text(net(calls, top="".join(f"from .m{n} import f{n}, drop as drop{n}\n" for n in range(20))))
    assert [finding.code for finding in thinned.check(path)] == ["THN101"] * 20
    assert len(looks) < 150


def test_a_file_of_the_project_that_changes_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "ops.py").write_text(PROJECT["ops.py"])
    path = tmp_path / "net.py"
    path.write_text(net("x = drop(x)", top="from ops import drop\n"))
    assert len(thinned.check(path)) == 1
    (tmp_path / "ops.py").write_text("def drop(x):\n    return x  # dropout no more\n")
    assert len(thinned.check(path)) == 0
