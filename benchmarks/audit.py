"""What `thinned study` answers on real tables, a row each.

    python -m benchmarks.tables FOLDER ...           # the tables
    python -m benchmarks.audit FOLDER --out audit.md # and the digits; a set that was interrupted goes on
    python -m benchmarks.audit FOLDER --seed 1 --studies FOLDER/seed-1 --compare FOLDER/studies
    python -m benchmarks.audit FOLDER --epochs 10000 --studies FOLDER/long --compare FOLDER/studies

With `--compare`, it says where a clear difference to p = 0 (its 95 % interval excludes 0) has the other sign in the
other set of studies, and whether it is clear there too.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from thinned.study import StudyError, run_study
from thinned.study.answer.speech import Speech, name
from thinned.study.record import BaselineResult, LevelResult, Study

DIGITS = "digits"
HEADINGS = (
    *("data", "advice", "best p above 0", "its difference to p = 0 (95 %)", "p = 0", "that p", "decay", "both"),
    *("trees", "linear", "NLL of the network", "time"),
)


class Table(NamedTuple):
    """A file of `benchmarks.tables`; the digits have none."""

    name: str
    file: Path | None = None
    task: str | None = None
    target: str | None = None


def tables(folder: Path) -> list[Table]:
    listed = pd.read_csv(folder / "tables.csv")
    rows = zip(listed["name"], listed["task"], listed["target"], strict=True)
    return [Table(DIGITS), *(Table(table, folder / f"{table}.csv", task, target) for table, task, target in rows)]


def row(table: str, study: Study) -> str:
    """The study as a row of a Markdown table. Errors are in the metric that decides."""
    speech = Speech.of(study)
    plain, best = _dropout(study, 0.0), _dropout(study, study.best_p)
    found = best.against_plain
    cells = [
        table,
        study.headline,
        f"{best.p:g}",
        "" if found is None else "{} ({} to {})".format(*speech.told_apart(found.value, found.low, found.high)),
        *(speech.value(level.metric.value) for level in (plain, best)),
        *(_figure(speech, [level for level in study.levels if level.arm == arm]) for arm in ("decay", "both")),
        *(_figure(speech, [other for other in study.baselines if other.name == kind]) for kind in ("tree", "linear")),
        _nll(study),
        f"{study.seconds / 60:.1f} min" + ("" if study.complete else ", incomplete"),
    ]
    return "| " + " | ".join(cells) + " |"


def _dropout(study: Study, p: float) -> LevelResult:
    return next(level for level in study.levels if level.arm == "dropout" and level.p == p)


def _figure(speech: Speech, found: Sequence[LevelResult | BaselineResult]) -> str:
    return speech.value(found[0].metric.value) if found else "-"


def _nll(study: Study) -> str:
    """Of the ensemble; with outer folds, which leave no row that is new to all, the mean of its members'."""
    net = study.network
    if net is None:
        return "-"
    if net.nll is not None:
        return f"{net.nll:.3f}"
    level = next(x for x in study.levels if x.arm == net.arm and (net.arm != "dropout" or x.p == net.p))
    return f"{level.nll_tempered:.3f} (a member)"


def flips(table: str, ours: Study, theirs: Study) -> Iterator[str]:
    """Levels whose difference to p = 0 is clear in one set, and of the other sign in the other."""
    others = {_key(level): level.against_plain for level in theirs.levels}
    for level in ours.levels:
        here, there = level.against_plain, others.get(_key(level))
        if here is None or there is None or here.value * there.value >= 0:
            continue
        clear = [found.high < 0 or found.low > 0 for found in (here, there)]
        if any(clear):
            where = "both" if all(clear) else "this set alone" if clear[0] else "the other set alone"
            said = [Speech.of(ours).span(found.value, found.low, found.high) for found in (here, there)]
            yield f"{table}: {name(level)}: {said[0]} here, {said[1]} there; clear in {where}"


def _key(level: LevelResult) -> tuple[str, float]:
    """The other arms have one level each, whatever its strength."""
    return level.arm, level.p if level.arm == "dropout" else 0.0


def read(studies: Path, table: str) -> Study | None:
    """A finished study of the set, or None."""
    file = studies / table / "study.json"
    return Study.model_validate_json(file.read_text(encoding="utf-8")) if file.is_file() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what benchmarks.tables wrote")
    parser.add_argument("--tables", help="some of them, as wine,digits; all by default")
    parser.add_argument("--studies", type=Path, help="where the studies are; FOLDER/studies by default")
    parser.add_argument("--out", type=Path, help="a file for the rows, written after each table")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="the most passes over the training rows")
    parser.add_argument("--compare", type=Path, metavar="STUDIES", help="another set of studies")
    options = parser.parse_args()
    studies = options.studies or options.folder / "studies"
    listed = tables(options.folder)
    wanted = [table.name for table in listed] if options.tables is None else options.tables.split(",")
    if unknown := set(wanted) - {table.name for table in listed}:
        parser.error(f"--tables: {options.folder / 'tables.csv'} does not list {', '.join(sorted(unknown))}")
    rows = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    print("\n".join(rows))
    turned: list[str] = []
    for table in (table for table in listed if table.name in wanted):
        try:
            study = run_study(
                table.file,
                target=table.target,
                task=table.task,
                out=studies / table.name,
                seed=options.seed,
                epochs=options.epochs,
                jobs=options.jobs,
            )
            rows.append(row(table.name, study))
        except StudyError as error:
            rows.append(f"| {table.name} | {error} |" + " |" * (len(HEADINGS) - 2))
            print(rows[-1])
            continue
        print(rows[-1], flush=True)
        if options.out is not None:
            options.out.write_text("\n".join(rows) + "\n", encoding="utf-8")
        if options.compare is not None and (other := read(options.compare, table.name)) is not None:
            turned += flips(table.name, study, other)
    if options.compare is not None:
        print("\n".join(turned) if turned else "No clear difference has another sign.")


if __name__ == "__main__":
    main()
