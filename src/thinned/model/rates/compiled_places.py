"""The places in modules whose forward is no Python source: graphs of torch.fx, exported programs, TorchScript."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..edit.graph_rate import GraphRate, graph_rates
from ..known.functions import FUNCTIONS, MASKS

_OPERATOR = re.compile(r'aten::(\w+?)_?\(|prim::Constant\[name="(\w+)"\]')


def graph_places(name: str, module: Any) -> Iterator[tuple[str, str, GraphRate | None]]:
    """The places of a graph: the name of each, its function, and its p, where it is a number in the graph."""
    counts: Counter[str] = Counter()
    for function, rate in graph_rates(module):
        counts[function] += 1
        number = f"#{counts[function]}" if counts[function] > 1 else ""
        yield f"{name}:{function}{number}", function, rate


def scripted_places(name: str, module: Any) -> Iterator[tuple[str, str, float | None]]:
    """The places of a module of TorchScript, whose p no one can set: the name of each, its kind, and its p if known."""
    try:
        text = str(module.graph)
    except RuntimeError:  # no forward
        return
    found = [first or second for first, second in _OPERATOR.findall(text)]
    drops = [function for function in found if function in FUNCTIONS or function in MASKS]
    kind = str(module.original_name)
    if "drop" in kind.lower() and drops:
        p = getattr(module, "p", None)
        yield name, kind, float(p) if isinstance(p, int | float) else None
        return
    counts: Counter[str] = Counter()
    for function in drops:
        counts[function] += 1
        number = f"#{counts[function]}" if counts[function] > 1 else ""
        yield f"{name}:{function}{number}", function, None
