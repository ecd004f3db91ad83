"""From finished trials to records: `trials.csv`, `curves.csv` and `study.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from pydantic import BaseModel

from ..replaced_file import replace_file
from .calibration import calibration
from .dataset import Dataset
from .plan import Candidate, Chooser
from .record import Point, Study, Task, Trial
from .split import Sizes
from .trial import Config, Outcome
from .verdict import Runs, Speech, answer, difference


def conclude(
    data: Dataset,
    size: Sizes,
    chooser: Chooser,
    finished: Mapping[Config, Outcome],
    *,
    hidden: list[int],
    seed: int,
    seconds: float,
    versions: dict[str, str],
    complete: bool,
) -> Study:
    """The study's record, over the chooser's seeds."""
    seeds = chooser.grid.seeds

    def runs(candidate: Candidate) -> Runs:
        lr = chooser.lr(candidate)
        outcomes = tuple(finished[candidate.at(lr, index)] for index in range(seeds))
        return Runs(outcomes, tuple(calibration(outcome.test, data.task) for outcome in outcomes), data.task)

    finals = {candidate: runs(candidate) for candidate in chooser.finals()}
    by_p = {candidate.p: found for candidate, found in finals.items() if candidate.arm == "dropout"}
    l2 = next(found for candidate, found in finals.items() if candidate.arm == "l2")
    inputs = next((found for candidate, found in finals.items() if candidate.arm == "input"), None)
    best_p = chooser.p()
    plain, noisy = by_p[0.0], by_p[best_p or chooser.p_above_zero()]
    levels = {"plain": plain.level(), "noisy": noisy.level(), "l2": l2.level()}
    differences = {
        "error": difference(noisy, plain, "error"),
        "nll": difference(noisy, plain, "nll"),
        "l2": difference(noisy, l2, "error"),
        "l2 nll": difference(noisy, l2, "nll"),
    }
    if inputs is not None:
        levels["inputs"] = inputs.level()
        differences["inputs"] = difference(inputs, noisy, "error")
        differences["inputs plain"] = difference(inputs, plain, "error")
        differences["inputs plain nll"] = difference(inputs, plain, "nll")
    speech = Speech(data.task, data.target)
    verdict, words = answer(
        speech, best_p, levels, differences, len(chooser.grid.lrs) > 1, seeds, size.test, data.notes
    )
    classification = data.task == "classification"
    return Study(
        title=data.title,
        source=data.source,
        task=data.task,
        metric="test error" if classification else "test RMSE",
        unit="%" if classification else data.target,
        target=data.target,
        classes=[str(name) for name in data.classes],
        features=data.features.shape[1],
        rows_train=size.train,
        rows_val=size.val,
        rows_test=size.test,
        hidden=hidden,
        seed=seed,
        seeds=seeds,
        ps=list(chooser.grid.ps),
        lrs=sorted({config.lr for config in finished}),
        best_p=best_p,
        best_p_input=chooser.best().p_input,
        best_lr=chooser.lr(chooser.best()),
        levels=[found.level() for found in finals.values()],
        differences=list(differences.values()),
        verdict=verdict,
        words=words,
        seconds=seconds,
        versions=versions,
        complete=complete,
    )


def write_results(folder: Path, study: Study) -> None:
    """Write `study.json`."""
    replace_file(folder / "study.json", (study.model_dump_json(indent=1) + "\n").encode())


def write_trials(folder: Path, task: Task, chooser: Chooser, finished: Mapping[Config, Outcome]) -> None:
    """Write `trials.csv` and `curves.csv`, in an order that does not depend on which trial finished first."""
    chosen = chooser.chosen()
    trials, points = [], []
    for config in sorted(finished, key=lambda c: (c.arm, c.p, c.p_input, c.weight_decay, c.lr, c.seed)):
        outcome = finished[config]
        trials.append(
            Trial(
                trial=config.name,
                **asdict(config),
                epochs=outcome.points[-1].epoch,
                chosen_lr=config in chosen,
                train_error=outcome.train.error,
                train_nll=outcome.train.nll,
                val_error=outcome.val.error,
                val_nll=outcome.val.nll,
                val_loss=outcome.val.loss,
                test_error=outcome.test.error,
                test_nll=outcome.test.nll,
                test_calibration=calibration(outcome.test, task),
                seconds=outcome.seconds,
            )
        )
        points += [Point(trial=config.name, **asdict(point)) for point in outcome.points]
    replace_file(folder / "trials.csv", _csv(Trial, trials))
    replace_file(folder / "curves.csv", _csv(Point, points))


def _csv(kind: type[BaseModel], rows: Iterable[BaseModel]) -> bytes:
    frame = pd.DataFrame([row.model_dump() for row in rows], columns=list(kind.model_fields))
    return frame.to_csv(index=False).encode()
