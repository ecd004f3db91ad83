"""The modes of a model's modules: as the caller left them, and to put all of them into one mode."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import torch

from ...nn.names import named_modules

Module = torch.nn.Module


def set_mode(model: Module, training: bool) -> None:
    """Do what `model.train(training)` does, also for models on which it fails.

    A model may have an attribute `train = True`, `eval` or `children` of its own, which is no method. An exported
    program refuses to change its mode, since its graph has one: it stays as it is.

    >>> net = torch.nn.Sequential(torch.nn.Dropout())
    >>> net.train = True
    >>> set_mode(net, False)
    >>> net[0].training
    False
    """
    method = getattr(model, "train", None)
    ours = type(model).train is not Module.train or "train" in vars(model)
    if ours and callable(method):
        with contextlib.suppress(NotImplementedError):  # an exported program
            method(training)
        return
    with contextlib.suppress(AttributeError):  # `training` is a property that can't be assigned
        model.training = training
    children = model._modules.values() if not isinstance(model, torch.jit.ScriptModule) else model.children()
    for child in children:
        if child is not None:
            set_mode(child, training)


class ModesFound:
    """The mode of each module as it was found.

    An adapter that is added to a model in evaluation is in training mode: then the model is in no one mode, and neither
    a pass in training nor one in evaluation shows what it does as it is.
    """

    def __init__(self, model: Module) -> None:
        self._modules = dict(named_modules(model))
        self._training = {name: bool(module.training) for name, module in self._modules.items()}
        self.same_in_training = False  # whether all modules had their modes as found after `train()`
        self.same_in_evaluation = False

    def are_there(self) -> bool:
        """Whether each module is in the mode in which it was found."""
        return all(bool(module.training) == self._training[name] for name, module in self._modules.items())

    def put_back(self) -> None:
        for name, module in self._modules.items():
            if bool(module.training) != self._training[name]:
                module.training = self._training[name]

    def mode(self, name: str, loose: Mapping[str, Module]) -> str:
        """The mode that a module was found in, "train" or "eval"; of a module in `loose`, its present one."""
        training = self._training.get(name)
        if training is None:
            module = loose.get(name)
            training = bool(module.training) if module is not None else None
        return "" if training is None else "train" if training else "eval"
