"""What a thread has entered is its own: streams, guards and `disabled` of several threads overlap in any order."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo
import torch.nn.functional as F
from tests.counted_backend import CountedBackend
from tests.run import Run
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

import thinned
from thinned.model.watch.interrupted import Handle

X = torch.ones(16, 8)


class Other:
    """A `with` that another thread enters and leaves when it is told to, and code that it runs inside."""

    def __init__(self, managed: Callable[[], AbstractContextManager[Any]]) -> None:
        self._managed = managed
        self._pool = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),))

    def enter(self) -> None:
        def enter() -> None:
            self._entered = self._managed()
            self._entered.__enter__()

        self._pool.submit(enter).result()

    def run(self, work: Callable[[], Any]) -> Any:
        return self._pool.submit(work).result()

    def leave(self) -> None:
        self._pool.submit(self._entered.__exit__, None, None, None).result()
        self._pool.shutdown()


def in_code(m: Any, x: Tensor) -> Tensor:
    return F.dropout(m.drop(x), 0.5)


NETS: dict[str, Callable[[], Any]] = {
    "torch": lambda: nn.Sequential(nn.Dropout(0.5)),
    "thinned": lambda: nn.Sequential(thinned.nn.Dropout(0.5)),
    "classic": lambda: nn.Sequential(thinned.nn.Dropout(0.5, scaling="classic")),
    "in code": lambda: Run(in_code, drop=nn.Dropout(0.5)),
    "overridden": lambda: _overridden(Run(in_code, drop=nn.Dropout(0.5))),
    "torchscript": lambda: nn.Sequential(torch.jit.script(nn.Dropout(0.5))),
}


def _overridden(net: nn.Module) -> nn.Module:
    thinned.set_rates(net, {":dropout": 0.25})
    return net


def answer(name: str) -> Tensor:
    return X * 0.5 if name == "classic" else X


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("first", ["this", "other"])
def test_disabled_of_two_threads(name: str, first: str) -> None:
    """Whichever ends first, the other one's is in force; after both, p and modes are as before."""
    net = NETS[name]()
    rates, modes = thinned.rates(net), [module.training for module in net.modules()]
    here, other = thinned.disabled(net), Other(lambda: thinned.disabled(net))
    here.__enter__()
    other.enter()
    assert torch.equal(net(X), answer(name))
    if first == "this":
        here.__exit__(None, None, None)
        assert torch.equal(other.run(lambda: net(X)), answer(name))
        other.leave()
    else:
        other.leave()
        assert torch.equal(net(X), answer(name))
        here.__exit__(None, None, None)
    assert thinned.rates(net) == rates
    assert [module.training for module in net.modules()] == modes
    assert not torch.equal(net(X), answer(name))


def test_disabled_nested_with_classic_scaling_and_crossed_ends() -> None:
    net = NETS["classic"]()
    one, two = thinned.disabled(net), thinned.disabled(net)
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert torch.equal(net(X), X * 0.5)
    two.__exit__(None, None, None)
    assert net[0].training
    assert net[0].p == 0.5


def test_compiled_code_runs_compiled_again_when_another_thread_was_the_last() -> None:
    torch._dynamo.reset()
    backend = CountedBackend()
    net, linear = NETS["torch"](), nn.Linear(8, 8)
    compiled = torch.compile(lambda x: linear(x), backend=backend)
    compiled(X)
    here, other = thinned.disabled(net), Other(lambda: thinned.disabled(net))
    here.__enter__()
    other.enter()
    here.__exit__(None, None, None)
    backend.calls = 0
    compiled(X)
    assert backend.calls == 0
    other.leave()
    compiled(X)
    assert backend.calls == 1


def drops(m: Any, x: Tensor) -> Tensor:
    for _ in range(3):
        x = thinned.nn.functional.dropout(x, 0.3, m.training)
    return x


