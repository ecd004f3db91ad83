"""The tables of docs/design/predict.md, from the rows in benchmarks/results.

python -m benchmarks.predict_page            # writes them between the page's markers
python -m benchmarks.predict_page --check    # only says whether they are up to date: exit status 1 if not
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from . import averages, shift, uci
from .harness import Row
from .page import NOTHING, filled, table

PAGE = Path(__file__).parents[1] / "docs" / "design" / "predict.md"

# RMSE and log-likelihood with standard errors: Gal and Ghahramani 2016, table 1, whose deviations over splits are
# divided by the square root of 20; and the authors' grid search of 2018 (github.com/yaringal/DropoutUncertaintyExps).
Published = tuple[str, str]
PAPER: dict[str, Published] = {
    "bostonHousing": ("2.97 ± 0.19", "-2.46 ± 0.06"),
    "yacht": ("1.11 ± 0.09", "-1.55 ± 0.03"),
    "energy": ("1.66 ± 0.04", "-1.99 ± 0.02"),
    "concrete": ("5.23 ± 0.12", "-3.04 ± 0.02"),
    "wine-quality-red": ("0.62 ± 0.01", "-0.93 ± 0.01"),
    "kin8nm": ("0.10 ± 0.00", "0.95 ± 0.01"),
    "power-plant": ("4.02 ± 0.04", "-2.80 ± 0.01"),
}
LATER: dict[str, Published] = {
    "bostonHousing": ("2.90 ± 0.18", "-2.40 ± 0.04"),
    "yacht": ("0.67 ± 0.05", "-1.25 ± 0.01"),
    "energy": ("0.54 ± 0.06", "-1.21 ± 0.01"),
    "concrete": ("4.82 ± 0.16", "-2.93 ± 0.02"),
    "wine-quality-red": ("0.62 ± 0.01", "-0.93 ± 0.01"),
    "kin8nm": ("0.08 ± 0.00", "1.14 ± 0.01"),
    "power-plant": ("4.01 ± 0.04", "-2.80 ± 0.01"),
}


# What a table is of: its title, the column, digits and the unit.
SCORES = (
    ("accuracy, %", "accuracy", 1, 100.0),
    ("NLL", "nll", 3, 1.0),
    ("ECE, %", "ece", 1, 100.0),
    ("AUROC of finding errors by 1 - the highest probability", "error_auroc", 3, 1.0),
    ("mean predictive entropy, nats", "entropy", 2, 1.0),
    ("AUROC of telling the set from clean digits by entropy", "found_by_entropy", 3, 1.0),
)


def with_error(values: Sequence[float], digits: int) -> str:
    """The mean and its standard error."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values) / len(values) ** 0.5:.{digits}f}" if len(values) > 1 else mean


def column(rows: Sequence[Row], name: str, digits: int, times: float = 1.0) -> str:
    values = [times * float(row[name]) for row in rows if row[name] not in ("", "nan")]
    return with_error(values, digits) if values else ""


def regression(rows: Sequence[Row]) -> str:
    """A line a set in either table; sets that are not, or not wholly, run say so."""
    if not rows:
        return NOTHING
    errors, densities = [], []
    for name in uci.SETS:
        found = [row for row in rows if row["set"] == name]
        label = name if len(found) == uci.SPLITS else f"{name} ({len(found)} of {uci.SPLITS} splits)"
        digits = 4 if name == "kin8nm" else 2
        cells = [column(found, of, digits) for of in ("rmse", "plain_rmse", "none_rmse")]
        errors.append([label, *cells, PAPER[name][0], LATER[name][0]])
        cells = [column(found, of, 2) for of in ("log_likelihood", "none_log_likelihood")]
        covered, p = column(found, "coverage_90", 1, 100.0), [float(row["p"]) for row in found]
        usual = f"{statistics.median(p):g}" if p else ""
        densities.append([label, *cells, PAPER[name][1], LATER[name][1], covered, usual])
    head = ["test RMSE", "MC", "weight scaling", "no dropout", "paper, 2016", "authors, 2018"]
    second = ["test log-likelihood", "MC", "no dropout", "paper, 2016", "authors, 2018"]
    return f"{table(head, errors)}\n\n{table([*second, '% in the central 90 %', 'median p'], densities)}"


