"""Whose a line is hangs on packages and marks, never on the name of a file."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import types
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

import thinned
from thinned.model.watch import callsite

NEIGHBOUR = """\
import torch


class Net(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.dropout(x, 0.5, self.training)
"""


def test_a_package_whose_name_begins_like_ours_is_the_user_s(tmp_path: Path) -> None:
    file = tmp_path / "thinned_zoo.py"
    file.write_text(NEIGHBOUR, encoding="utf-8")
    module = types.ModuleType("thinned_zoo")
    exec(compile(NEIGHBOUR, str(file), "exec"), vars(module))
    (place,) = thinned.inspect(module.Net(), torch.ones(4, 8)).places
    assert (place.file, place.line) == (str(file), 6)


def test_a_folder_named_like_one_of_ours_is_the_user_s(tmp_path: Path) -> None:
    """A path decides nothing: neither `ops/`, whose calls serve our operators, nor `model/edit/`, which has modes."""
    for folder in ("thinned/ops", "thinned/model/edit"):
        file = tmp_path / folder / "override.py"
        file.parent.mkdir(parents=True)
        file.write_text(NEIGHBOUR, encoding="utf-8")
        module = types.ModuleType("elsewhere")
        exec(compile(NEIGHBOUR, str(file), "exec"), vars(module))
        (place,) = thinned.inspect(module.Net(), torch.ones(4, 8)).places
        assert (place.file, place.line, place.train_calls) == (str(file), 6, 1)


def test_every_mode_of_ours_is_transparent() -> None:
    for found in pkgutil.walk_packages(thinned.__path__, "thinned."):
        if found.name.partition(".")[2].startswith(("model", "uncertainty")):
            importlib.import_module(found.name)
    modes = [mode for mode in _below(TorchFunctionMode) if mode.__module__.partition(".")[0] == "thinned"]
    assert len(modes) > 5
    for mode in modes:
        assert mode.__torch_function__.__code__ in callsite._TRANSPARENT, mode


def _below(kind: Any) -> list[Any]:
    found: list[Any] = []
    for below in kind.__subclasses__():
        found += [below, *_below(below)]
    return found


def test_a_forward_pass_ends_where_the_model_is_run() -> None:
    """A line of whoever calls a tool is no line of the model's."""
    (place,) = thinned.inspect(torch.nn.Sequential(torch.nn.Dropout(0.5)), torch.ones(4, 8)).places
    assert Path(place.file).parts[-2:] == ("modules", "container.py")
    (alone,) = thinned.inspect(torch.nn.Dropout(0.5), torch.ones(4, 8)).places
    assert alone.file == ""
    assert sys.modules[callsite.__name__] is callsite