@pytest.mark.usefixtures("one_thread")
def test_eight_threads_each_with_a_stream() -> None:
    """Calls of functions have the masks of their own thread's stream, as alone."""

    def masks(seed: int, wait: Callable[[], Any] = lambda: None) -> Tensor:
        net, found = Run(drops), []
        with thinned.stream(net, seed) as stream:
            for _ in range(5):
                wait()
                found.append(net(X))
                with stream.part(1, 2):
                    found.append(net(X))
                stream.step()
        return torch.stack(found)

    expected = [masks(seed) for seed in range(8)]
    barrier = threading.Barrier(8)
    with ThreadPoolExecutor(8, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found = list(pool.map(lambda seed: masks(seed, barrier.wait), range(8)))
    assert all(map(torch.equal, found, expected))


def test_a_stream_is_of_the_thread_that_entered_it_and_its_layers_are_of_the_model() -> None:
    """A thread of a pool has none for calls of functions; layers of the model draw by the stream wherever they run."""
    layer = nn.Sequential(thinned.nn.Dropout(0.5))
    with thinned.stream(layer, 1) as stream, ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: None).result()
        state = torch.get_rng_state()
        pool.submit(layer, X).result()
        assert torch.equal(torch.get_rng_state(), state)
        pool.submit(thinned.nn.functional.dropout, X, 0.5).result()
        assert not torch.equal(torch.get_rng_state(), state)
        assert stream.sites == ("", "0")


def test_guards_of_two_threads_leave_torch_as_one_thread_would() -> None:
    """They overlap crosswise in their forwards; afterwards torch compiles as ever."""
    torch._dynamo.reset()
    inside, out = threading.Event(), threading.Event()

    def waits(m: Any, x: Tensor) -> Tensor:
        inside.set()
        assert out.wait(30)
        return x

    def watched() -> None:
        inside.wait(30)
        net = nn.Sequential(nn.Identity(), Run(_lets_go(out))).eval()
        with thinned.eval_guard(net):
            net(X)

    thread = threading.Thread(target=watched)
    thread.start()
    net = Run(waits).eval()
    with thinned.eval_guard(net):
        net(X)
    thread.join()
    counter = CompileCounterWithBackend("aot_eager")
    torch.compile(nn.Linear(8, 8), backend=counter)(X)
    assert counter.frame_count == 1


def _lets_go(event: threading.Event) -> Callable[[Any, Tensor], Tensor]:
    def forward(m: Any, x: Tensor) -> Tensor:
        event.set()
        threading.Event().wait(0.05)
        return x

    return forward


def test_a_guard_does_not_take_the_draws_of_another_thread_for_its_model_s() -> None:
    stop = threading.Event()

    def draw() -> None:
        while not stop.is_set():
            random.random()
            np.random.random_sample()  # noqa: NPY002
            torch.rand(1)

    quiet = nn.Sequential(nn.Linear(8, 8), Run(lambda m, x: x)).eval()
    loud = Run(lambda m, x: x * random.random()).eval()
    thread = threading.Thread(target=draw)
    thread.start()
    try:
        with thinned.eval_guard(quiet), thinned.eval_guard(loud):
            for _ in range(20):
                quiet(X)
            with pytest.raises(thinned.NoiseInEval):
                loud(X)
        frozen = thinned.freeze(Run(lambda m, x: x))
        for _ in range(5):
            frozen.module(X)
        with thinned.disabled(quiet):
            quiet(X)
    finally:
        stop.set()
        thread.join()


OF_THE_PROCESS: dict[str, tuple[Any, Callable[[], Any]]] = {
    "NumPy's": (np.random.mtrand._rand, lambda: np.random.random_sample()),  # noqa: NPY002
    "Python's": (random._inst, lambda: random.random()),
}


