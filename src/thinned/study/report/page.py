"""The page: what the study found, in words, figures and a table. All wording that depends on numbers is made here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from thinned.study.record import Level
from thinned.study.report.picture import Missing, Picture, svg
from thinned.study.report.records import Records
from thinned.study.report.theme import DARK, LIGHT
from thinned.study.report.units import DASH, MINUS, Units, at, duration, nats

VERDICTS = {
    "helps": ("good", "Dropout helps"),
    "no difference": ("muted", "No clear difference"),
    "hurts": ("bad", "Dropout hurts"),
    "incomplete": ("warn", "Incomplete"),
}


@dataclass(frozen=True)
class Key:
    """A key figure: without dropout where there are two networks to compare, then with it and its unit."""

    label: str
    before: str
    after: str
    note: str


def page(records: Records, figures: Sequence[Picture | Missing], folder: Path) -> str:
    """The whole of `report.html`."""
    environment = Environment(
        loader=PackageLoader("thinned.study.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = unbroken
    study, units = records.study, Units.of(records.study)
    verdict = study.verdict if study.complete else "incomplete"
    config = folder / "config.toml"
    return environment.get_template("page.html.jinja").render(
        study=study,
        verdict=VERDICTS[verdict],
        light=LIGHT.css(),
        dark=DARK.css(),
        arms=[at(level.p) for level in (records.plain, records.noisy) if level],
        keys=keys(records, units),
        differences=differences(records, units),
        missing=missing(records),
        figures=[(figure, svg(figure) if isinstance(figure, Picture) else None) for figure in figures],
        rows=table(records, units),
        units=units,
        method=method(records),
        settings=settings(records),
        folder=folder.resolve().name,
        saved=(folder / "best.safetensors").is_file(),
        config=config.read_text(encoding="utf-8") if config.is_file() else None,
    )


def unbroken(sentence: str) -> str:
    """The sentence with its numbers held together: no line ends between "p =" and its value or before a percent sign.

    >>> unbroken("At p = 0.5: 3 %.") == "At p\\u00a0=\\u00a00.5: 3\\u00a0%."
    True
    """
    return sentence.replace(" %", "\N{NO-BREAK SPACE}%").replace("p = ", "p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")


def keys(records: Records, units: Units) -> list[Key]:
    """The four figures to read first, each as (without dropout, with dropout)."""
    study = records.study
    calibration = (
        "expected calibration error" if study.task == "classification" else "how far 95 % intervals' coverage is off"
    )

    percent = Units(True, "%")
    levels = [level for level in (records.plain, records.noisy) if level]

    def key(label: str, values: list[float], number: Callable[[float], str], unit: str, note: str) -> Key:
        *before, last = [number(value) for value in values]
        first = before[0] if before else ""
        if unit not in ("%", "points", "nats"):  # a target's name may be too long to stand beside the number
            return Key(label, first, last, f"{unit}, {note}")
        return Key(label, first, f"{last}\N{NO-BREAK SPACE}{unit}", note)

    if not levels:
        return []
    gaps = [level.test_error - level.train_error for level in levels]
    return [
        key(study.metric, [x.test_error for x in levels], units.number, units.unit, "lower is better"),
        key("test NLL", [x.test_nll for x in levels], nats, "nats", "a row, lower is better"),
        key("calibration", [x.test_calibration for x in levels], percent.number, "%", calibration),
        key("overfitting gap", gaps, units.number, units.gap_unit, "test minus training"),
    ]


def differences(records: Records, units: Units) -> list[dict[str, str]]:
    """The paired differences as text; `sure` says on which side of zero the whole interval lies."""
    rows = []
    for item in records.study.differences:
        number = units.number if item.metric == "error" else nats
        unit = units.gap_unit if item.metric == "error" else "nats"
        sure = "better" if item.high < 0 else "worse" if item.low > 0 else "not clear"
        plus = "+" if item.value > 0 else ""
        rows.append({
            "what": f"{item.first} {MINUS} {item.second}",
            "metric": records.study.metric if item.metric == "error" else "test NLL",
            "value": f"{plus}{number(item.value)} {unit}",
            "interval": f"{number(item.low)} to {number(item.high)}",
            "sure": sure,
        })  # fmt: skip
    return rows


def missing(records: Records) -> list[str]:
    """What a complete study has and this one has not, a sentence each."""
    study, notes = records.study, []
    if not study.complete:
        notes.append(
            f"The study was stopped before its end: {len(records.trials)} runs are in. Start it again with the same "
            "folder and it goes on where it stopped; until then every figure here is provisional."
        )
    absent = [f"{p:g}" for p in study.ps if records.level(p) is None]
    if absent:
        notes.append(f"No result yet for p = {', '.join(absent)}.")
    if 0.0 not in study.ps:
        notes.append("p = 0 was not tried, so nothing here says whether dropout helps.")
    if not any(p > 0 for p in study.ps):
        notes.append("Only p = 0 was tried, so there is no dropout network to compare with.")
    if records.l2 is None:
        notes.append("There is no weight decay arm: part of a gain could come from any regularisation.")
    if study.seeds == 1:
        notes.append("One seed a setting: the scatter between trainings is unknown, and small differences mean little.")
    return notes


def table(records: Records, units: Units) -> list[dict[str, str | bool]]:
    """One row a level, numbers as text."""
    inputs = f"{records.inputs.p_input:g}" if records.inputs else ""
    names = {"dropout": "dropout", "l2": "L2", "input": f"+ inputs {inputs}"}

    def row(level: Level) -> dict[str, str | bool]:
        whole = level.seeds > 1 or level.test_error_low < level.test_error_high
        interval = f"{units.number(level.test_error_low)} to {units.number(level.test_error_high)}" if whole else DASH
        return {
            "arm": names[level.arm] if level.p > 0 or level.arm == "l2" else "plain",
            "p": f"{level.p:g}",
            "lr": f"{level.lr:g}",
            "decay": f"{level.weight_decay:g}",
            "seeds": str(level.seeds),
            "error": units.number(level.test_error),
            "interval": interval,
            "nll": nats(level.test_nll),
            "calibration": Units(True, "%").number(level.test_calibration),
            "train": units.number(level.train_error),
            "gap": units.number(level.test_error - level.train_error),
            "chosen": level.arm != "l2"
            and (level.p, level.p_input) == (records.study.best_p, records.study.best_p_input),
        }

    return [row(level) for level in records.study.levels]


def method(records: Records) -> list[str]:
    """How the numbers came about, a sentence each."""
    study = records.study
    seeds = f"{study.seeds} seeds a setting" if study.seeds > 1 else "one seed a setting"
    return [
        f"{study.rows_train:,} rows trained the networks, {study.rows_val:,} validation rows made every choice "
        f"(learning rate, weight decay, p), and {study.rows_test:,} test rows gave the results. "
        "No choice has seen a test row.",
        f"{len(records.trials):,} trainings, {seeds}. Every p got its own learning rate, so that none is judged at one "
        "that suits another.",
        "All errors and likelihoods are measured with dropout switched off, on the training rows too. "
        "p is the probability that a unit is dropped.",
    ]


def settings(records: Records) -> list[tuple[str, str]]:
    """The study's settings, names and values."""
    study, epochs = records.study, records.trials["epochs"]
    span = f"{epochs.min():g}" if epochs.nunique() == 1 else f"{epochs.min():g} to {epochs.max():g}"
    return [
        ("data", study.source),
        ("target", f"{study.target}, {len(study.classes)} classes" if study.classes else f"{study.target} (a number)"),
        ("features", f"{study.features:,}"),
        ("rows", f"{study.rows_train:,} training, {study.rows_val:,} validation, {study.rows_test:,} test"),
        ("hidden layers", " \N{MULTIPLICATION SIGN} ".join(str(width) for width in study.hidden)),
        ("p", ", ".join(f"{p:g}" for p in study.ps)),
        ("learning rates", ", ".join(f"{lr:g}" for lr in study.lrs)),
        ("seeds", f"{study.seeds}, from {study.seed}"),
        ("epochs", span if len(epochs) else DASH),
        ("time", duration(study.seconds)),
        *((f"{name} version", version) for name, version in study.versions.items()),
    ]
