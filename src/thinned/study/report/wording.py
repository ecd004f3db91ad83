"""Sentences of the page that depend on the records: the badge, what is missing, how it was done, the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from thinned.study.answer.speech import listed, name
from thinned.study.record import LevelResult, Network, Study
from thinned.study.report.records import Records
from thinned.study.report.units import DASH, Units, duration, nats

ADVICE = {
    "dropout": "Use dropout",
    "decay": "Use weight decay",
    "both": "Use dropout and weight decay",
    "input": "Use dropout, of inputs too",
    "plain": "Use no dropout",
    "nothing": "Use none of these networks",
}
EDGE, UNFINISHED = "†", "‡"


def badge(study: Study) -> tuple[str, str]:
    """A class of the page and a word or two: the advice, and nothing but the advice, once the study is complete."""
    if not study.complete:
        return "warn", "Incomplete"
    return ("warn" if study.advice == "nothing" else "advice"), ADVICE[study.advice]


def missing(records: Records) -> list[str]:
    """What a complete study has and this one has not, a sentence each."""
    study, notes = records.study, []
    if not study.complete:
        why = {"interrupted": "The study was interrupted", "budget": "The study's time was up"}
        notes.append(
            f"{why.get(study.stopped, 'The study was stopped')} before its end: {len(records.runs):,} runs are "
            "in. Start it again with the same folder and it goes on from there; until then every figure here is "
            "provisional."
        )
    tried = {level.p for level in study.levels if level.arm == "dropout"}
    absent = [f"{p:g}" for p in study.ps if p not in tried]
    if absent:
        notes.append(f"No result yet for p = {listed(absent)}.")
    if study.complete:
        if not any(p > 0 for p in study.ps):
            notes.append("Only p = 0 was tried, so there is no dropout network to compare with.")
        if records.arm("decay") is None:
            notes.append("There is no weight decay arm: part of a gain could come from any regularisation.")
    if study.seeds == 1:
        notes.append("One seed a setting: the scatter between trainings is unknown, and small differences mean little.")
    return notes


@dataclass(frozen=True)
class KeyFigure:
    """A figure to read first, of the levels that matter: each with its name and value."""

    title: str
    values: list[tuple[str, str]]
    note: str


def key_figures(records: Records) -> list[KeyFigure]:
    """Metric, likelihood, gap and steps: without dropout, with it, and of the chosen level where that is another."""
    study, metric, error = records.study, Units.deciding(records.study), Units.error(records.study)
    found: list[LevelResult] = []
    for level in (records.study.plain, records.study.noisy, records.study.chosen):
        if level and level not in found:
            found.append(level)
    if not found:
        return []
    numbers = study.task == "regression"
    unit = f"{metric.unit}, " if metric.unit and not metric.percent else ""
    texts: dict[str, Callable[[LevelResult], str]] = {
        "metric": lambda x: metric.value(x.metric.value),
        "nll": lambda x: nats(x.nll if numbers else x.nll_tempered),
        "gap": lambda x: error.size(x.gap),
        "steps": lambda x: f"{x.steps:,.0f}",
    }
    values = {key: [(name(level), text(level)) for level in found] for key, text in texts.items()}
    return [
        KeyFigure(metric.title, values["metric"], f"{unit}mean over seeds, lower is better"),
        KeyFigure("test NLL", values["nll"], "nats a row" + ("" if numbers else ", with one temperature a network")),
        KeyFigure("gap", values["gap"], f"test minus training {error.bare}, dropout off"),
        KeyFigure("steps to the state kept", values["steps"], "median over seeds"),
    ]


def marks(study: Study) -> list[tuple[str, str]]:
    """The signs in the table of settings and their sentences."""
    found = []
    edges = [name(level) for level in study.levels if level.lr_at_edge]
    if edges:
        found.append((
            EDGE,
            f"The chosen learning rate lies at an end of those tried, {span(study.lrs)}, for {listed(edges)}: a better "
            "one may lie beyond.",
        ))  # fmt: skip
    late = [f"{name(x)} ({100 * x.unfinished:.0f} % of seeds)" for x in study.levels if x.unfinished > 0]
    if late:
        found.append((
            UNFINISHED,
            f"Validation loss was still falling when the {study.max_steps:,} steps ran out, for {listed(late)}: more "
            "steps may change these figures.",
        ))  # fmt: skip
    return found


def no_calibration(study: Study) -> str:
    """Why a calibration error is absent, or nothing where none is."""
    if not study.levels or all(level.calibration for level in study.levels):
        return ""
    if study.task == "regression":
        return "No calibration error: a number is predicted, and an expected calibration error is one of classes."
    if study.next_word:
        return (
            "No calibration error: neighbouring words are no independent rows, which its interval would take them for."
        )
    if study.rows_test < 1000:
        return (
            f"No calibration error: {study.rows_test:,} test rows are too few. Below 1,000 even a perfect predictor "
            "shows an expected calibration error of several percent."
        )
    return "No calibration error was measured."


def method(records: Records) -> list[str]:
    """How the numbers came about, a sentence each."""
    study = records.study
    seeds = f"{study.seeds} seeds a setting" if study.seeds > 1 else "one seed a setting"
    rows = (
        f"{study.rows_train:,} rows trained each network and {study.rows_val:,} validation rows made every choice "
        "(learning rate, weight decay, p). "
    )
    if study.outer > 1:
        rows += (
            f"In {study.outer} outer splits each of the {study.rows_test:,} rows was a test row once; choices were "
            "made anew in each split, without its test rows."
        )
    else:
        rows += f"{study.rows_test:,} test rows gave the results; no choice has seen one."
    return [
        rows,
        f"{len(records.runs):,} trainings, {seeds}, each until a whole cycle lowered the least validation loss of its "
        f"learning rate by less than 2 %, another rate was far ahead, or {study.max_steps:,} steps were done; of the "
        "states at the cycles' ends the one with the least validation loss is kept. The same rule for every arm.",
        "All figures are measured with dropout switched off, on the training rows too. p is the probability that a "
        "unit is dropped. The gap is test minus training error of the state kept; learning curves show validation "
        "rows.",
    ]


NETWORKS = {
    "perceptron": "perceptron; dropout behind each hidden layer",
    "cnn": "convolutions in residual blocks with batch normalisation; dropout of the last maps, behind them",
    "lstm": "LSTM; locked dropout of what enters each layer, and of the mean over words",
    "gru": "GRU; locked dropout of what enters each layer, and of the mean over words",
    "transformer": "transformer encoder, layer normalisation first; dropout of embeddings, attention and branches",
}


def settings(records: Records) -> list[tuple[str, str]]:
    """The study's settings, names and values."""
    study = records.study
    rows = f"{study.rows_train:,} training, {study.rows_val:,} validation, {study.rows_test:,} test"
    return [
        ("data", study.source),
        ("target", f"{study.target}, {len(study.classes)} classes" if study.classes else f"{study.target} (a number)"),
        ("decided by", study.metric_title),
        ("features", f"{study.features:,}"),
        ("rows", rows + (f", in {study.outer} outer splits" if study.outer > 1 else "")),
        *([] if study.network_kind == "perceptron" else [("network", NETWORKS[study.network_kind])]),
        (
            "maps" if study.network_kind == "cnn" else "hidden layers",
            " \N{MULTIPLICATION SIGN} ".join(str(width) for width in study.hidden),
        ),
        ("batch", f"{study.batch:,}"),
        ("device", study.device),
        ("p", ", ".join(f"{p:g}" for p in study.ps)),
        ("weight decays", ", ".join(f"{decay:g}" for decay in study.weight_decays) or DASH),
        ("learning rates", ", ".join(f"{lr:g}" for lr in study.lrs)),
        ("seeds", f"{study.seeds}, from {study.seed}"),
        ("steps", f"at most {study.max_steps:,}"),
        ("training time", duration(study.seconds)),
        *((f"{package} version", version) for package, version in study.versions.items()),
    ]


