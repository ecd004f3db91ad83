"""Keras's own tests of its dropout layers, which its package brings along, with ours in their place."""

from __future__ import annotations

import importlib
import unittest
from typing import Any

import keras
import pytest
from keras.src import layers

import thinned.interop.keras as tk

FILES = ("dropout_test", "alpha_dropout_test", "gaussian_dropout_test", "spatial_dropout_test")


def cases() -> list[Any]:
    found: list[Any] = []
    for file in FILES:
        module = importlib.import_module(f"keras.src.layers.regularization.{file}")
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, unittest.TestCase) and kind.__module__ == module.__name__:
                found += list(unittest.defaultTestLoader.loadTestsFromTestCase(kind))
    return [case for case in found if not case.id().endswith("test_session")]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id().rpartition(".")[2])
def test_it_passes(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the words of the errors, which are ours."""
    for name in ("Dropout", "AlphaDropout", "GaussianDropout", *(f"SpatialDropout{n}D" for n in (1, 2, 3))):
        monkeypatch.setattr(layers, name, getattr(tk, name))
    monkeypatch.setattr(case, "assertRaisesRegex", lambda error, words: pytest.raises(error))
    result = unittest.TestResult()
    case.run(result)
    assert result.testsRun == 1
    assert not result.skipped
    assert not result.errors + result.failures, (result.errors + result.failures)[0][1]


def test_there_are_all() -> None:
    assert len(cases()) == 31, keras.__version__
