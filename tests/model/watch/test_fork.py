"""A fork beside a thread that uses a tool: the child can use every tool, and has nothing that the thread began."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import thinned
from thinned.once import once

X = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # Python 3.12 and later warn of threads
]


class Waiting(nn.Module):
    """Waits in its forward, in one thread alone, until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.last = thinned.nn.Dropout(0.5), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        if threading.current_thread() is not threading.main_thread():
            INSIDE.set()
            GO_ON.wait(30)
        return self.last(self.drop(x))  # type: ignore[no-any-return]


INSIDE, GO_ON = threading.Event(), threading.Event()


def in_child(check: Callable[[], Any]) -> None:
    """Fork; the child must come to its end without an error within some seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            torch.set_num_threads(1)
            check()
            os.write(writing, b"done")
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(writing)
    end = time.monotonic() + 60
    while time.monotonic() < end and os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.005)
    if time.monotonic() >= end:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    assert said == "done", said


@contextmanager
def beside(work: Callable[[], Any]) -> Iterator[None]:
    """A thread that is in the middle of some work."""
    INSIDE.clear()
    GO_ON.clear()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)
            INSIDE.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert INSIDE.wait(30)
    try:
        yield
    finally:
        GO_ON.set()
        thread.join()
    assert not failed


ASK = thinned.Predictor(Waiting(), 3)


def _disabled(net: nn.Module) -> None:
    with thinned.disabled(net):
        net(X)


def _guarded(net: nn.Module) -> None:
    with thinned.eval_guard(net):
        net(X)


def _streamed(net: nn.Module) -> None:
    with thinned.stream(net, 1):
        net(X)


WORKS: dict[str, Callable[[nn.Module], Any]] = {
    "predict": lambda net: thinned.predict(net, X, 3),
    "Predictor": lambda net: ASK(X),
    "inspect": lambda net: thinned.inspect(net, X),
    "check": lambda net: thinned.check(net, X),
    "variance_shift": lambda net: thinned.variance_shift(net, [X]),
    "plan": lambda net: thinned.plan(net, X),
    "disabled": _disabled,
    "eval_guard": _guarded,
    "stream": _streamed,
}


@pytest.mark.parametrize("name", WORKS)
def test_a_fork_beside_a_tool(name: str) -> None:
    net = Waiting().train()
    functions = random.random, torch.manual_seed
    hooks = torch.nn.modules.module
    before = thinned.predict(net, X, 3).mean, ASK(X).mean

    def check() -> None:
        assert (random.random, torch.manual_seed) == functions
        assert [module.training for module in net.modules()] == [True] * 3
        assert net.drop.p == 0.5
        assert not hooks._global_forward_hooks
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
        assert not torch.equal(net(X), net.last(X))
        assert torch._dynamo.eval_frame._stance.stance == "default"
        assert torch.equal(thinned.predict(net, X, 3).mean, before[0])
        assert torch.equal(ASK(X).mean, before[1])
        thinned.inspect(net, X)
        thinned.variance_shift(net, [X])
        with thinned.disabled(net):
            assert torch.equal(net(X), net.last(X))
        assert net.drop.p == 0.5
        with thinned.stream(net, 1):
            net(X)

    with beside(lambda: WORKS[name](net)):
        in_child(check)
    assert net.drop.p == 0.5


def test_a_fork_inside_of_a_with_of_this_thread_goes_on_with_it() -> None:
    net = nn.Sequential(nn.Linear(8, 8), thinned.nn.Dropout(0.5))
    with thinned.stream(net, 1) as stream, thinned.disabled(net):
        expected = net(X)

        def check() -> None:
            assert torch.equal(net(X), expected)
            stream.step()

        in_child(check)
    assert net[1].p == 0.5


def test_a_guard_without_with_is_the_models_in_a_child_too() -> None:
    net = nn.Sequential(nn.Linear(8, 8), Waiting())
    thread = threading.Thread(target=lambda: thinned.eval_guard(net))
    thread.start()
    thread.join()
    vars(net.eval()[1].drop)["forward"] = lambda x: nn.functional.dropout(x, 0.5)

    def check() -> None:
        with pytest.raises(thinned.NoiseInEval):
            net(X)

    in_child(check)


def test_loader_workers_start_beside_a_tool() -> None:
    net = Waiting()
    with beside(lambda: thinned.predict(net, X, 3)):
        loader: Any = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(X), batch_size=2, num_workers=1, multiprocessing_context="fork"
        )
        assert torch.equal(torch.cat([batch for (batch,) in loader]), X)


def test_a_fork_while_a_tool_is_imported() -> None:
    """A module that another thread imports at the fork would stay locked in the child."""
    code = """
import os, threading, torch, thinned
started = threading.Event()
threading.Thread(target=lambda: (started.set(), thinned.disabled)).start()
started.wait()
for _ in range(3):
    child = os.fork()
    if not child:
        thinned.disabled(torch.nn.Dropout(0.5)).__enter__()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_fork_while_a_property_is_worked_out() -> None:
    """`functools.cached_property` would leave its lock taken in the child, for every other instance too."""

    class Slow:
        def __init__(self, work: Callable[[], None]) -> None:
            self.work = work

        @once
        def value(self) -> int:
            self.work()
            return 3

    def wait() -> None:
        INSIDE.set()
        GO_ON.wait(30)

    def check() -> None:
        assert Slow(lambda: None).value == 3

    with beside(lambda: Slow(wait).value):
        in_child(check)


def test_no_property_has_a_lock() -> None:
    source = Path(thinned.__file__).parent
    assert not [path for path in source.rglob("*.py") if "@cached_property" in path.read_text(encoding="utf-8")]


def test_forks_while_locks_are_taken_and_given_back_all_the_time() -> None:
    net, stop = nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 1)), threading.Event()

    def work() -> None:
        while not stop.is_set():
            with thinned.disabled(net):
                pass

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(5):

            def check() -> None:
                assert net[0].p == 0.5
                with thinned.disabled(net):
                    assert net[0].p == 0.0
                assert net[0].p == 0.5

            in_child(check)
    finally:
        stop.set()
        thread.join()
