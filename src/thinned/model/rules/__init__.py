"""The rules, one a file: `thn101_functional_ignores_training.py` holds the `RULE` of that code and name.

A new rule is a new file in this folder. Importing this package imports no torch.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from ..check.rule import Rule


@cache
def rules() -> dict[str, Rule]:
    """Every rule by its code, in the order of the codes.

    Raises: ValueError where a file's name is not its rule's code and name, or two rules share a code or a name.

    >>> rules()["THN101"].name
    'functional-ignores-training'
    """
    found: dict[str, Rule] = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name.startswith("thn")):
        rule: Rule = importlib.import_module(f"{__name__}.{name}").RULE
        expected = f"{rule.code.lower()}_{rule.name.replace('-', '_')}"
        if name != expected:
            raise ValueError(f"`rules`: the file of {rule.code} must be called {expected}.py. Got {name}.py.")
        if rule.code in found or rule.name in {other.name for other in found.values()}:
            raise ValueError(f"`rules`: a code and a name must belong to one rule. Got {rule.code} {rule.name} twice.")
        found[rule.code] = rule
    return found
