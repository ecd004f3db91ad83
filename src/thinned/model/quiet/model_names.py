"""The names of a model's modules, for whoever meets a running module: also of modules that came into it later."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

import torch

from ...nn.names import named_modules
from ..watch.python_noise import belongs_to_process
from ..watch.unregistered import generators_of, unregistered

Module = torch.nn.Module


class ModelNames:
    """The names of the modules of one model, made anew when a module runs that was not there before.

    For `Sequential(Linear, Dropout)`, `place([dropout, model])` is `(dropout, "1")`. For a dropout that the forward of
    `block` builds and calls, it is `(block, "block<Dropout>")`.
    """

    def __init__(self, model: Module) -> None:
        self.model = model
        self.registered: dict[int, str] = {}
        self._read()

    def _read(self) -> None:
        registered = {id(module): name for name, module in named_modules(self.model)}
        if registered != self.registered:  # else a module runs that is in no registered place
            self.registered = registered
            found = generators_of(self.model)
            self.generators = [generator for generator in found if not belongs_to_process(generator)]
            self.has_the_process_s = len(self.generators) < len(found)  # and may draw by a method of it
        self._loose: dict[int, str] | None = None

    def place(self, modules: Sequence[Module]) -> tuple[Module, str] | None:
        """The innermost module of the model among running ones, and the name of the place where they are.

        Arguments:
            modules: the running modules, innermost first.
        """
        if modules and id(modules[0]) not in self.registered:
            self._read()  # `convert` or `apply` has put it there since
        owner = next((module for module in modules if id(module) in self.registered), None)
        if owner is None:
            return None
        name, inner = self.registered[id(owner)], modules[0]
        if inner is owner:
            return owner, name
        if self._loose is None:
            self._loose = {id(module): path for path, module in unregistered(self.model).items()}
        return owner, self._loose.get(id(inner), f"{name}<{type(inner).__name__}>")


def in_a_run(pattern: str, modules: Collection[str]) -> bool:
    """Whether a pattern can match a name `module:function` or `module<Class>` of one of these modules.

    Neither a function nor a class has a dot in its name, so the text before the last dot must match in the module.
    """
    heads = [pattern[: found.start()] for found in re.finditer("[:<]", pattern)][:1]
    heads += [pattern[: found.end()] for found in re.finditer(r"\*", pattern) if "." not in pattern[found.end() :]]
    return any(fnmatchcase(module, head) for head in heads for module in modules)
