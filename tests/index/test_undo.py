"""The last change taken back."""

import pytest

from eval.errors import InputError
from index import Index
from index.journal import JOURNAL
from index.relabel import main as relabel
from index.undo import main as undo
from tests.index.conftest import commit_vectors
from tests.index.forty import VECTORS, put


def test_an_undo_says_what_it_takes_back(empty, capsys):
    put(empty, [0, 1], ["a", "b"])
    relabel(empty, label="b", to="a")
    capsys.readouterr()
    undo(empty, dry_run=True)
    assert capsys.readouterr().out.endswith(
        ": would be: taken back generation 4 (relabel), references 2; generation 4\n"
    )
    undo(empty)
    undo(empty)
    assert capsys.readouterr().out.endswith(": taken back generation 5 (undo), references 2; generation 6\n")


def test_an_undo_with_a_journal_that_has_been_cut(empty):
    put(empty, [0], ["a"])
    (empty / JOURNAL).write_bytes(b"")
    assert undo(empty).details["taken_back"] == {"generation": 3, "command": "unknown"}
    assert Index.open(empty).count == 0


def test_nothing_to_undo(tmp_path):
    folder = commit_vectors(tmp_path / "a.index", VECTORS)
    with pytest.raises(InputError, match="is at generation 1 and keeps no generation before it"):
        undo(folder)
