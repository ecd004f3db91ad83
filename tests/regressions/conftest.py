"""`variant` and `keyed` mean here what they mean in tests/contract: a fault is looked for in every row of the table."""

from tests.contract.conftest import pytest_generate_tests

__all__ = ["pytest_generate_tests"]
