"""The Lightning callback with the real Trainer, on real digits: every step has its p, and resuming is exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from tests.interop.digits import digits
from torch import Tensor, nn

import thinned
from thinned.interop.lightning import ScheduleCallback
from thinned.schedules import Cosine, Curve, EarlyDropout, LateDropout, WarmUp

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec.*:FutureWarning"),  # torch's, of Lightning
]
SCHEDULES: dict[str, Curve | float] = {"net.2": WarmUp(1.0, 4) * Cosine(0.5, 0.0, 12), "net.5": LateDropout(0.4, 5)}


class Classifier(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(64, 32), nn.ReLU(), thinned.nn.Dropout(0.9), nn.Linear(32, 32), nn.ReLU(), nn.Dropout(0.9),
            nn.Linear(32, 10),
        )  # fmt: skip
        self.seen: list[tuple[int, float, float]] = []

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        step, p = self.trainer.global_step, thinned.rates(self)
        self.seen.append((step, p["net.2"], p["net.5"]))
        torch.manual_seed(step)  # data and masks are a function of the step, as p is
        rows = torch.randint(320, (16,))
        x, y = digits()
        return nn.functional.cross_entropy(self.net(x[rows]), y[rows])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def fit(
    model: Classifier, folder: Path, callback: ScheduleCallback, steps: int, checkpoint: Path | None = None, **more: Any
) -> ModelCheckpoint:
    saver = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    trainer = pl.Trainer(
        max_steps=steps,
        callbacks=[saver, callback],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **more,
    )
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.arange(20)), batch_size=1)
    trainer.fit(model, data, ckpt_path=checkpoint, weights_only=True)
    return saver


def model_of(seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    return Classifier()


def expected(step: int) -> tuple[int, float, float]:
    return (step, *(curve(step) for curve in SCHEDULES.values() if isinstance(curve, Curve)))  # type: ignore[return-value]


def test_every_step_has_its_p_and_resuming_is_exact(tmp_path: Path) -> None:
    whole = model_of()
    callback = ScheduleCallback(SCHEDULES)
    fit(whole, tmp_path / "whole", callback, 14)
    assert whole.seen == [expected(step) for step in range(14)]
    assert callback.schedule is not None
    assert callback.schedule.steps == 14

    first = model_of()
    fit(first, tmp_path / "part", ScheduleCallback(SCHEDULES), 6)
    resumed = model_of(seed=1)
    fit(resumed, tmp_path / "part", ScheduleCallback(SCHEDULES), 14, tmp_path / "part" / "step=6.ckpt")
    assert first.seen + resumed.seen == whole.seen
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_accumulated_batches_are_one_step(tmp_path: Path) -> None:
    model = model_of()
    fit(model, tmp_path, ScheduleCallback(SCHEDULES), 4, accumulate_grad_batches=3)
    assert model.seen == [expected(step) for step in range(4) for _ in range(3)]


def test_a_checkpoint_of_other_schedules_is_refused(tmp_path: Path) -> None:
    fit(model_of(), tmp_path, ScheduleCallback({"net.2": EarlyDropout(0.1, 10)}), 2)
    with pytest.raises(ValueError, match=r"`Schedule`: `state` must be of the same schedules"):
        fit(model_of(), tmp_path, ScheduleCallback({"net.2": EarlyDropout(0.1, 20)}), 3, tmp_path / "step=2.ckpt")


def test_two_callbacks_keep_their_states_apart(tmp_path: Path) -> None:
    two = [ScheduleCallback({name: curve}) for name, curve in SCHEDULES.items()]
    assert two[0].state_key != two[1].state_key
    assert two[0].state_dict() == {}


def test_a_pattern_that_matches_nothing_stops_the_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`Schedule`: `schedules` must name places of the model. Got 'encoder'"):
        fit(model_of(), tmp_path, ScheduleCallback({"encoder": 0.1}), 1)


def test_p_is_in_the_logs(tmp_path: Path) -> None:
    logged: list[dict[str, float]] = []

    class Notes(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            logged.append({name: float(value) for name, value in trainer.logged_metrics.items()})

    callback = ScheduleCallback(SCHEDULES)
    trainer = pl.Trainer(
        max_steps=4, callbacks=[callback, Notes()], accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=tmp_path,
    )  # fmt: skip
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.arange(20)), batch_size=1)
    model = model_of()
    trainer.fit(model, data)
    assert [entry["p/net.2"] for entry in logged] == pytest.approx([p for _, p, _ in model.seen])
    assert [entry["p/net.5"] for entry in logged] == pytest.approx([p for *_, p in model.seen])
