"""`thinned.inspect` on architectures that people use: nothing changed, nothing missed, nothing made up.

The rules look at the same inspection: what they find is known and right, and they find nothing else.
"""

from __future__ import annotations

import copy
import math
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from tests.zoo.architectures import ARCHITECTURES, QUICK
from tests.zoo.count import counted, seeded
from tests.zoo.findings import unexplained

import thinned
from thinned.model.check.examine import findings
from thinned.model.check.finding import Finding
from thinned.model.check.lens.examination import Examination
from thinned.model.check.registry import rules
from thinned.model.inspect.inspection import Inspection
from thinned.model.watch.trace import Call

SEED = 0
CHANCE = 1e-9  # that a right rate fails, for one place


def faults(name: str) -> tuple[list[str], list[Finding]]:
    """Everything that an inspection of one architecture gets wrong, and what the rules find in the same inspection."""
    model, args, kwargs = ARCHITECTURES[name].made()
    modes = [module.training for module in model.modules()]
    for number, module in enumerate(model.modules()):
        module.training = number % 3 == 0  # modes of every kind, so that a wrongly restored one shows
    twin = copy.deepcopy(model)
    seeded(SEED)
    before = state(model)
    inspection = thinned.inspect(model, *args, **kwargs)
    after = state(model)
    found = [f"{part} changed" for part, value in before.items() if not same(value, after[part])]
    if make(twin) != make(model):
        found.append("hooks or attributes are not those of a model that has not run")
    for training, trace in ((True, inspection.train), (False, inspection.eval)):
        count = counted(copy.deepcopy(twin), args, kwargs, training, SEED)
        mode = "training" if training else "evaluation"
        draws = [draw.operator.removeprefix("aten::") for call in trace.calls for draw in call.draws]
        seen = Counter(draw for draw in draws if not draw.endswith("attention"))
        if training or not drawn_by_chance(inspection):
            found += [f"{mode}: {seen} drawn, {count.operators} counted"] if seen != count.operators else []
        if training:
            found += wrong_modules(inspection, count.modules)
            fused = [call for call in trace.calls if call.draws and is_fused(call)]
            if len(fused) != count.attention:
                found.append(f"{len(fused)} calls of fused attention draw, {count.attention} counted")
    for module, trains in zip(model.modules(), modes, strict=True):
        module.training = trains
    seeded(0)
    examination = Examination(model, inspection, args, kwargs)
    others = [rule for rule in rules().values() if rule.code != "THN109"]  # it finds the modes that were put above
    return found + wrong_rates(inspection), list(findings(examination, others))


def is_fused(call: Call) -> bool:
    """Fused attention, which torch's own multi-head attention calls, too, unless it must return its weights."""
    if call.function == "multi_head_attention_forward":
        return not call.arguments.get("need_weights", True)
    return call.function == "scaled_dot_product_attention"


def drawn_by_chance(inspection: Inspection) -> bool:
    """Whether how much is drawn hangs on what was drawn before: the passes then need one seed."""
    return any(place.kind == "LayerDrop" for place in inspection.places)


def wrong_modules(inspection: Inspection, runs: Counter[str]) -> list[str]:
    """Dropout modules whose runs differ from those that hooks saw."""
    places = {place.name: place for place in inspection.places}
    found = []
    for name, times in runs.items():
        place = places.get(name)
        if place is None or place.train_calls != times:
            found.append(f"{name} ran {times} times, and its place says {place.train_calls if place else 'nothing'}")
    if not drawn_by_chance(inspection):
        for place in inspection.places:
            stock = place.name == place.module and place.kind.endswith(("Dropout", "Path"))
            if stock and place.p and place.train_calls != runs[place.name]:
                found.append(f"{place.name} ran {runs[place.name]} times, and its place says {place.train_calls}")
    return found


def wrong_rates(inspection: Inspection) -> list[str]:
    """Places whose measured rate is not the configured one, by Hoeffding's bound for one pass's independent draws.

    timm's DropBlock is left out: on maps smaller than its blocks it drops up to three times its p.
    """
    found = []
    for place in inspection.places:
        if place.p is None or place.measured is None or "DropBlock" in place.kind:
            continue
        draws = math.prod(size for axis, size in enumerate(place.shape) if axis not in place.shared) * place.train_calls
        bound = math.sqrt(math.log(2 / CHANCE) / (2 * max(draws, 1)))
        if abs(place.p - place.measured) > bound:
            found.append(f"{place.name}: p is {place.p}, measured is {place.measured} in {draws} draws")
    return found


def state(model: torch.nn.Module) -> dict[str, Any]:
    return {
        "parameters and buffers": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "modes": [module.training for module in model.modules()],
        "gradients": [name for name, parameter in model.named_parameters() if parameter.grad is not None],
        "torch's generator": torch.get_rng_state(),
        "NumPy's generator": [str(part) for part in np.random.get_state()],  # noqa: NPY002
        "Python's generator": random.getstate(),
    }


def make(model: torch.nn.Module) -> list[Any]:
    """What every module is made of. Some models give themselves hooks and attributes when they first run."""
    return [
        (sorted(vars(module)), [len(value) for name, value in sorted(vars(module).items()) if name.endswith("_hooks")])
        for module in model.modules()
    ]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, torch.Tensor):
        return torch.equal(one.isnan(), other.isnan()) and torch.equal(one.nan_to_num(), other.nan_to_num())
    return bool(one == other)


@pytest.mark.parametrize("name", QUICK)
def test_inspection_is_right_and_every_finding_of_a_known_kind(name: str) -> None:
    wrong, found = faults(name)
    assert wrong == []
    assert unexplained(name, found) == []
