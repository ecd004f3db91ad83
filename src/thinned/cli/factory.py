"""The object that `package.module:factory` names on the command line, and what is said of one that fails.

A factory may have arguments, `net:build(depth=3)`: literals, which are read and never run.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import typer

from .terminal import say
from .terminal import told as sentence


class TargetError(ValueError):
    """A name on the command line that leads to nothing that can be used."""


class Factory(NamedTuple):
    """The part after the colon: a name, and the arguments of a call."""

    name: str
    called: bool
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def parsed(text: str, what: str) -> tuple[str, Factory]:
    """The module, and the factory with its arguments, that `package.module:name(argument=literal)` names."""
    module, colon, rest = text.partition(":")
    try:
        node = ast.parse(rest.strip(), mode="eval").body
        call = node if isinstance(node, ast.Call) else None
        name = node.func if call is not None else node  # type: ignore[attr-defined]
        if not colon or not re.fullmatch(r"\w+(\.\w+)*", module) or not re.fullmatch(r"\w+(\.\w+)*", ast.unparse(name)):
            raise SyntaxError
    except SyntaxError:
        raise TargetError(f"{what} must be package.module:factory. Got {text!r}.") from None
    if call is None:
        return module, Factory(ast.unparse(name), False, (), {})
    try:
        args = tuple(map(ast.literal_eval, call.args))
        kwargs = {word.arg or "": ast.literal_eval(word.value) for word in call.keywords}
        if "" in kwargs:
            raise ValueError
    except ValueError:
        raise TargetError(
            f"{what}: arguments must be literals, as in 'net:build(depth=3, act=\"relu\")'. Got {text!r}."
        ) from None
    return module, Factory(ast.unparse(name), True, args, kwargs)


def named(text: str, what: str) -> tuple[Any, Factory]:
    """The object that `package.module:name.name` names, and the arguments that it is given."""
    module, factory = parsed(text, what)
    here = os.getcwd()  # noqa: PTH109  what sys.path holds
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{module}.".startswith(f"{missing}."):
            raise TargetError(
                f"{what}: there is no module {missing!r}, here ({here}) or among the installed. Got {text!r}."
            ) from None
        raise TargetError(f"{what}: importing {module!r} fails: {told(error)}") from error
    for part in factory.name.split("."):
        if not hasattr(found, part):
            offered = [key for key, value in vars(found).items() if callable(value) and not key.startswith("_")]
            raise TargetError(
                f"{what}: {module} has no {factory.name!r}. It has {', '.join(sorted(offered)[:20]) or 'nothing'}."
            )
        found = getattr(found, part)
    return found, factory


def made(found: Callable[..., Any], factory: Factory, text: str) -> Any:
    """What a factory gives.

    Raises: TargetError, whose cause is what the factory raised.
    """
    try:
        return found(*factory.args, **factory.kwargs)
    except (Exception, SystemExit) as error:
        hint = "" if factory.called else f" Arguments are given as '{text}(depth=3)'."
        hint = hint if isinstance(error, TypeError) and error.__traceback__.tb_next is None else ""  # type: ignore[union-attr]
        raise TargetError(f"{text} fails: {told(error)}{hint}") from error


def told(error: BaseException) -> str:
    """An error in one line, with the file and the line at which it was raised."""
    if isinstance(error, SyntaxError):
        text, at = error.msg, f" ({error.filename}:{error.lineno})"
    else:
        lines = str(error).strip().splitlines() or [""]
        text = lines[0] + (" ..." if len(lines) > 1 else "")
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if not frame.filename.startswith("<frozen") and frame.filename != __file__
        ]
        at = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}{at}. --verbose shows the traceback."


def stop(verb: str, error: Exception, *, verbose: bool) -> typer.Exit:
    """Print why a verb can't go on, in one line; with `verbose` after the traceback of the cause. Exit code 2."""
    if verbose:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        say("".join(traceback.format_exception(cause, chain=True)), err=True, nl=False)
    say(f"thinned {verb}: {sentence(error)}", err=True)
    return typer.Exit(2)
