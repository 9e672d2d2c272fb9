"""Who changed what, and when."""

from index import Index
from index.check import main as check
from index.journal import read_journal
from index.relabel import main as relabel
from index.undo import main as undo
from tests.index.forty import put


def test_the_journal_says_who_did_what(empty):
    put(empty, [0, 1], ["a", "b"])
    relabel(empty, label="b", to="a")
    undo(empty)
    index = Index.open(empty)
    entries = read_journal(empty, index.manifest.journal)
    assert [entry["command"] for entry in entries] == ["build", "remove", "add", "relabel", "undo"]
    assert [entry["generation"] for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[2]["added"] == 2
    assert entries[3]["of"] == {"label": "b"}
    assert entries[4]["taken_back"] == {"generation": 4, "command": "relabel"}
    assert all("@" in entry["by"] for entry in entries)


def test_the_line_of_a_commit_that_was_not_completed_does_not_count(empty):
    with (empty / "journal.jsonl").open("ab") as file:
        file.write(b'{"generation": 3, "comma' + b" " * 1000)
    put(empty, [0], ["a"])
    entries = read_journal(empty, Index.open(empty).manifest.journal)
    assert [entry["generation"] for entry in entries] == [1, 2, 3]
    assert (empty / "journal.jsonl").stat().st_size == Index.open(empty).manifest.journal


def test_a_journal_that_is_gone_begins_anew(empty):
    (empty / "journal.jsonl").unlink()
    put(empty, [0], ["a"])
    assert [one["command"] for one in read_journal(empty, Index.open(empty).manifest.journal)] == ["add"]
    undo(empty)
    check(empty)
