"""What several test files share."""

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photos that lies beside a checkout; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("FIELDMARK_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real photos at {folder}; set FIELDMARK_DATA to where they are")
    return folder


def unit(vectors):
    """Vectors of unit length."""
    vectors = np.asarray(vectors, np.float64)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="session")
def random_vectors():
    """A function that draws N unit vectors of dimension D."""
    return lambda count, dimension=8, seed=0: unit(np.random.default_rng(seed).normal(size=(count, dimension)))


LONGEST = ("test_ranks", "test_readme", "test_trainer", "test_configs", "test_commit", "test_export", "test_tutorial")
"""Files that take minutes; begun last, one of them would keep all others waiting."""


def pytest_collection_modifyitems(items):
    """The longest files first; ``--no-loadscope-reorder`` leaves them so."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))
