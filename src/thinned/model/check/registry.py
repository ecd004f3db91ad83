"""The table of all rules: code, name, and what each rule searches. The file of a rule is imported when it is used.

A new rule is a row here and a file in `rules/`: `rules/thn101_functional_ignores_training.py` has the `RULE` of the
first row. A rule that searches source code imports no torch, so that `thinned check src/` starts fast.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import NamedTuple

from .rule import Rule

SOURCE = ("source",)
MODELS = ("models",)
BOTH = ("source", "models")


class Entry(NamedTuple):
    """A row of the table: the data of a rule that are needed before its file is imported."""

    code: str
    name: str
    looks_at: tuple[str, ...]  # what the rule searches: "source", "models" or both
    advice: bool = False  # the findings are information: they are shown, and the check does not fail


ENTRIES = (
    Entry("THN101", "functional-ignores-training", BOTH),
    Entry("THN102", "attention-constant-dropout", BOTH),
    Entry("THN103", "dropout-built-in-forward", BOTH),
    Entry("THN104", "inference-without-eval", SOURCE),
    Entry("THN105", "fused-transformer-path", MODELS),
    Entry("THN106", "export-in-train-mode", SOURCE),
    Entry("THN107", "configured-never-runs", MODELS),
    Entry("THN108", "noise-in-eval", MODELS),
    Entry("THN109", "modes-as-found", MODELS),
    Entry("THN110", "eval-never-undone", SOURCE),
    Entry("THN111", "keras-mode-not-seen", MODELS),
    Entry("THN112", "keras-flax-always-on", SOURCE),
    Entry("THN113", "keras-flax-loop-without-training", SOURCE),
    Entry("THN114", "keras-flax-never-on", SOURCE),
    Entry("THN115", "nnx-inference-without-eval", SOURCE),
    Entry("THN116", "keras-call-without-training", SOURCE),
    Entry("THN201", "dropout-on-output", MODELS),
    Entry("THN202", "dropout-on-input", MODELS, advice=True),
    Entry("THN203", "two-dropouts-in-a-row", MODELS),
    Entry("THN204", "dropout-after-residual-add", MODELS),
    Entry("THN205", "dropout-in-frozen-block", MODELS),
    Entry("THN206", "inplace-needed-for-backward", MODELS),
    Entry("THN207", "keras-flax-dropout-on-output", SOURCE),
    Entry("THN208", "keras-flax-two-dropouts-in-a-row", SOURCE),
    Entry("THN301", "elementwise-on-convolution", MODELS),
    Entry("THN302", "fresh-masks-each-rnn-step", MODELS),
    Entry("THN303", "zeroing-around-selu", MODELS),
    Entry("THN304", "rnn-dropout-one-layer", BOTH),
    Entry("THN305", "dropout2d-on-3d-input", MODELS),
    Entry("THN306", "dropout1d-on-2d-input", MODELS),
    Entry("THN307", "channel-dropout-on-other-axes", MODELS),
    Entry("THN308", "flax-broadcast-dropout", SOURCE),
    Entry("THN401", "p-at-the-edge", BOTH),
    Entry("THN402", "p-above-four-fifths", BOTH),
    Entry("THN403", "same-stochastic-depth-everywhere", MODELS, advice=True),
    Entry("THN404", "p-looks-like-keep-probability", SOURCE),
    Entry("THN405", "wrong-scaling", MODELS),
    Entry("THN406", "keras-recurrent-dropout-of-one", SOURCE),
    Entry("THN501", "dropout-before-batch-norm", MODELS),
    Entry("THN502", "one-module-two-places", MODELS, advice=True),
    Entry("THN503", "layerdrop-under-fsdp", MODELS),
    Entry("THN504", "keras-flax-dropout-before-batch-norm", SOURCE),
    Entry("THN601", "constant-key", SOURCE),
    Entry("THN602", "seed-in-forward", SOURCE),
    Entry("THN603", "jax-key-used-twice", SOURCE),
)
BY_CODE = {entry.code: entry for entry in ENTRIES}


@cache
def rule(code: str) -> Rule:
    """One rule. Its file is imported at the first call.

    Raises:
        KeyError: the table has no such code.

    >>> rule("THN101").name
    'functional-ignores-training'
    """
    entry = BY_CODE[code]
    file = f"{code.lower()}_{entry.name.replace('-', '_')}"
    found: Rule = importlib.import_module(f"{__package__}.rules.{file}").RULE
    return found


def rules() -> dict[str, Rule]:
    """All rules by code, in the order of the codes. This imports torch, which the rules for models need."""
    return {entry.code: rule(entry.code) for entry in ENTRIES}
