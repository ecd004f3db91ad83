"""The page's tables as text: differences, ranges of p, settings, other kinds of model. A row is a dict of its cells."""

from __future__ import annotations

from thinned.study.answer.speech import SHARES, Speech, name, needed
from thinned.study.record import Difference, Estimate, LevelResult, Study
from thinned.study.report.records import Records
from thinned.study.report.units import DASH, GLUE, MINUS, Units, nats, plain
from thinned.study.report.wording import EDGE, UNFINISHED, span

KINDS = {
    "better": ("good", "better"),
    "level": ("muted", "no difference worth having"),
    "unclear": ("muted", "not clear"),
    "worse": ("bad", "worse"),
}
LIKELIHOODS = {"nll": "test NLL", "nll tempered": "test NLL, one temperature"}
TITLES = {
    "balanced-error": "balanced error (%)",
    "auc": f"1 {MINUS} AUC (%)",
    "f1": f"1 {MINUS} F1 (%)",
    "brier": "Brier score",
    "mae": "mean absolute error",
}
PERCENT = Units("calibration error", True, "%", Speech(True, "calibration error", "", "error"))
SURE = {"better": "good", "worse": "bad", "not clear": "muted"}


def sure(low: float, high: float) -> str:
    """On which side of zero a whole interval lies."""
    return "better" if high < 0 else "worse" if low > 0 else "not clear"


def change(units: Units | None, found: Difference | Estimate) -> dict[str, str]:
    """A difference, its interval and on which side of zero it lies. Without `units` it is one of nats."""
    if units is None:
        value, interval = _nats(found.value, found.low, found.high)
    else:
        value, interval = units.change_interval(found.value, found.low, found.high)
    side = sure(found.low, found.high) if found.low < found.high else "no scatter"
    return {"value": value, "interval": interval, "sure": side, "colour": SURE.get(side, "muted")}


def _nats(value: float, low: float, high: float) -> tuple[str, str]:
    places = 3
    while f"{low:.{places}f}" == f"{high:.{places}f}" and low < high and places < 15:
        places += 1
    middle, least, most = (plain(x, f"{x:+.{places}f}") for x in (value, low, high))
    return middle, f"{least} to {most}" if low < high else DASH


def differences(study: Study) -> list[dict[str, str]]:
    """The paired differences, with the smallest that the study could see."""
    rows = []
    for item in study.differences:
        units = Units.deciding(study) if item.metric == study.metric else None
        title = study.metric_title
        if item.metric != study.metric:
            units = None if item.metric in LIKELIHOODS else Units.error(study)
            title = LIKELIHOODS.get(item.metric, study.error_title)
        unit = "nats" if units is None else units.change_unit
        visible = f"{item.visible:.3f}" if units is None else units.size(item.visible).removesuffix(f"{GLUE}points")
        visible = visible if item.visible > 0 else DASH
        row = {"what": f"{item.first} {MINUS} {item.second}", "metric": f"{title}{f' ({unit})' if unit else ''}"}
        rows.append(row | {"visible": visible, "needed": needed(item)} | change(units, item))
    return rows


def ranges(study: Study) -> list[dict[str, str]]:
    """Neighbouring rates of which the study says the same."""
    units = Units.deciding(study)
    rows = []
    for item in study.ranges:
        ps = f"p = {item.ps[0]:g}" + (f" to {item.ps[-1]:g}" if len(item.ps) > 1 else "")
        colour, words = KINDS[item.kind]
        middle = (item.low + item.high) / 2
        bounds = units.change_interval(middle, item.low, item.high)[1]
        rows.append({
            "ps": ps.replace(" ", GLUE), "colour": colour, "kind": words, "width": str(len(item.ps)),
            "bounds": f"{bounds} {units.change_unit}".strip() if bounds != DASH else "",
        })  # fmt: skip
    return rows


