"""The p of a call in a graph: of torch.fx, or of an exported program. It is an argument of a node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..known.functions import MASKS, Argument, canonical, noisy

GraphModule = torch.fx.GraphModule


class GraphRate:
    """The p of one node. To set it is to write the graph's code anew.

    In the graph of `F.dropout(x, 0.1)` it is `GraphRate(graph_module, node, Argument(1, ("p",), 0.5))`.
    """

    def __init__(self, module: Any, node: Any, argument: Argument) -> None:
        self.owner, self.node, self.argument = module, node, argument

    @property
    def key(self) -> tuple[int, str]:
        return id(self.owner), self.node.name

    @property
    def p(self) -> float | None:
        value = self.argument.read(self.node.args, self.node.kwargs)
        return float(value) if isinstance(value, int | float) else None

    @p.setter
    def p(self, value: float) -> None:
        self.state = value

    @property
    def state(self) -> Any:
        return self.argument.read(self.node.args, self.node.kwargs)

    @state.setter
    def state(self, value: Any) -> None:
        self.node.args, self.node.kwargs = self.argument.write(self.node.args, self.node.kwargs, value)
        self.owner.recompile()

    def __str__(self) -> str:
        return f"the node {self.node.name}"


def graph_rates(module: Any) -> Iterator[tuple[str, GraphRate | None]]:
    """The calls in a graph that drop: the function of each, and its p; None where p is no number in the graph."""
    for node in module.graph.nodes:
        if node.op == "call_function":
            name = canonical(node.target)
        elif node.op == "call_method":
            name = str(node.target).rstrip("_")
        else:
            continue
        entry = noisy(name, node.args)
        if entry is not None:
            p = entry.p.read(node.args, node.kwargs)
            fixed = entry.training is not None and entry.training.read(node.args, node.kwargs) is False
            if not fixed and isinstance(p, int | float):
                yield name, GraphRate(module, node, entry.p)
            elif not fixed and p is not None:
                yield name, None
        elif name in MASKS:
            yield name, None