def span(values: list[float]) -> str:
    """One value, or the least and the largest.

    >>> span([0.01, 0.001, 0.01]), span([0.01, 0.01])
    ('0.001 to 0.01', '0.01')
    """
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def taken_away(study: Study, network: Network) -> list[tuple[str, str]]:
    """What `load` returns, fact by fact."""
    metric, error = Units.deciding(study), Units.error(study)
    many = network.members > 1
    facts = [
        ("networks", f"{network.members}, one a seed; their answers are averaged" if many else "1"),
        ("p, of hidden units", f"{network.p:g}"),
        ("p, of inputs", f"{network.p_input:g}"),
        ("weight decay", f"{network.weight_decay:g}"),
        ("learning rate", span(network.lrs)),
    ]
    if study.task == "classification":
        facts.append(("temperature", f"{network.temperature:.3g}, fitted on validation rows"))
    own = "of these networks together" if many else "of this network"
    if network.error is None:
        facts.append(("test rows", "none that all members are new to: outer splits use every row for training"))
    else:
        facts.append((f"{study.error_title} {own}", error.value(network.error)))
        if network.nll is not None:
            facts.append((f"test NLL {own}", f"{nats(network.nll)} nats a row"))
    low, high = network.chosen.low, network.chosen.high
    width = f" (95 % interval {metric.interval(low, high)})" if low < high else ""
    one = f"{metric.title} of one such network, chosen in this way"
    facts.append((one, f"{metric.value(network.chosen.value)}{width}"))
    return facts
