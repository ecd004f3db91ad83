"""All tools at once in many threads, against the answers of one thread alone: `python -m tests.stress --seconds 900`.

Each thread takes one job after another by chance. Some jobs have a model of their own, others share one. What a job
gives must be what it gave alone. Meanwhile each thread draws from torch's generator and from `random`: no number may
come twice, and none be left out.
"""

from __future__ import annotations

import argparse
import copy
import random
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from tests.run import Run
from torch import Tensor, nn

import thinned

X = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))


def by_hand(m: Any, x: Tensor) -> Tensor:
    x = F.dropout(m.norm(m.first(x)), 0.3, m.training)
    if m.training:
        x = x * torch.bernoulli(torch.full_like(x, 0.8)) / 0.8
    return m.last(m.drop(x))  # type: ignore[no-any-return]


def functional(m: Any, x: Tensor) -> Tensor:
    for _ in range(3):
        x = thinned.nn.functional.dropout(m.first(x), 0.3, m.training)
    return x


def children() -> dict[str, nn.Module]:
    return {"first": nn.Linear(8, 8), "norm": nn.BatchNorm1d(8), "drop": nn.Dropout(0.4), "last": nn.Linear(8, 1)}


class Shared:
    """The models of all threads."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.hand: Any = Run(by_hand, **children())
        self.plain: Any = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.1), nn.BatchNorm1d(8), nn.Linear(8, 1))
        self.ours: Any = nn.Sequential(nn.Linear(8, 8), thinned.nn.Dropout(0.5), nn.Linear(8, 1))
        self.streamed: Any = Run(functional, first=nn.Linear(8, 8))
        self.off: Any = nn.Sequential(
            nn.Linear(8, 8), nn.Dropout(0.5), thinned.nn.Dropout(0.3), thinned.nn.Dropout(0.2, scaling="classic")
        )
        self.guarded: Any = Run(lambda m, x: F.dropout(x, 0.5)).eval()
        self.ask = thinned.Predictor(self.hand, 4)
        (self.network,) = thinned.thinned_networks(self.streamed, 1, X)


def _stream(models: Shared, seed: int) -> list[Any]:
    net = copy.deepcopy(models.streamed)
    with thinned.stream(net, seed) as stream:
        found = [net(X)]
        stream.step()
        with stream.part(1, 2):
            found.append(net(X))
    return [one.tolist() for one in found]


def _off(models: Shared) -> Any:
    with thinned.disabled(models.off):
        first = models.off(X)
        time.sleep(1e-4)
        return first.tolist(), models.off(X).tolist()


def _guard(models: Shared) -> Any:
    with thinned.eval_guard(models.guarded):
        try:
            models.guarded(X)
        except thinned.NoiseInEval as error:
            return error.place
    return None


def _allowed(models: Shared) -> Any:
    """A guard on another model does not see this thread's noise, nor does that of another thread."""
    net = copy.deepcopy(models.plain).eval()
    with thinned.eval_guard(net):
        models.ours(X)
        return net(X).tolist()


def _freeze(models: Shared) -> Any:
    frozen = thinned.freeze(copy.deepcopy(models.plain))
    return [frozen.module.train()(X).tolist() for _ in range(2)], frozen.thaw().training


def _rates(models: Shared) -> Any:
    net = copy.deepcopy(models.hand)
    thinned.set_rates(net, {"drop": 0.25, ":dropout": 0.0})
    return thinned.rates(net), thinned.scale_rates(net, 0.5, "drop")


def _converted(models: Shared) -> Any:
    net = copy.deepcopy(models.plain)
    thinned.convert(net)
    return repr(net)


def _applied(models: Shared) -> Any:
    net = copy.deepcopy(models.plain)
    plan = thinned.plan(net, X)
    applied = thinned.apply(net, plan)
    applied.remove()
    return str(plan)


def _recalibrated(models: Shared) -> Any:
    net = copy.deepcopy(models.plain)
    thinned.recalibrate_batchnorm(net, [X])
    return net[3].running_var.tolist()


