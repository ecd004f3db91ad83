"""An interrupt at any point of a tool, or of a forward under it, leaves nothing behind.

KeyboardInterrupt, SystemExit and GeneratorExit are raised at lines of the model's forward and of our own code, as a
signal would. Left out are lines of a `finally` of ours: an interrupt that comes while a tool is putting things back can
end that early, however it is written. Left out, too, are two places where Python runs no handler of signals: the end of
a `with`, between its body and the call of `__exit__`, and `try:`.
"""

from __future__ import annotations

import ast
import copy
import dis
import gc
import random
import sys
from collections.abc import Callable, Generator
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo
import torch.nn.functional as F
from tests.run import Run
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

import thinned
from thinned.model.watch import callsite, private_noise
from thinned.model.watch.generators import States
from thinned.ops import placed

X = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
SOURCE = str(Path(thinned.__file__).parent)
POINTS = 40


def noisy(m: Any, x: Tensor) -> Tensor:
    x = F.dropout(m.norm(m.first(x)), 0.3, m.training)
    for _ in range(2):
        x = m.drop(x)
    return m.last(x)  # type: ignore[no-any-return]


def model() -> nn.Module:
    children = {"first": nn.Linear(8, 8), "norm": nn.BatchNorm1d(8), "drop": nn.Dropout(0.4), "last": nn.Linear(8, 1)}
    return Run(noisy, **children)


def ours() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), thinned.nn.Dropout(0.5), nn.Linear(8, 1))


def _disabled(net: nn.Module) -> None:
    with thinned.disabled(net):
        net(X)


def _guarded(net: nn.Module) -> None:
    with thinned.eval_guard(net, allow=("*",)):
        net.eval()(X)


def _frozen(net: nn.Module) -> None:
    net(X)


def _streamed(net: nn.Module) -> None:
    with thinned.stream(net, 1) as stream:
        with stream.part(0, 2):
            net(X)
        stream.step()


TOOLS: dict[str, tuple[Callable[[], nn.Module], Callable[[Any], Any]]] = {
    "inspect": (model, lambda net: thinned.inspect(net, X)),
    "check": (ours, lambda net: thinned.check(net, X)),
    "plan": (model, lambda net: thinned.plan(net, X)),
    "predict": (model, lambda net: thinned.predict(net, X, 3)),
    "weight_scaling": (model, lambda net: thinned.weight_scaling(net, X)),
    "thinned_networks": (model, lambda net: [network(X) for network in thinned.thinned_networks(net, 1, X)]),
    "calibrate": (model, lambda net: thinned.calibrate(net, (X, X[:, :1]), task="regression", n=2)),
    "variance_shift": (model, lambda net: thinned.variance_shift(net, [X])),
    "rates": (model, lambda net: thinned.rates(net, example=(X,))),
    "disabled": (model, _disabled),
    "eval_guard": (model, _guarded),
    "freeze": (lambda: thinned.freeze(model()).module, _frozen),
    "a p in code": (model, lambda net: net(X)),
    "stream": (ours, _streamed),
}


