"""The kind of a place of dropout: places of one kind are tuned together.

What decides, in this order: the class of the layer or the function, the layer that holds it, and its name. A plan's
line has its layer and the reason for which the plan put it there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from ...model.plan.line import PlanLine
from ...model.plan.starting import ATTENTION, EMBEDDING, RESIDUAL
from ...model.rates.rate_places import RatePlace

KINDS = ("input", "hidden", "convolution maps", "recurrent", "attention", "residual")
_MAPS = re.compile(r"(dropout[123]d|feature_?(alpha_?)?dropout|spatialdropout[123]d)$", re.IGNORECASE)
_BRANCH = re.compile(r"path|depth", re.IGNORECASE)
_ATTENTION_NAME = re.compile(r"att(e?n|ention).*drop", re.IGNORECASE)
_RESIDUAL_NAME = re.compile(r"resid|proj_drop|drop_?path|hidden_dropout", re.IGNORECASE)
_INPUT_NAME = re.compile(
    r"pos_drop|patch_drop|emb(e?d|edding)?s?_?drop|input_?drop|drop(out)?_?(input|in|emb)", re.IGNORECASE
)
_RECURRENT_NAME = re.compile(r"recurrent|rnn|lstm|gru", re.IGNORECASE)


def kind_of(place: RatePlace, modules: Mapping[str, torch.nn.Module]) -> str:
    """The kind of a place that a model has, one of `KINDS`.

    Arguments:
        place: the place.
        modules: the model's modules by qualified name.
    """
    owner, _, function = place.name.partition(":")
    above, _, leaf = owner.rpartition(".")
    parent = modules.get(above)
    holder = type(parent).__name__
    if _BRANCH.search(place.kind) or _BRANCH.search(function):
        return "residual"
    if "attention" in place.kind.lower() or "attention" in function:
        return "attention"
    if isinstance(place.module, torch.nn.RNNBase) or place.kind == "LockedDropout" or _RECURRENT_NAME.search(leaf):
        return "recurrent"
    if _MAPS.match(place.kind) or _MAPS.match(function):
        return "convolution maps"
    if isinstance(parent, torch.nn.TransformerEncoderLayer | torch.nn.TransformerDecoderLayer):
        return "hidden" if leaf == "dropout" else "residual"
    if _RESIDUAL_NAME.search(leaf) or holder.endswith("Output"):
        return "residual"
    if _ATTENTION_NAME.search(leaf) or holder.endswith("Attention"):
        return "attention"
    if _INPUT_NAME.search(leaf) or "embed" in above.lower() or "Embedding" in holder:
        return "input"
    beside = {type(module) for module in parent.children()} if parent is not None else set()
    if torch.nn.Embedding in beside and torch.nn.ModuleList in beside:  # as GPT-2 has it, before its blocks
        return "input"
    if isinstance(parent, torch.nn.Sequential) and not above and next(iter(parent._modules), "") == leaf:
        return "input"
    return "hidden"


def kind_of_line(line: PlanLine) -> str:
    """The kind of a plan's line, one of `KINDS`.

    >>> kind_of_line(PlanLine("output of conv", "Dropout2d", 0.1))
    'convolution maps'
    """
    anchor = line.anchor
    if line.variant == "StochasticDepth" or _said(line, RESIDUAL.reason):
        return "residual"
    if line.variant == "LockedDropout" or line.reason.startswith("Between the layers inside"):
        return "recurrent"
    if _MAPS.match(line.variant):
        return "convolution maps"
    if _said(line, ATTENTION.reason) or "attention" in anchor.call or anchor.call == "softmax":
        return "attention"
    if _said(line, EMBEDDING.reason) or _INPUT_NAME.search(anchor.module):
        return "input"
    return "hidden"


def _said(line: PlanLine, reason: str) -> bool:
    return line.reason.startswith(reason.rstrip("."))
