"""THN110: a model that is put in evaluation mode in its training loop, and never back."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..finding import Finding
from ..lens.remembered import remembered
from ..lens.source_file import Function, SourceFile, arguments, dotted
from ..lens.training_loops import Loop, LoopPart, callers, is_off, may_undo, runs, trains, visible
from ..rule import Rule


def source(file: SourceFile) -> Iterator[Finding]:
    if not file.says("backward"):
        return
    for call in file.nodes(ast.Call):
        model = _evaluated(call)
        if model is None:
            continue
        loop = _never_undone(file, call, model, frozenset())
        if loop is not None:
            yield RULE.on(
                file,
                call,
                f"`{file.segment(call)}` is never undone in the loop of line {file.position(loop)[0]}, which goes on "
                f"training without dropout: call `{model}.train()` afterwards",
            )


def _evaluated(call: ast.Call) -> str | None:
    """The name of the model that a call puts in evaluation mode; None for any other call."""
    if not isinstance(call.func, ast.Attribute):
        return None
    return dotted(call.func.value) if is_off(call) or (call.func.attr == "eval" and not call.args) else None


def _never_undone(file: SourceFile, site: ast.Call, model: str, seen: frozenset[ast.AST]) -> Loop | None:
    """The loop that trains the model after a line that puts it in evaluation mode.

    It is a loop around the line, or one that calls the function of the line.
    """
    below: ast.AST = site
    for above in file.above(site):
        around = isinstance(above, ast.For | ast.AsyncFor | ast.While) and below in _body(file, above)
        if around and trains(file, above, model):
            meant = _only_sets_mode(below, site) and _comes_first(file, LoopPart(above, model), below)
            return None if meant or may_undo(file, above, model) else above  # type: ignore[return-value]
        if _leaves(file, above, below):
            return None
        if isinstance(above, Function):
            return None if above in seen else _by_callers(file, above, model, seen | {above})
        below = above
    return None


@remembered
def _by_callers(file: SourceFile, function: Function, model: str, seen: frozenset[ast.AST]) -> Loop | None:
    """The loop that calls a function which leaves the model in evaluation mode, and trains on."""
    if function.decorator_list and not all(_is_quiet(file, mark) for mark in function.decorator_list):
        return None
    if may_undo(file, function, model) or file.index.has(function, ast.Yield, ast.YieldFrom):
        return None
    declared = [argument.arg for argument in arguments(function)]
    own = declared[1:] if declared[:1] == ["self"] else declared
    for call in callers(file, function):
        outside: str | None = model if visible(file, function, model) else None
        if model in own:
            given = dict(zip(own, call.args, strict=False)) | {
                word.arg: word.value for word in call.keywords if word.arg is not None
            }
            outside = dotted(given[model]) if model in given else None
        loop = None if outside is None else _never_undone(file, call, outside, seen)
        if loop is not None:
            return loop
    return None


@remembered
def _body(_: SourceFile, loop: Loop) -> set[ast.AST]:
    """The statements of a loop, none inside of others."""
    return set(loop.body)


def _is_quiet(file: SourceFile, mark: ast.expr) -> bool:
    name = file.resolve(mark.func if isinstance(mark, ast.Call) else mark) or ""
    return name.startswith("torch.") or name in ("staticmethod",)


def _only_sets_mode(statement: ast.AST, site: ast.Call) -> bool:
    """Whether a statement is the call alone, or an `if` around it: `if freeze: model.eval()`."""
    if isinstance(statement, ast.If):
        return len(statement.body) == 1 and not statement.orelse and _only_sets_mode(statement.body[0], site)
    return isinstance(statement, ast.Expr) and statement.value is site


def _comes_first(file: SourceFile, loop: LoopPart, statement: ast.AST) -> bool:
    """Whether a statement comes before all training of the loop: then training in evaluation mode is meant."""
    first = _first_run(file, loop)
    return first is not None and first > file.position(statement)


@remembered
def _first_run(file: SourceFile, part: LoopPart) -> tuple[int, int] | None:
    """The position of the first run of the model in a part of a loop; None if there is none."""
    return min(map(file.position, runs(file, part)), default=None)


def _leaves(file: SourceFile, above: ast.AST, below: ast.AST) -> bool:
    """Whether the block of a statement leaves the loop or the function after it."""
    place, ends = _blocks(file, above).get(below, (0, (0, 0)))
    return place < ends[0] or (isinstance(above, ast.If | ast.With) and place < ends[1])


@remembered
def _blocks(_: SourceFile, above: ast.AST) -> dict[ast.AST, tuple[int, tuple[int, int]]]:
    """For each statement in the blocks of another: its place in the block, and those of its last statements that leave.

    These are the last `break` or `raise`, and the last `return`.
    """
    found: dict[ast.AST, tuple[int, tuple[int, int]]] = {}
    for name in ("body", "orelse", "finalbody"):
        block = getattr(above, name, None)
        if isinstance(block, list):
            leaving = [place for place, node in enumerate(block) if isinstance(node, ast.Break | ast.Raise)]
            returning = [place for place, node in enumerate(block) if isinstance(node, ast.Return)]
            ends = max(leaving, default=-1), max(returning, default=-1)
            found.update((node, (place, ends)) for place, node in enumerate(block))
    return found


RULE = Rule(
    code="THN110",
    name="eval-never-undone",
    summary="A training loop puts its model in evaluation mode, and goes on training.",
    what="""\
Looks for `model.eval()` or `model.train(False)` in a loop that trains the model (calls it with gradients, `backward`,
`step`), also by a function or method of this file that the loop calls, where nothing in the loop sets the mode back. A
loop that calls `train()` on anything, makes the model anew, gives it to code of other files, or leaves after the
evaluation is left alone; so is `eval()` as the first line of the loop, or `if ...: model.eval()` there, which says that
training without dropout is meant.""",
    why="""\
The first epoch trains with dropout, all others without: `train()` before the loop does not last. Batch normalisation
stops learning its statistics. The loss even falls, so one concludes that training works, and that dropout does not
matter.""",
    bad="""\
import torch
import torch.nn.functional as F


def fit(model, optimizer, batches, held_out):
    model.train()
    for epoch in range(10):
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            print(epoch, sum(F.cross_entropy(model(x), y) for x, y in held_out))
""",
    good="""\
import torch
import torch.nn.functional as F


def fit(model, optimizer, batches, held_out):
    for epoch in range(10):
        model.train()
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            print(epoch, sum(F.cross_entropy(model(x), y) for x, y in held_out))
""",
    instead="`model.train()` at the beginning of each epoch, and after each evaluation inside of one.",
    reference="Reports in many projects: issues mmd 14, mcan-vqa 26, vsepp 4.",
    source=source,
)
