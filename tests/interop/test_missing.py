"""A framework that is not installed is named, with how to get it."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("name", "packages"),
    [("lightning", ["lightning", "lightning.pytorch", "pytorch_lightning"]), ("transformers", ["transformers"])],
)
def test_the_error_names_the_package(name: str, packages: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, f"thinned.interop.{name}", raising=False)
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=rf"`thinned.interop.{name}` needs .*. Run pip install '?{name}"):
        importlib.import_module(f"thinned.interop.{name}")


@pytest.mark.parametrize(("name", "package"), [("jax", "jax"), ("keras", "keras")])
def test_the_error_names_the_extra(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [*sys.modules]:
        if module.startswith(f"thinned.interop.{name}"):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=rf"`thinned.interop.{name}` needs .* 'thinned\[{name}\]'"):
        importlib.import_module(f"thinned.interop.{name}")
