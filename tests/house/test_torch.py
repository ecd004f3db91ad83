"""torch's private names: in `_torch.py` alone, all there, all used; attributes of torch's objects are listed there."""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from thinned import _torch

SOURCE = Path(_torch.__file__).parent
OWN = SOURCE / "_torch.py"

PATH = re.compile(r"torch(\.\w+)*\._(?!_)\w+(\.\w+)*")
# Private attributes of others than torch: of Python's own objects, and of Lightning's callbacks.
OTHERS = {"_DummyThread", "_fields", "_exit", "_getframe", "_replace", "_slotnames", "_generate_state_key"} | {
    "_get_noise_shape",  # of Keras's dropout
    "_initial_seed",  # of Keras's generators
    "_call_has_training_arg",  # of Keras's layers, as `_build_at_init`
    "_build_at_init",
    "_private",  # of Ray, with `_worker_logs_enabled`
    "_worker_logs_enabled",
}


@cache
def trees() -> dict[Path, ast.Module]:
    """Every file of the package but `_torch.py`."""
    return {path: parsed(path) for path in sorted(SOURCE.rglob("*.py")) if path != OWN}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def chain(node: ast.expr) -> list[str]:
    """["torch", "nn", "Module"] of `torch.nn.Module`; [] of what is no chain of names."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        before = chain(node.value)
        return [*before, node.attr] if before else []
    return []


def private_names(tree: ast.Module) -> Iterator[str]:
    """The private names of torch that a file has, as full paths, whatever the file calls them."""
    known: dict[str, list[str]] = {}  # a name in the file, and its path in torch
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                path = alias.name.split(".")
                if path[0] == "torch":
                    known[alias.asname or "torch"] = path if alias.asname else ["torch"]
                    if any(map(is_private, path)):
                        yield alias.name
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "torch":
            for alias in node.names:
                path = [*(node.module or "").split("."), alias.name]
                known[alias.asname or alias.name] = path
                if any(map(is_private, path)):
                    yield ".".join(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and (names := chain(node.value)) and names[0] in known:
            for target in node.targets:
                if isinstance(target, ast.Name):
                    known.setdefault(target.id, [*known[names[0]], *names[1:]])
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and (names := chain(node))[:1]:
            if names[0] in known:
                yield ".".join([*known[names[0]], *names[1:]])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and PATH.fullmatch(node.value):
            yield node.value


def test_private_names_stand_in_one_file() -> None:
    found = {f"{path.relative_to(SOURCE)}: {name}" for path, tree in trees().items() for name in private_names(tree)}
    assert not found, "give it a name of ours in _torch.py, and say there what it is for"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import torch\ntorch._C._len_torch_dispatch_stack()", "torch._C._len_torch_dispatch_stack"),
        ("import torch\nd = torch.nn.modules.dropout._DropoutNd", "torch.nn.modules.dropout._DropoutNd"),
        ("from torch import _VF", "torch._VF"),
        ("from torch._functorch import config", "torch._functorch.config"),
        ("import torch._dynamo", "torch._dynamo"),
        ("def f():\n    from torch.autograd import forward_ad\n    return forward_ad._current_level", "_current_level"),
        ("import torch\nModule = torch.nn.Module\nModule._call_impl", "torch.nn.Module._call_impl"),
        ("import torch as t\nt.overrides._get_current_function_mode()", "_get_current_function_mode"),
        ("import sys\n'torch._dynamo' in sys.modules", "torch._dynamo"),
    ],
)
def test_a_private_name_is_noticed(code: str, name: str) -> None:
    assert any(found.endswith(name) for found in private_names(ast.parse(code)))


def test_what_is_public_or_ours_is_no_private_name() -> None:
    code = "import torch\nfrom .._torch import is_wrapped\ntorch.__version__\ntorch.nn.Module.forward\nself._seat = 1"
    assert not [*private_names(ast.parse(code))]


def test_the_file_needs_torch_alone() -> None:
    imported = [node for node in ast.walk(parsed(OWN)) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {alias.name for node in imported if isinstance(node, ast.Import) for alias in node.names}
    modules |= {"." * node.level + (node.module or "") for node in imported if isinstance(node, ast.ImportFrom)}
    assert {module.split(".")[0] for module in modules} <= {*sys.stdlib_module_names, "torch"}


def test_this_torch_has_them_all() -> None:
    assert not [*_torch.lacking()]


def test_each_is_used() -> None:
    """Every name that `_torch.py` defines for others is imported somewhere, or read as `_torch.name`."""
    defined = {
        target.id
        for node in parsed(OWN).body
        for target in (node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)])
        if isinstance(target, ast.Name)
    }
    defined |= {name for part in parsed(OWN).body if isinstance(part, ast.If) for name in assigned(part)}
    defined |= {node.name for node in parsed(OWN).body if isinstance(node, ast.FunctionDef) and node.decorator_list}
    used = set()
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[-1] == "_torch":
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Attribute) and chain(node)[:1] == ["_torch"]:
                used.add(node.attr)
    ours = {"NAMES", "ATTRIBUTES"}
    assert len(defined) >= len(_torch.NAMES)
    assert {name for name in defined if not is_private(name)} - used == ours


def assigned(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


# Attributes of torch's objects.


def attributes() -> dict[str, set[str]]:
    """The private attributes that the source reads or writes, and the files that do."""
    found: dict[str, set[str]] = {}
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                found.setdefault(node.attr, set()).add(path.name)
    return found


def of_ours() -> set[str]:
    """The private names that the source itself gives to functions, classes and attributes."""
    ours: set[str] = set()
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                ours.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                ours.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and chain(node)[:1] == ["self"]:
                ours.add(node.attr)
    return ours


LISTED = {private.name for *_, rows in _torch.ATTRIBUTES for private in rows}


def test_attributes_of_torchs_objects_are_listed() -> None:
    known = LISTED | OTHERS | of_ours()
    unlisted = {
        name: files for name, files in attributes().items() if name not in known and not name.startswith("_thinned")
    }
    assert not unlisted, "list it in ATTRIBUTES of _torch.py, with what it is for"


def test_attributes_that_are_named_as_text_are_listed() -> None:
    samples = (torch.nn.Module(), torch.nn.LSTM(1, 1), torch.empty(0), torch.ops.aten.relu.default)
    torchs = {name for sample in samples for name in dir(sample)}
    texts = {
        node.value
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and is_private(node.value)
    }
    assert not {text for text in texts if text in torchs} - LISTED


def test_listed_attributes_are_used() -> None:
    texts = {
        node.value
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    used = texts | set(attributes())
    unused = {name for name in LISTED if not {*name.split(".")} <= used}
    assert not unused


# Another torch.


def fresh() -> ModuleType:
    """`_torch.py`, run once more."""
    spec = importlib.util.spec_from_file_location("a_fresh_torch", SOURCE / "_torch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_torch_lacks_is_an_error_at_its_first_use_not_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = pkgutil.resolve_name
    for private in _torch.NAMES:

        def without(name: str, lacking: str = private.name) -> Any:
            if name == lacking:
                raise AttributeError(name)
            return resolve(name)

        monkeypatch.setattr(pkgutil, "resolve_name", without)
        module = fresh()
        monkeypatch.undo()
        found = [value for value in vars(module).values() if isinstance(value, module.Lacking)]
        if not found:  # one that is looked up late
            late = (value for value in vars(module).values() if hasattr(value, "cache_info"))
            found = [value for value in (function() for function in late) if isinstance(value, module.Lacking)]
        assert len(found) == 1, private.name
        with pytest.raises(
            module.LackingName, match=rf"^`{private.owner}`: torch must have {re.escape(private.name)} "
        ):
            found[0](1)


def test_every_use_of_what_torch_lacks_is_an_error() -> None:
    lacking: Any = _torch.find("torch._no_such_name", "layers", "nothing")
    assert _torch.NAMES.pop().name == "torch._no_such_name"
    uses: list[Callable[[], Any]] = [
        lambda: lacking(),
        lambda: lacking.attribute,
        lambda: isinstance(1, lacking),
        lambda: lacking == 1,
        lambda: lacking != 1,
        lambda: 1 & lacking,
        lambda: exec("class Derived(lacking): pass", {"lacking": lacking}),
    ]
    for use in uses:
        with pytest.raises(_torch.LackingName, match=re.escape(f"Got torch {torch.__version__}, which lacks it.")):
            use()
