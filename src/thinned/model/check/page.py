"""Writes the rules as Markdown: `python -m thinned.model.check.page` prints docs/reference/rules.md."""

from __future__ import annotations

import sys

from .registry import rules
from .rule import Rule

FAMILIES = {
    "1": "Mode",
    "2": "Place",
    "3": "Variant",
    "4": "p",
    "5": "Interplay",
    "6": "Keys and reproducibility",
}
_START = """\
# The rules of `thinned check`

One section a rule, from the same texts that `thinned rule CODE` prints. How to run the checker:
[check](../guides/check.md).
"""


def section(rule: Rule, level: int) -> str:
    """The section of one rule, under a heading of this level."""
    mark = "#" * level
    parts = [
        f"{mark} {rule.code} {rule.name}",
        f"{rule.summary} Looks at {' and '.join(rule.looks_at)}.{' Advice: never a failure.' if rule.advice else ''}",
        f"**What it does.** {rule.what.strip()}",
        f"**Why this is bad.** {rule.why.strip()}",
        f"**Example**\n\n```python\n{rule.bad.strip()}\n```",
        f"**Use instead.** {rule.instead.strip()}\n\n```python\n{rule.good.strip()}\n```",
        f"**Reference.** {rule.reference.strip()}",
    ]
    return "\n\n".join(parts)


def page() -> str:
    """The whole text of docs/reference/rules.md."""
    known = rules().values()
    lines = [_START, "| code | name | looks at | finds |", "|---|---|---|---|"]
    for rule in known:
        name = f"[{rule.name}](#{rule.code.lower()}-{rule.name})"
        lines.append(f"| {rule.code} | {name} | {' and '.join(rule.looks_at)} | {rule.summary} |")
    for number, family in FAMILIES.items():
        of_family = [rule for rule in known if rule.code[3] == number]
        if of_family:
            lines.append(f"\n## {number}xx {family}")
            lines += [f"\n{section(rule, level=3)}" for rule in of_family]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
