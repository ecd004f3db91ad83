"""Every live rule over the whole zoo, into docs/design/zoo.md: python -m tests.zoo.report. Takes some minutes.

Exits with 1, and says why, where a finding is of no kind that `findings.KINDS` accounts for.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import torch
from tests.zoo import imports
from tests.zoo.architectures import ARCHITECTURES, QUICK
from tests.zoo.findings import KINDS, Kind, found_in, unexplained

from thinned.model.check.finding import Finding
from thinned.model.check.registry import rules

PAGE = Path(__file__).parents[2] / "docs" / "design" / "zoo.md"
START = """\
# The checker on {count} architectures that people use

False alarms are bugs. So every rule that looks at models runs over {count} well-known architectures: {torch} of plain
torch, {torchvision} of torchvision, {timm} of timm and {transformers} of Hugging Face's transformers, built offline,
without weights, with their libraries' dropout switched on where the library's default is off. Each kind of finding has
been looked at in the model's source, and stands below with why it is right; a rule that was wrong has been mended. This
page is written by `python -m tests.zoo.report`; `tests/zoo` checks {quick} of the architectures in every run, and a
finding of a new kind fails it.

`thinned.inspect` runs on all of them, too, and agrees with an independent count: of random operators that torch ran, of
runs of dropout modules, and of calls of fused attention.

{found} findings in {having} architectures; {clean} have none.

| rule | findings | architectures | why they are right |
|---|---|---|---|
"""


def page(found: Mapping[str, Sequence[Finding]]) -> str:
    """The page, from each architecture's findings."""
    libraries = Counter(architecture.library for architecture in ARCHITECTURES.values())
    having = sum(bool(findings) for findings in found.values())
    lines = [
        START.format(
            count=len(found),
            quick=len(QUICK),
            found=sum(map(len, found.values())),
            having=having,
            clean=len(found) - having,
            **libraries,
        )
    ]
    lines += [row(kind, found) + "\n" for kind in sorted(KINDS, key=lambda kind: kind.code)]
    codes = {kind.code for kind in KINDS}
    silent = [rule for rule in rules().values() if rule.live is not None and rule.code not in codes]
    lines.append("\nNothing is found by: " + ", ".join(f"{rule.code} {rule.name}" for rule in silent) + ".\n")
    return "".join(lines)


def row(kind: Kind, found: Mapping[str, Sequence[Finding]]) -> str:
    """One kind's line of the table."""
    counts = {name: sum(kind.matches(name, finding) for finding in findings) for name, findings in found.items()}
    names = [name for name, count in counts.items() if count]
    places = ", ".join(
        f"{library}: {', '.join(name.partition('/')[2] for name in own)}"
        for library, own in groupby(names, key=lambda name: name.partition("/")[0])
    )
    rule = rules()[kind.code]
    link = f"[{rule.code}](../reference/rules.md#{rule.code.lower()}-{rule.name}) {rule.name}"
    return f"| {link} | {sum(counts.values())} | {places} | {kind.why} |"


def main() -> int:
    imports.prepare()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found = {}
    failures = []
    for name in ARCHITECTURES:
        found[name] = found_in(name)
        failures += [f"{name}: {line}" for line in unexplained(name, found[name])]
    PAGE.write_text(page(found))
    sys.stderr.write("".join(f"{line}\n" for line in failures))
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
