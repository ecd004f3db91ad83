"""`report.html` beside `tune.txt`, where what draws it is installed; else a sentence that says what to install."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

from ..report.tuning_facts import TuningFacts
from .result import TuneResult

NEEDED = ("jinja2", "matplotlib")


def with_page(result: TuneResult, facts: TuningFacts) -> TuneResult:
    """Write the page. The answer with its path, or with a note that there is none."""
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        (facts.folder / "report.html").unlink(missing_ok=True)  # an earlier one would contradict this answer
        note = (
            f"There is no report.html: it needs {' and '.join(lacking)}. Run pip install 'thinned[study]'; the same "
            "call then writes it."
        )
        return replace(result, notes=(*result.notes, note))
    from ..report.tuning_page import write  # late: drawing needs matplotlib, which nothing above does

    return replace(result, page=write(facts))
