"""Fixtures of the API port."""

import logging
from collections.abc import Callable

import pytest


@pytest.fixture(name="logged")
def _logged(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Everything that was logged, down to debug."""
    caplog.set_level(logging.DEBUG)
    return lambda: caplog.text
