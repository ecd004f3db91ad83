"""The NumPy reference against values that share no code with it: the published answers, and tests/vectors/write.py."""

from __future__ import annotations

import runpy

import numpy as np
import pytest
from tests.vectors import read

from thinned.noise import bernoulli, fold_in, normal, philox, scale, threshold, uniform


def test_generator_gives_the_published_answers() -> None:
    answers = read.known_answers()
    assert len(answers) == 3
    for counter, key, output in answers:
        assert philox(counter, key).tolist() == output


@pytest.mark.long
def test_committed_files_are_what_the_script_writes() -> None:
    texts = runpy.run_path(str(read.HERE / "write.py"))["texts"]()
    assert sorted(texts) == sorted(path.name for path in read.HERE.glob("noise-1-*.txt"))
    for name, text in texts.items():
        assert (read.HERE / name).read_text() == text, f"{name} is not what write.py writes"


def test_child_keys() -> None:
    cases = read.children()
    assert len(cases) == 70
    for key, n, child in cases:
        assert fold_in(key, n) == child


@pytest.mark.parametrize("case", read.masks(), ids=str)
def test_mask(case: read.Mask) -> None:
    assert threshold(case.p) == case.threshold
    assert scale(case.p) == case.scale
    assert case.agrees(bernoulli(case.key, case.p, case.shape, **case.block))


@pytest.mark.parametrize("case", read.fields(), ids=str)
def test_field(case: read.Field) -> None:
    assert np.array_equal(uniform(case.key, case.shape, **case.block), case.uniform)
    found = normal(case.key, case.shape, **case.block)
    assert found.shape == case.shape
    assert np.abs(found - case.normal).max(initial=0.0) <= 1e-6


def test_a_wrong_bit_is_noticed() -> None:
    for case in read.masks():
        mask = bernoulli(case.key, case.p, case.shape, **case.block)
        if mask.size:
            mask.flat[-1] ^= True
            assert not case.agrees(mask)
