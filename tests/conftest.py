"""What several test files share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photos that lies beside a checkout; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("FIELDMARK_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real photos at {folder}; set FIELDMARK_DATA to where they are")
    return folder
