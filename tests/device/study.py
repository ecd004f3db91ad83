"""A study on a second device: masks, rows and first weights are the CPU's bit for bit, figures to rounding."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from thinned.fit.separate import Separate
from thinned.fit.stack import Member, Stack
from thinned.nn import Dropout
from thinned.noise import fold_in
from thinned.ops.stacked import drop_each
from thinned.study import StudyError, load, run_study
from thinned.study.networks.named import made
from thinned.study.networks.next_word import lesson_of
from thinned.study.networks.shape import InputShape

DEVICE = "twin"
QUICK: dict[str, Any] = {"ps": [0.5], "lrs": [0.01], "weight_decays": [0.5], "seeds": 4, "epochs": 4}


def table(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(520, 4))
    frame = pd.DataFrame(x, columns=list("abcd")).assign(y=np.where(x[:, 0] + x[:, 1] > 0, "up", "down"))
    frame.to_csv(folder / "data.csv", index=False)
    return folder / "data.csv"


def test_the_masks_of_a_stack_are_bit_for_bit_the_cpu_s() -> None:
    x, ps, keys = torch.rand(4, 8, 16) + 1, [0.0, 0.2, 0.5, 0.5], [1, 2, 3, 3]
    there = x.to(DEVICE)
    drop_each(there, ps, keys)
    drop_each(x, ps, keys)
    assert torch.equal(there.cpu(), x)


def test_a_stack_of_perceptrons_has_the_cpu_s_masks_and_weights() -> None:
    x, y = torch.randn(2, 40, 6), torch.randint(3, (2, 40))
    members = [Member(n % 2, fold_in(7, n % 2), p, 0.2 * p, 0.01, wd) for n, (p, wd) in enumerate(PS)]
    found = []
    for device in ("cpu", DEVICE):
        stack = Stack(members, x.to(device), y.to(device), 3, (16, 16), 8)
        seen: list[torch.Tensor] = []
        for step in range(12):
            stack.step(1.0)
            seen.append(stack.loss())
            if step == 7:
                stack.remember([0, 2])
                stack.keep([0, 2, 3])
        assert {leaf.device.type for leaf in stack.network.leaves} == {device}
        assert stack.answer(x).device.type == "cpu"
        found.append([*seen, stack.answer(x), *stack.best(1).values()])
    for here, there in zip(*found, strict=True):
        assert there.device.type == "cpu"
        torch.testing.assert_close(there, here, rtol=1e-4, atol=1e-5)


def kept_in(dropped: list[torch.Tensor], _: Any, given: Any, y: torch.Tensor) -> None:
    dropped.append((y == 0).cpu() & (given[0] != 0).cpu())


PS = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.2, 0.5))


@pytest.mark.parametrize("name", ["cnn", "lstm", "transformer"])
def test_networks_one_by_one_have_the_cpu_s_masks_and_weights(name: Any) -> None:
    shape = InputShape(image=(8, 8, 1)) if name == "cnn" else InputShape(words=12, length=6, following=True)
    x = torch.rand(1, 32, 64) if name == "cnn" else torch.randint(1, 12, (1, 32, 6)).float()
    y = torch.randint(5, (1, 32))
    found, masks = [], []
    for device in ("cpu", DEVICE):

        def build(generator: torch.Generator) -> torch.nn.Module:
            return made(name, shape, (16, 16), 11, 0.5, 0.2, generator)

        separate = Separate(
            [Member(0, 5, 0.5, 0.2, 0.003, 0.1)], x.to(device), y.to(device), [build], 8, lesson=lesson_of(shape)
        )
        dropped: list[torch.Tensor] = []
        for module in separate.networks[0].modules():
            if isinstance(module, Dropout):
                module.register_forward_hook(partial(kept_in, dropped))
        for _ in range(6):
            separate.step(1.0)
        masks.append(dropped)
        separate.remember([0])
        assert next(separate.networks[0].parameters()).device.type == device
        best = separate.best(0)
        assert {value.device.type for value in best.values()} == {"cpu"}
        found.append([separate.loss(), separate.answer(x), *(best[key] for key in best if key.endswith("weight"))])
    assert masks[0]
    assert all(torch.equal(here, there) for here, there in zip(*masks, strict=True))
    for here, there in zip(*found, strict=True):
        assert there.device.type == "cpu"
        torch.testing.assert_close(there, here, rtol=2e-3, atol=2e-4)


class Used(TorchDispatchMode):
    """Whether anything was computed on the device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.device.type == DEVICE and "mm" in str(func):
            self.products += 1
        return result


def test_a_whole_study_is_the_cpu_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thinned.study.report.write", lambda folder: folder / "report.html")
    data, found = table(tmp_path), {}
    for device in ("cpu", DEVICE):
        used = Used()
        with used:
            found[device] = run_study(
                data, target="y", out=tmp_path / device, device=device, hidden=[16], chapters="where", **QUICK
            )
        assert (used.products > 0) == (device == DEVICE)
    here, there = found["cpu"], found[DEVICE]
    assert (here.device, there.device) == ("cpu", DEVICE)
    assert not here.failures
    assert not there.failures
    assert there.lrs == here.lrs
    assert len(there.chapters) == len(here.chapters) == 1
    for mine, theirs in zip(here.levels, there.levels, strict=True):
        assert theirs.metric.value == pytest.approx(mine.metric.value, abs=0.02)
        assert theirs.nll == pytest.approx(mine.nll, rel=1e-3)
        assert theirs.steps == mine.steps
    # What is left answers on either device, whatever trained it.
    rows = pd.read_csv(data).drop(columns="y")
    answers = [
        load(tmp_path / trained, device=place).predict_proba(rows)
        for trained in ("cpu", DEVICE)
        for place in ("cpu", DEVICE)
    ]
    for answer in answers[1:]:
        assert answer == pytest.approx(answers[0], abs=2e-3)
    # A folder belongs to one device.
    with pytest.raises(StudyError, match="--device was None, now twin"):
        run_study(data, target="y", out=tmp_path / "cpu", device=DEVICE, hidden=[16], chapters="none", **QUICK)
    with pytest.raises(StudyError, match="--device was twin, now None"):
        run_study(data, target="y", out=tmp_path / DEVICE, hidden=[16], chapters="none", **QUICK)