def levels(records: Records) -> list[dict[str, str]]:
    """One row a level: first what decides. A level that diverged has no figures."""
    study = records.study
    metric, error = Units.deciding(study), Units.error(study)
    chosen = records.study.chosen

    def row(level: LevelResult) -> dict[str, str]:
        signs = (EDGE if level.lr_at_edge else "") + (UNFINISHED if level.unfinished > 0 else "")
        cells = {
            "name": name(level),
            "marks": signs,
            "chosen": "chosen" if level is chosen else "",
            "metric": metric.number(level.metric.value),
            "interval": metric.interval(level.metric.low, level.metric.high),
            "tempered": nats(level.nll_tempered),
            "nll": nats(level.nll),
            "calibration": DASH,
            "calibration_interval": "",
            "perfect": "",
            "train": error.number(level.train_error),
            "error": error.number(level.error.value),
            "gap": error.size(level.gap).removesuffix(f"{GLUE}points"),
            "steps": f"{level.steps:,.0f}",
            "lr": span(level.lrs),
            "difference": DASH,
            "difference_interval": "",
            "difference_colour": "muted",
        }
        if level.calibration:
            found = level.calibration
            cells["calibration"] = f"{100 * found.value:.1f}"
            cells["calibration_interval"] = PERCENT.interval(found.low, found.high)
            cells["perfect"] = f"perfect: {100 * found.perfect:.1f}"
        if level.against_plain:
            against = change(metric, level.against_plain)
            cells |= {f"difference_{key}": text for key, text in against.items()} | {"difference": against["value"]}
        return cells | figures(study, level.figures)

    found = [row(level) for level in study.levels]
    blank = dict.fromkeys(found[0], DASH) if found else {}
    empty = dict.fromkeys((key for key in blank if key.endswith("interval")), "")
    empty |= {"marks": "", "chosen": "", "perfect": "", "difference_colour": "muted"}
    apart = [{"name": item.name, "metric": "diverged", "lr": span(item.lrs)} for item in study.diverged]
    return [*found, *(blank | empty | cells for cells in apart)]


def other_metrics(study: Study) -> list[tuple[str, str]]:
    """Names and titles of the metrics that have a column of their own: those beside the deciding one and the NLL."""
    sets = [*(level.figures for level in study.levels), *(item.figures for item in study.baselines)]
    found = dict.fromkeys(key for figures in sets for key in figures)
    return [(key, TITLES.get(key, key)) for key in found if key not in {study.metric, "nll", "error", "rmse"}]


def figures(study: Study, values: dict[str, float]) -> dict[str, str]:
    """The other metrics, by name; percent where they are shares."""
    texts = {}
    for key, _ in other_metrics(study):
        texts[key] = DASH
        if key in values:
            speech = Speech(key in SHARES, key, study.target, key)
            texts[key] = plain(values[key], speech.value(values[key]).removesuffix(" %"))
    return texts


def baselines(records: Records) -> list[dict[str, str]]:
    """Other kinds of model on the same rows, and how they differ from the chosen network's level."""
    study, chosen, metric = records.study, records.study.chosen, Units.deciding(records.study)
    rows = []
    for item in study.baselines:
        pair = {item.title, name(chosen)} if chosen else set()
        found = next((x for x in study.differences if {x.first, x.second} == pair and x.metric == study.metric), None)
        cells = {
            "name": item.title,
            "metric": metric.number(item.metric.value),
            "interval": metric.interval(item.metric.low, item.metric.high),
            "nll": nats(item.nll),
            "difference": DASH,
            "difference_interval": "",
            "difference_sure": "",
            "difference_colour": "muted",
        }
        if found:
            if found.second == item.title:  # the record has it the other way round
                found = found.model_copy(update={"value": -found.value, "low": -found.high, "high": -found.low})
            against = change(metric, found)
            cells |= {f"difference_{key}": text for key, text in against.items()} | {"difference": against["value"]}
        rows.append(cells | figures(study, item.figures))
    return rows
