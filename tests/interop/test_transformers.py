"""The callback with the real Trainer, and a BERT on real digits: every step has its p, and resuming is exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tests.interop.digits import digits
from torch import Tensor
from transformers.models.bert import BertConfig, BertForSequenceClassification

import thinned
from thinned.interop.transformers import ScheduleCallback
from thinned.schedules import ByDepth, Cosine, Curve, WarmUp

ATTENTION = ByDepth(Cosine(0.4, 0.0, steps=8))
OUTPUT = WarmUp(0.5, steps=6)
SCHEDULES: dict[str, Curve | float] = {
    "bert.encoder.layer.*.attention.self.dropout": ATTENTION,
    "*.output.dropout": OUTPUT,
}
PLACES = ("bert.encoder.layer.0.attention.self.dropout", "bert.encoder.layer.1.output.dropout")


class Recording(transformers.Trainer):
    """Notes the step and two rates in front of every forward."""

    seen: list[tuple[float, ...]]

    def training_step(self, model: torch.nn.Module, *arguments: Any, **named: Any) -> Tensor:
        rates = thinned.rates(model)
        self.seen.append((self.state.global_step, *(rates[name] for name in PLACES)))
        return super().training_step(model, *arguments, **named)


def model_of(seed: int = 0) -> transformers.PreTrainedModel:
    """Each pixel's grey value is a word."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=17, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64,
    )  # fmt: skip
    config.num_labels = 10
    model: transformers.PreTrainedModel = BertForSequenceClassification(config)
    return model


def train(
    folder: Path, steps: int, *, seed: int = 0, resume: str | None = None, log_every: int = 100, **more: Any
) -> Recording:
    pixels, classes = digits(96)
    data = [{"input_ids": (x * 16).long(), "labels": y} for x, y in zip(pixels, classes, strict=True)]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=8, save_steps=4, seed=3, use_cpu=True,
        report_to=[], disable_tqdm=True, logging_steps=log_every, learning_rate=1e-3,
        lr_scheduler_type="constant", **more,
    )  # fmt: skip
    callback = ScheduleCallback(SCHEDULES)
    trainer = Recording(model_of(seed), arguments, train_dataset=data, callbacks=[callback])
    trainer.seen = []
    trainer.train(resume_from_checkpoint=resume)
    assert callback.schedule is not None
    assert callback.schedule.steps == steps
    return trainer


def test_p_is_in_the_logs(tmp_path: Path) -> None:
    trainer = train(tmp_path, 3, log_every=1)
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert [entry["p/*.output.dropout"] for entry in logged] == [OUTPUT(step) for step in (1, 2, 3)]


def expected(step: int) -> tuple[float, ...]:
    return step, ATTENTION.block(1, of=2)(step), OUTPUT(step)


def test_every_step_has_its_p_and_resuming_is_exact(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", 9)
    assert whole.seen == [expected(step) for step in range(9)]
    first = train(tmp_path / "part", 4)
    resumed = train(tmp_path / "part", 9, seed=1, resume=str(tmp_path / "part" / "checkpoint-4"))
    assert first.seen + resumed.seen == whole.seen
    assert whole.model is not None
    assert resumed.model is not None
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_accumulated_batches_are_one_step(tmp_path: Path) -> None:
    trainer = train(tmp_path, 3, gradient_accumulation_steps=2)
    assert trainer.seen == [expected(step) for step in range(3) for _ in range(2)]


def test_a_pattern_that_matches_nothing_stops_the_training(tmp_path: Path) -> None:
    SCHEDULES["decoder.*"] = 0.1
    try:
        with pytest.raises(ValueError, match=r"`Schedule`: `schedules` must name places of the model. Got 'decoder"):
            train(tmp_path, 1)
    finally:
        del SCHEDULES["decoder.*"]