@cache
def last_lines(file: str) -> frozenset[int]:
    """The lines of a file inside of `finally`, and after `except BaseException`."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Try):
            handlers = [each for each in node.handlers if isinstance(each.type, ast.Name)]
            bodies = [each.body for each in handlers if each.type.id == "BaseException"]  # type: ignore[union-attr]
            for statement in (*node.finalbody, *(statement for body in bodies for statement in body)):
                found.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    return frozenset(found)


@cache
def without_handlers(code: CodeType) -> frozenset[int]:
    """Where a line begins with `try:`, or with the call of an `__exit__` without an error: None three times."""
    steps = list(dis.get_instructions(code))
    nones = [step.opname == "LOAD_CONST" and step.argval is None for step in steps]
    exits = [nones[at : at + 3] == [True] * 3 for at in range(len(steps))]
    returns = [step.opname == "SWAP" and ends for step, ends in zip(steps, [*exits[1:], False], strict=True)]
    tries = [step.opname == "NOP" for step in steps]
    return frozenset(step.offset for step, *found in zip(steps, exits, returns, tries, strict=True) if any(found))


def on_the_way_out(frame: FrameType | None) -> bool:
    if frame is not None and frame.f_lasti in without_handlers(frame.f_code):
        return True
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(SOURCE) and frame.f_lineno in last_lines(file):
            return True
        frame = frame.f_back
    return False


class Interrupting:
    """Counts the lines that run in our code, or in the model's forward alone, and raises at one of them."""

    def __init__(self, at: int = -1, error: type[BaseException] = KeyboardInterrupt, *, forward: bool = False) -> None:
        self.at, self.error, self.forward, self.lines = at, error, forward, 0
        self.where = ""

    def __enter__(self) -> Interrupting:
        self.before = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)

    def _call(self, frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        ours = code.co_filename.startswith(SOURCE) and not self.forward
        return self._line if ours or code is noisy.__code__ else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            self.lines += 1
            if self.lines >= self.at > 0 and not on_the_way_out(frame):
                self.at = -1
                self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                raise self.error
        return self._line


def everything(net: nn.Module) -> dict[str, Any]:
    """What must be as before, in a form to compare."""
    hooks = torch.nn.modules.module
    return {
        "function modes": list(torch.overrides._get_current_function_mode_stack()),
        "dispatch modes": torch.utils._python_dispatch._get_current_dispatch_mode_stack(),
        "torch compiles": not torch.utils._python_dispatch.is_in_torch_dispatch_mode(include_infra_modes=False),
        "global hooks": (len(hooks._global_forward_hooks), len(hooks._global_forward_pre_hooks)),
        "hooks": [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in net.modules()],
        "p": [module.p for module in net.modules() if hasattr(module, "p")],
        "attributes": [set(vars(module)) for module in net.modules()],
        "functions": (random.random, np.random.rand, torch.manual_seed, torch.get_rng_state),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "compiler": torch._dynamo.eval_frame._stance.stance,
        "stream": placed.source(),
        "noise": private_noise.current(),
        "tools": callsite._TOOLS.running,
    }


def model_of(name: str) -> Any:
    torch.manual_seed(0)
    net = TOOLS[name][0]()
    if name == "a p in code":
        thinned.set_rates(net, {"*": 0.2})
    return net


def interrupted(name: str, interrupting: Interrupting, untouched: bool) -> bool:
    """Use a tool under an interrupt, and look at what is left. Whether the interrupt came out of the tool."""
    net = model_of(name)
    modes, states = [module.training for module in net.modules()], States.now()
    before = everything(net)
    came = False
    with interrupting:
        try:
            TOOLS[name][1](net)
        except interrupting.error:
            came = True
    after = everything(net)
    left = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
    assert not left, interrupting.where
    if untouched:
        assert modes == [module.training for module in net.modules()], interrupting.where
        assert states.same(States.now()), interrupting.where
    return came


RUN_THE_MODEL_ITSELF = {"disabled", "eval_guard", "freeze", "a p in code", "stream"}  # in the user's own call


def lines_of(name: str, *, forward: bool) -> int:
    counting = Interrupting(forward=forward)
    for _ in range(2):  # what is imported or cached late is there
        counting.lines = 0
        with counting:
            TOOLS[name][1](model_of(name))
    return counting.lines


@pytest.mark.parametrize("name", [name for name in TOOLS if name != "check" and name != "stream"])
def test_an_interrupt_in_a_forward(name: str) -> None:
    """At each line of the passes, up to forty; up to eight in tools of many passes."""
    lines = lines_of(name, forward=True)
    points = 8 if name in ("inspect", "rates", "predict", "thinned_networks", "calibrate") else POINTS
    errors = (KeyboardInterrupt, SystemExit, GeneratorExit)
    for number, at in enumerate(range(1, lines + 1, max(1, lines // points))):
        interrupting = Interrupting(at, errors[number % 3], forward=True)
        came = interrupted(name, interrupting, name not in RUN_THE_MODEL_ITSELF)
        assert came == bool(interrupting.where)
        assert interrupting.where or number


@pytest.mark.long
@pytest.mark.parametrize("name", TOOLS)
def test_an_interrupt_in_our_own_code(name: str) -> None:
    lines = lines_of(name, forward=False)
    for at in range(1, lines + 1, max(1, lines // POINTS)):
        interrupted(name, Interrupting(at), name not in RUN_THE_MODEL_ITSELF)


@pytest.mark.parametrize("name", ["eval_guard", "a p in code", "freeze", "predict"])
def test_another_model_compiles_afterwards(name: str) -> None:
    assert interrupted(name, Interrupting(3, forward=True), untouched=False)
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    torch.compile(nn.Linear(8, 8), backend=counter)(X)
    assert counter.frame_count == 1


def test_a_guard_that_stays_watches_on_and_ends_at_once() -> None:
    """It is no `with`: the guard works after interrupted forwards, and after its end nothing raises."""
    net: Any = Run(lambda m, x: m.act(x), act=nn.Identity())
    guard = thinned.eval_guard(net.eval())
    for error in (KeyboardInterrupt, SystemExit):
        net.act.forward = _raising(error)
        with pytest.raises(error):
            net(X)
        assert torch.utils._python_dispatch._get_current_dispatch_mode_stack() == []
    net.act.forward = lambda x: F.dropout(x, 0.5)
    with pytest.raises(thinned.NoiseInEval):
        net(X)
    net.act.forward = _raising(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        net(X)
    guard.remove()
    net.act.forward = lambda x: F.dropout(x, 0.5)
    net(X)
    assert "_compiled_call_impl" not in vars(net)


def _raising(error: type[BaseException]) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        raise error

    return forward


OPEN: dict[str, Callable[[nn.Module], Any]] = {
    "disabled": thinned.disabled,
    "eval_guard": lambda net: thinned.eval_guard(net, allow=("*",)),
    "stream": lambda net: thinned.stream(net, 1),
}


@pytest.mark.parametrize("name", OPEN)
@pytest.mark.parametrize("end", ["closed", "thrown", "crossed", pytest.param("collected", marks=pytest.mark.long)])
def test_a_generator_that_holds_a_with(name: str, end: str) -> None:
    def held(net: nn.Module) -> Generator[None]:
        with OPEN[name](net):
            while True:
                net(X)
                yield

    one, two = ours(), ours()
    before = everything(one), everything(two)
    first, second = held(one), held(two)
    for generator in (first, second, first):
        next(generator)
    if end == "thrown":
        for generator in (first, second):
            with pytest.raises(KeyboardInterrupt):
                generator.throw(KeyboardInterrupt())
    elif end == "collected":
        del first, second, generator
        gc.collect()
    else:  # the first one ends first, or last
        for generator in (first, second) if end == "crossed" else (second, first):
            generator.close()
    assert before == (everything(one), everything(two))


def test_a_copy_of_a_frozen_part_is_as_safe() -> None:
    frozen: Any = copy.deepcopy(thinned.freeze(Run(lambda m, x: m.act(x), act=nn.Identity())).module)
    frozen.act.forward = _raising(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        frozen(X)
    assert torch.utils._python_dispatch._get_current_dispatch_mode_stack() == []
