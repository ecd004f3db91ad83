"""Examples of the tests by chance: the same few each time, or with `pytest --fuzz 20` twenty times as many others."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

times = 1  # conftest.py sets it before a test is imported


def fuzzed(examples: int) -> settings:
    """So many examples, the same ones each time, or `times` as many that are new each time."""
    return settings(
        max_examples=examples * times,
        derandomize=times == 1,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
