"""torch.export: a program that draws where the layer draws, and keeps the rates with which it was exported."""

from __future__ import annotations

import io

import pytest
import torch
from tests.regressions.example import run
from tests.transforms.conftest import Case
from torch.export import Dim, ExportedProgram

from thinned.nn import AlphaDropout, Dropout, GaussianDropout


def stored(program: ExportedProgram) -> ExportedProgram:
    """The program, saved and loaded again."""
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    return torch.export.load(file)


@pytest.mark.filterwarnings("ignore:The tensor attributes self._flat_weights:UserWarning")  # torch's recurrent modules
@pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")  # torch.export.load of torch 2.11
def test_training_draws_afresh_and_inference_is_exact(traced: Case) -> None:
    layer, x = traced.layer(), traced.sample()
    for training in (True, False):
        layer.train(training)
        program = stored(torch.export.export(layer, (x,))).module()
        found, expected = (traced.call(form, x, 1) for form in (program, layer))
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
        assert torch.equal(found, run(program, x)) == (not training)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_a_model_for_batches_of_any_size(training: bool, strict: bool) -> None:
    """By dynamo's tracing and by running, with the size of the batch left open."""
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 8), Dropout(0.5, scaling="classic"), AlphaDropout(0.3), GaussianDropout(0.2), Dropout(0.0)
    ).train(training)
    example = torch.linspace(-1, 1, 30).reshape(5, 6)
    program = torch.export.export(model, (example,), dynamic_shapes=({0: Dim("batch")},), strict=strict)
    drawn = sum("thinned" in str(node.target) for node in program.graph.nodes)
    assert drawn == (3 if training else 0)
    graph = stored(program).module()
    for rows in (2, 5, 31):
        x = torch.linspace(-1, 1, rows * 6).reshape(rows, 6)
        results = []
        for form in (graph, model):
            torch.manual_seed(rows)
            results.append(form(x))
        torch.testing.assert_close(*results)


def test_a_program_keeps_its_rates() -> None:
    layer, x = Dropout(1.0), torch.ones(50)
    program = torch.export.export(layer, (x,)).module()
    layer.p = 0.0
    assert not program(x).any()
