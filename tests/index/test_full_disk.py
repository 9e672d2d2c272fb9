"""A disk that becomes full in the middle of a change, which is made so by a limit on the size of files."""

import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest

from index import Index
from index.check import main as check
from tests.index.conftest import commit_vectors, unit
from tests.index.forty import embeddings

VECTORS = unit(np.random.default_rng(5).normal(size=(3000, 8)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three thousand references, whose files are larger than what the limit lets through."""
    return commit_vectors(tmp_path_factory.mktemp("full") / "a.index", VECTORS, thumbnail=b"")


@pytest.mark.parametrize("limit", [500, 5_000, 20_000, 60_000])
@pytest.mark.parametrize(
    "command",
    [
        ("index.rebuild", "--kind", "hnsw"),
        ("index.rebuild",),
        ("index.add", "--on-conflict", "both"),
        ("index.remove", "--label", "label-1"),
    ],
)
def test_a_full_disk_changes_nothing(command, limit, folder, tmp_path):
    """Either the change is done, or it is refused in one line and the index is what it was."""
    copy = tmp_path / "b.index"
    shutil.copytree(folder, copy)
    if command == ("index.rebuild",):
        subprocess.run([sys.executable, "-m", "index.remove", copy, "--label", "label-2"], check=True)
    more = [embeddings(tmp_path / "more", list(range(40)), ["new"] * 40)] if command[0] == "index.add" else []
    before = Index.open(copy)

    def almost_full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    line = [sys.executable, "-X", "faulthandler", "-m", command[0], str(copy), *map(str, more), *command[1:]]
    done = subprocess.run(line, preexec_fn=almost_full, capture_output=True, text=True, check=False)
    after = Index.open(copy)
    assert done.returncode in {0, 2}, done.stderr
    if done.returncode == 0:
        assert after.generation == before.generation + 1
    else:
        assert after.generation == before.generation
        assert "Traceback" not in done.stderr
        assert "File too large" in done.stderr.splitlines()[-1]
        assert not [*copy.glob("staging-*")]
    check(copy)