@pytest.mark.parametrize("name", OF_THE_PROCESS)
@pytest.mark.parametrize("held", ["in a list", "as a default"])
def test_a_generator_of_the_process_is_not_a_model_s_own(name: str, held: str) -> None:
    """A model that holds it is quiet while another thread draws, and is refused where it draws itself."""
    generator, draw = OF_THE_PROCESS[name]
    with ThreadPoolExecutor(1) as pool:
        pool.submit(draw).result()

        def meanwhile(m: Any, x: Tensor, own: Any = generator if held == "as a default" else None) -> Tensor:
            pool.submit(draw).result()
            return x

        quiet = Run(meanwhile).eval()
        if held == "in a list":
            vars(quiet)["sources"] = [generator]
        with thinned.eval_guard(quiet):
            quiet(X)
        loud = Run(lambda m, x: x * generator.uniform(0, 1)).eval()
        with thinned.eval_guard(loud), pytest.raises(thinned.NoiseInEval):
            loud(X)


class Between:
    """A handle that does something before it is removed."""

    def __init__(self, handle: Handle, before: Callable[[], object]) -> None:
        self.handle, self.before = handle, before

    def remove(self) -> None:
        self.before()
        self.handle.remove()


@pytest.mark.parametrize("taken_off", range(4))
@pytest.mark.parametrize("ends", ["returns", "raises"])
def test_a_guard_that_ends_in_the_midst_of_another_thread_s_forward_leaves_nothing_there(
    ends: str, taken_off: int
) -> None:
    """The other thread has met its hook before the forward, and leaves it when so many handles have been taken off."""
    inside, ended = threading.Event(), threading.Event()

    def forward(_: Any, x: Tensor) -> Tensor:
        inside.set()
        assert ended.wait(60)
        if ends == "raises":
            raise ValueError
        return x

    net = Run(forward).eval()
    guard = thinned.eval_guard(net)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(net, X)
        assert inside.wait(60)

        def end() -> None:
            ended.set()
            assert isinstance(call.exception(60), ValueError) == (ends == "raises")

        if taken_off < 3:
            assert len(guard._handles) == 3
            guard._handles[2 - taken_off] = Between(guard._handles[2 - taken_off], end)
        guard.remove()
        end()
        assert pool.submit(_modes).result() == (0, 0)
    assert not torch.utils._python_dispatch.is_in_torch_dispatch_mode(include_infra_modes=False)


def _modes() -> tuple[int, int]:
    """How many modes torch has in this thread."""
    functions, operators = torch.overrides, torch.utils._python_dispatch
    return (
        len(functions._get_current_function_mode_stack()),
        len(operators._get_current_dispatch_mode_stack()),
    )


def test_hooks_that_another_thread_changes_while_torch_runs_them_hide_no_error_and_leave_no_mode() -> None:
    """torch goes through a module's hooks after an error, and stops where their number changes."""
    net = Run(lambda _, x: F.dropout(x, 0.5)).eval()

    def change(*_: Any) -> None:  # as another thread does at this moment
        net.register_forward_hook(print)

    net.register_forward_hook(change, always_call=True)
    with thinned.eval_guard(net), pytest.raises(thinned.NoiseInEval, match=":dropout"):
        net(X)
    assert _modes() == (0, 0)
    assert not torch.utils._python_dispatch.is_in_torch_dispatch_mode(include_infra_modes=False)


def test_threads_that_guard_one_model_at_once() -> None:
    """Each hears of the noise, and of nothing else, whoever puts hooks on and takes them off meanwhile."""
    net = Run(lambda _, x: F.dropout(x, 0.5)).eval()

    def work() -> list[str]:
        torch.set_num_threads(1)
        heard = []
        for _ in range(20):
            with thinned.eval_guard(net):
                try:
                    net(X)
                except thinned.NoiseInEval as error:
                    heard.append(error.place)
        return [*heard, str(_modes())]

    with ThreadPoolExecutor(4) as pool:
        found = [call.result() for call in [pool.submit(work) for _ in range(4)]]
    assert found == [[":dropout"] * 20 + ["(0, 0)"]] * 4
    assert not torch.utils._python_dispatch.is_in_torch_dispatch_mode(include_infra_modes=False)
    assert not net._forward_hooks
    assert not net._forward_pre_hooks
