"""`thinned.check`: find faults of dropout in a live model or in source code. Importing this file imports no torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ...frameworks import refuse_other_frameworks
from .finding import Edit, Finding, Fix
from .findings import Findings
from .rule import Rule
from .settings import CheckError
from .walk import check_paths

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["CheckError", "Edit", "Finding", "Findings", "Fix", "Rule", "check", "check_paths"]


def check(
    model_or_path: Module | str | os.PathLike[str],
    *args: Any,
    select: Iterable[str] | None = None,
    ignore: Iterable[str] = (),
    **kwargs: Any,
) -> Findings:
    """Find what is wrong with the dropout in a model, or in source code.

    A model is run as `model(*args, **kwargs)` by `thinned.inspect`, which leaves it as it was; then the rules for live
    models look at the result. Some of them run the model again. Source code is read, and never run. `thinned rules`
    lists the rules. `# noqa: THN101` on a line silences a rule on this line. While a model is checked, no other thread
    may use it or draw random numbers.

    Arguments:
        model_or_path: a module, followed by the arguments of an example call, as in `thinned.inspect`; or a file or
            folder of Python source.
        select: the rules to use: codes, or beginnings of codes such as "THN1". None uses all rules for a model, and for
            source code the rules that [tool.thinned] in pyproject.toml selects.
        ignore: the rules not to use, by codes or beginnings of codes.

    Returns:
        The findings; `print` shows them.

    Raises:
        CheckError: a ValueError. The path does not exist, a code is unknown, or a setting is wrong.
        TypeError: `model_or_path` is neither a module nor a path, or an example is given with a path.
        Exception: any error that the model raises on the example.

    Cost: for a model that of `thinned.inspect`, and for some rules a few passes more. For source code about 10 ms for a
    file of 500 lines.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout(0.9), torch.nn.Linear(8, 2))
    >>> [(finding.code, finding.place) for finding in check(net, torch.ones(1, 4), select=["THN402"])]
    [('THN402', '2')]
    """
    codes, ignored = [select] if isinstance(select, str) else select, [ignore] if isinstance(ignore, str) else ignore
    if isinstance(model_or_path, str | os.PathLike):
        if args or kwargs:
            raise TypeError(f"`check`: a path takes no example. Got {os.fspath(model_or_path)!r} and an example.")
        return check_paths([model_or_path], select=codes, ignore=ignored)
    refuse_other_frameworks("check", model_or_path, "model_or_path")
    torch = sys.modules.get("torch")  # if there is a model, torch has been imported
    if torch is None or not isinstance(model_or_path, torch.nn.Module):
        raise TypeError(
            f"`check`: `model_or_path` must be a torch.nn.Module, or the path of a file or folder. "
            f"Got {type(model_or_path).__name__}."
        )
    from .examine import check_model

    return check_model(model_or_path, args, kwargs, select=codes, ignore=ignored)