JOBS: dict[str, Callable[[Shared], Any]] = {
    "predict": lambda models: thinned.predict(models.hand, X, 4).mean.tolist(),
    "predict, another seed": lambda models: thinned.predict(models.ours, X, 3, seed=7).mean.tolist(),
    "Predictor": lambda models: models.ask(X).mean.tolist(),
    "weight_scaling": lambda models: thinned.weight_scaling(models.hand, X).tolist(),
    "a network": lambda models: models.network(X).tolist(),
    "thinned_networks": lambda models: thinned.thinned_networks(models.ours, 1, X)[0](X).tolist(),
    "calibrate": lambda models: repr(thinned.calibrate(models.plain, (X, X[:, :1]), task="regression", n=2)),
    "inspect": lambda models: [(place.name, place.kind, place.p) for place in thinned.inspect(models.hand, X).places],
    "check": lambda models: sorted(str(finding.code) for finding in thinned.check(copy.deepcopy(models.hand), X)),
    "plan": _applied,
    "variance_shift": lambda models: thinned.variance_shift(copy.deepcopy(models.plain), [X])["3"].ratio,
    "set_rates": _rates,
    "disabled": _off,
    "eval_guard": _guard,
    "eval_guard, quiet": _allowed,
    "freeze": _freeze,
    "convert": _converted,
    "recalibrate_batchnorm": _recalibrated,
    "stream 1": lambda models: _stream(models, 1),
    "stream 2": lambda models: _stream(models, 2),
}


class Stress:
    """One run: what was done, and what was found wrong."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.models = Shared()
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.drawn: list[tuple[float, ...]] = []
        self.python: list[float] = []
        self.expected = {name: job(self.models) for name, job in JOBS.items()}

    def run(self, seconds: float, threads: int) -> None:
        torch.manual_seed(self.seed)
        random.seed(self.seed)
        end = time.monotonic() + seconds
        works = [threading.Thread(target=self._work, args=(number, end)) for number in range(threads)]
        for work in works:
            work.start()
        for work in works:
            work.join()
        self._look()

    def _work(self, number: int, end: float) -> None:
        torch.set_num_threads(1)
        chance = random.Random(f"{self.seed} {number}")
        while time.monotonic() < end:
            name = chance.choice([*JOBS])
            self.drawn.append(tuple(torch.rand(4).tolist()))
            self.python.append(random.random())
            try:
                found = JOBS[name](self.models)
            except Exception:
                self.wrong.append(f"{name}: {traceback.format_exc()}")
                continue
            self.done[name] += 1
            if found != self.expected[name]:
                self.wrong.append(f"{name}: {found!r} and not {self.expected[name]!r}")

    def _look(self) -> None:
        """What all have drawn, and what is left in the process and on the models."""
        random.seed(self.seed)
        if sorted(self.python) != sorted(random.random() for _ in self.python):
            self.wrong.append("the numbers of `random` are not those of its seed")
        if len(set(self.drawn)) != len(self.drawn):
            self.wrong.append("numbers of torch's generator came twice")
        left = torch.overrides._get_current_function_mode_stack()
        if left or torch.utils._python_dispatch._get_current_dispatch_mode_stack():
            self.wrong.append("a mode is left")
        if torch.utils._python_dispatch.is_in_torch_dispatch_mode(include_infra_modes=False):
            self.wrong.append("torch believes in a mode")
        if [layer.p for layer in self.models.off[1:]] != [0.5, 0.3, 0.2]:
            self.wrong.append("disabled has not put p back")
        if not all(module.training for module in self.models.off.modules()):
            self.wrong.append("disabled has not put modes back")
        for net in (self.models.hand, self.models.plain, self.models.ours, self.models.off, self.models.guarded):
            if any(module._forward_hooks or module._forward_pre_hooks for module in net.modules()):
                self.wrong.append("a hook is left")
        for name, job in JOBS.items():
            if job(self.models) != self.expected[name]:
                self.wrong.append(f"{name}: another answer afterwards")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    stress = Stress(options.seed)
    stress.run(options.seconds, options.threads)
    sys.stdout.write(f"{stress.done.total():,} calls in {options.threads} threads, {len(stress.wrong)} findings\n")
    for name, count in sorted(stress.done.items()):
        sys.stdout.write(f"  {name}: {count:,}\n")
    for text, count in Counter(stress.wrong).most_common(10):
        shown = text if len(text) < 6000 else f"{text[:3000]} ... {text[-3000:]}"
        sys.stdout.write(f"{count} times {shown}\n")
    sys.exit(bool(stress.wrong))


if __name__ == "__main__":
    main()
