"""What integration tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for root file systems, that any user may pass through."""
    made = tmp_path_factory.mktemp("roots")
    made.chmod(0o755)
    return made
