"""The outcomes that a report must be right about, each a made-up study."""

from __future__ import annotations

from dataclasses import replace

from tests.study.report.studies import PS, Case

HELPS = Case()
HURTS = Case(
    effects={p: 0.06 * p for p in PS[1:]}, best_p=0.02, chosen_p=0.0, others={"decay": 0.001, "both": 0.003}, half=0.001
)
LEVEL = Case(effects=dict.fromkeys(PS[1:], 0.0002), half=0.003, best_p=0.1, chosen_p=0.0, others={"decay": 0.0001})
UNCLEAR = Case(
    effects={p: 0.01 * p for p in PS[1:]}, half=0.03, best_p=0.3, chosen_p=0.3, others={"decay": -0.004}, rows_test=150,
    calibrated=False, turns=False,
)  # fmt: skip
NUMBERS = Case(
    task="regression", metric="rmse", metric_title="test RMSE", target="cost <$ & $>",
    title="Houses <script>alert(1)</script>", base=54_321.0, half=900.0, best_p=0.2, chosen_p=0.2, calibrated=False,
    effects={p: -5000.0 * min(p / 0.2, 1.0) for p in PS[1:]}, others={"decay": -2500.0, "both": -5100.0},
    baselines={"constant": 40_000.0, "linear": 9000.0, "tree": -1500.0},
)  # fmt: skip

CASES: dict[str, Case] = {
    "dropout helps": HELPS,
    "dropout hurts": HURTS,
    "level": LEVEL,
    "narrow intervals": replace(LEVEL, half=0.0001, effects=dict.fromkeys(PS[1:], 0.00002), rows_test=100_000),
    "unclear": UNCLEAR,
    "weight decay wins": replace(HELPS, chosen="decay", others={"decay": -0.03, "both": -0.021}),
    "both win": replace(HELPS, chosen="both", others={"decay": -0.006, "both": -0.04, "input": -0.019}),
    "inputs win": replace(HELPS, chosen="input", others={"decay": -0.006, "input": -0.04}),
    "validation and test disagree": replace(HURTS, best_p=0.2, chosen_p=0.2, outer=1),
    "trees beat all": replace(HELPS, baselines={"constant": 0.5, "linear": 0.04, "tree": -0.05}),
    "no better than a constant": replace(UNCLEAR, baselines={"constant": 0.004, "linear": 0.01, "tree": 0.02}),
    "an error of 0": replace(
        LEVEL, base=0.0, effects=dict.fromkeys(PS[1:], 0.0), half=0.0, rows_test=40, calibrated=False,
        others={"decay": 0.0}, baselines={"constant": 0.6, "linear": 0.0, "tree": 0.0},
        warnings=("Not one of 40 test rows is wrong: a column may give the target away.",),
    ),
    "out of time": replace(HELPS, complete=False, stopped="budget", finished=PS[:3], best_p=0.05, chosen_p=0.05),
    "out of time without an answer": replace(
        HELPS, complete=False, stopped="budget", finished=PS[:3], best_p=0.05, answers=False
    ),
    "interrupted": replace(HELPS, complete=False, stopped="interrupted", finished=PS[:1], best_p=0.0, chosen_p=0.0),
    "nothing yet": replace(HELPS, complete=False, stopped="interrupted", finished=(), best_p=0.0),
    "numbers": NUMBERS,
    "numbers with a long name": replace(
        NUMBERS, target="the median value of owner-occupied homes in thousands of dollars", base=0.5, half=0.004,
        effects=dict.fromkeys(PS[1:], -0.0005), others={"decay": 0.0}, baselines={"constant": 4.0, "tree": 0.1},
        chosen_p=0.0, metric="mae", metric_title="mean absolute error", title="Boston",
    ),
    "outer splits": replace(UNCLEAR, outer=4, seeds=8, rows_test=178),
    "by AUC": replace(HELPS, metric="auc", metric_title="1 - AUC", base=0.05, rows_test=5000),
    "edges, unfinished, failures": replace(
        HELPS, edges=(0.0, 0.5), unfinished={0.4: 1 / 3, 0.5: 2 / 3},
        failures=("dropout-p0.5-wd0-lr0.01-seed2: the loss was no number at step 41.",),
        warnings=("Column <id> is different in every row: it was left in.", "6 % of rows are of class a."),
    ),
}  # fmt: skip
