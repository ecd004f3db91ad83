"""THN503: layers that are skipped at random in a distributed model, whose ranks must all run the same layers."""

from __future__ import annotations

from collections.abc import Iterator

from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel
from torch.nn import Module
from torch.nn.parallel import DistributedDataParallel

from ....nn.names import named_modules  # each wrapper too, with the name of the wrapped module
from ...watch.modes import set_mode
from ...watch.running import Running
from ...watch.untouched import untouched
from ..finding import Finding
from ..lens.examination import Examination
from ..rule import Rule

PASSES = 16  # a layer skipped with probability 0.1 is missed with probability 1 / 5; with 0.2, 1 / 35


def live(examination: Examination) -> Iterator[Finding]:
    waiting = [(name, how) for name, module in named_modules(examination.model) if (how := _waits(module)) is not None]
    if not waiting:
        return
    sometimes = _sometimes(examination)
    for name in sometimes:
        around = [how for owner, how in waiting if not owner or f"{name}.".startswith(f"{owner}.")]
        if around:
            yield RULE.at(
                name,
                f"runs in some passes and not in others, inside {around[-1]}: ranks that draw differently wait "
                "for one another for ever, or fail. Run it always and drop its branch by StochasticDepth",
            )


def _waits(module: Module) -> str | None:
    """The name of the wrapper, if a module's ranks wait for each other in every layer; else None."""
    import torch.distributed as dist

    if not dist.is_available():
        return None

    if isinstance(module, FullyShardedDataParallel | FSDPModule):
        return "FSDP"
    if isinstance(module, DistributedDataParallel) and not module.find_unused_parameters:
        return "DistributedDataParallel without find_unused_parameters"
    return None


def _sometimes(examination: Examination) -> list[str]:
    """The outermost modules with parameters that ran in some passes in training mode, and not in all."""
    import torch

    model = examination.model
    passes: list[set[str]] = []
    with untouched("check", model), torch.no_grad():
        set_mode(model, True)
        for _ in range(PASSES):
            running = Running(model)
            with running.followed():
                model(*examination.example, **examination.keywords)
            passes.append(set(running.ran))
    found: list[str] = []
    for name in sorted(passes[0].union(*passes) - passes[0].intersection(*passes)):
        module = examination.modules.get(name)
        inner = any(name.startswith(f"{outer}.") for outer in found)
        if module is not None and not inner and any(True for _ in Module.parameters(module)):
            found.append(name)
    return found


RULE = Rule(
    code="THN503",
    name="layerdrop-under-fsdp",
    summary="Layers are left out at random inside FSDP, or DDP without find_unused_parameters.",
    what=f"""\
Where the model has a part under FSDP (either version) or under DistributedDataParallel without
`find_unused_parameters`, runs it {PASSES} times in training mode and flags layers with parameters that ran in some
passes and not in others: LayerDrop, and stochastic depth that skips the computation. The model has to be checked as
it is trained, wrapped, on every rank.""",
    why="""\
Ranks draw for themselves. Under FSDP a layer's parameters are gathered from all ranks when it runs: a rank that
leaves it out doesn't take part, and the others hang until the timeout. DistributedDataParallel waits for the gradient
of every parameter: a layer that did not run has none, and the next forward pass fails.""",
    bad="""\
import torch
import torch.distributed as dist
from torch import nn

if not dist.is_initialized():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(6))

    def forward(self, x):
        for layer in self.layers:
            if self.training and torch.rand(()) < 0.3:
                continue  # LayerDrop
            x = x + layer(x).relu()
        return x


model = nn.parallel.DistributedDataParallel(Encoder())
example = (torch.randn(2, 16),)
""",
    good="""\
import torch
import torch.distributed as dist
from torch import nn
from thinned.nn import StochasticDepth

if not dist.is_initialized():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(6))
        self.paths = nn.ModuleList(StochasticDepth(0.05 * depth) for depth in range(6))

    def forward(self, x):
        for layer, path in zip(self.layers, self.paths):
            x = x + path(layer(x).relu())
        return x


model = nn.parallel.DistributedDataParallel(Encoder())
example = (torch.randn(2, 16),)
""",
    instead="""\
Run every layer and drop its branch (`StochasticDepth`); or draw which layers are left out from a seed that all ranks
share; for DistributedDataParallel, `find_unused_parameters=True`.""",
    reference="transformers issue 30113, accelerate issue 1191; Fan, Grave and Joulin 2020 for LayerDrop.",
    live=live,
)