def shifts(rows: Sequence[Row]) -> str:
    """For each score a line a set and a column a predictor."""
    if not rows:
        return NOTHING
    sets = list(dict.fromkeys(row["set"] for row in rows))
    parts = [f"Means over {len({row['seed'] for row in rows})} seeds, and their standard errors."]
    for title, name, digits, times in SCORES:
        lines = []
        for which in sets:
            cells = [column(_of(rows, which, predictor), name, digits, times) for predictor in shift.PREDICTORS]
            if any(cells):
                lines.append([which, *cells])
        parts.append(f"**{title}**\n\n{table(['', *shift.PREDICTORS], lines)}")
    lines = []
    for which in sets:
        found = [_of(rows, which, predictor) for predictor in (shift.SAMPLED, shift.CALIBRATED)]
        cells = [column(some, "mutual_information", 3) for some in found]
        lines.append([which, *cells, *(column(some, "found_by_information", 3) for some in found)])
    head = ["", "MC", "MC, calibrated", "AUROC against clean digits, MC", "MC, calibrated"]
    parts.append(f"**Mutual information, nats**\n\n{table(head, lines)}")
    return "\n\n".join(parts)


def _of(rows: Sequence[Row], which: str, predictor: str) -> list[Row]:
    return [row for row in rows if (row["set"], row["predictor"]) == (which, predictor)]


def averaged(rows: Sequence[Row]) -> str:
    """A line for weight scaling and each number of networks, with differences paired by seed."""
    if not rows:
        return NOTHING
    scaled = {row["seed"]: row for row in rows if row["networks"] == averages.SCALED}
    lines = []
    for name in (averages.SCALED, *map(str, averages.COUNTS)):
        found = [row for row in rows if row["networks"] == name]
        cells = [column(found, "error", 2, 100.0), column(found, "nll", 3)]
        less = [
            with_error([times * (float(row[of]) - float(scaled[row["seed"]][of])) for row in found], digits)
            for of, digits, times in (("error", 2, 100.0), ("nll", 3, 1.0))
        ]
        lines.append([name, *cells, *(less if name != averages.SCALED else ("", ""))])
    apart = max(float(row["modules_apart"]) for row in rows)
    share = statistics.mean(float(row["parameters_left"]) for row in scaled.values())
    head = ["networks averaged", "error, %", "NLL", "error less weight scaling's", "NLL less weight scaling's"]
    modules = (
        f"`thinned_networks` made {averages.MODULES} networks a seed as modules, of about {100 * share:.0f} % of the "
        f"parameters: their average is that of `predict(..., shared_masks=True)`, {apart:.1g} apart at most."
    )
    return f"{len(scaled)} seeds.\n\n{table(head, lines)}\n\n{modules}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    for name, module in (("uci", uci), ("shift", shift), ("averages", averages)):
        parser.add_argument(f"--{name}", type=Path, default=module.FILE, help=f"the rows of benchmarks.{name}")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    blocks = {
        "uci": regression(uci.rows_of(options.uci)),
        "shift": shifts(shift.rows_of(options.shift)),
        "averages": averaged(averages.rows_of(options.averages)),
    }
    text = options.page.read_text(encoding="utf-8")
    wanted = filled(text, blocks, "benchmarks.predict_page")
    if not options.check:
        options.page.write_text(wanted, encoding="utf-8")
    elif text != wanted:
        sys.exit(f"{options.page} is not what the rows say. Call: python -m benchmarks.predict_page")


if __name__ == "__main__":
    main()
