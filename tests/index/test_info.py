import json
import re
import shutil
from types import SimpleNamespace

import pytest

from index import Index
from index.calibrate import main as calibrate
from index.info import main
from index.journal import in_words
from index.rebuild import main as rebuild
from index.relabel import main as relabel
from index.remove import main as remove
from index.undo import main as undo
from tests.index.conftest import made


def test_everything_for_people_and_for_programs(built, tmp_path, capsys):
    folder = shutil.copytree(built, tmp_path / "birds.index")
    remove(folder, label="class-1")
    relabel(folder, path="class-2/02.png", to="other")
    capsys.readouterr()
    told = main(folder, json=True, journal=2)
    assert json.loads(capsys.readouterr().out) == told
    index = Index.open(folder)
    assert (told["references"], told["classes"], told["generation"]) == (15, 4, 3)
    assert (told["fewest_of_a_class"], told["most_of_a_class"]) == (1, 5)
    assert told["embedder"]["fingerprint"] == index.fingerprint
    assert (told["segments"], told["deleted"], told["label_changes"]) == ([20], 5, 1)
    assert told["bytes"]["in_all"] == sum(file.size for file in index.manifest.files.values())
    assert [entry["command"] for entry in told["journal"]] == ["remove", "relabel"]
    assert told["calibration"] is None
    main(folder)
    text = capsys.readouterr().out
    assert "15 of 4 classes, 1 to 5 a class" in text
    assert "relabel: relabelled 1" in text
    assert "calibration   none" in text


def test_the_journal_in_words(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Index, "embedder", SimpleNamespace(summary={}))
    folder = made(tmp_path / "a.index")
    calibrate(folder, coverage=0.8, sure=0.75)
    relabel(folder, label="class-01", to="class-00")
    undo(folder)
    rebuild(folder)
    capsys.readouterr()
    main(folder)
    text = capsys.readouterr().out
    for line in (
        f"calibrate: answers by neighbours, false accepts {Index.open(folder).calibration.false_accepts:.1%}, coverage "
        "80.0%, sure 75.0%",
        "relabel: relabelled 12, of label class-01, to class-00",
        "undo: references 288, taken back generation 4 (relabel)",
    ):
        assert f"  {line}\n" in text
    assert re.search(r"rebuild: references 288, kind auto, embedder tiny, 288 answers: right [\d.]+% before, ", text)
    assert "sure          labels of 75% or more" in text


def test_an_entry_in_words():
    digits = "0123456789abcdef" * 4
    answers = {"photos": 0, "right_before": float("nan"), "right_after": float("nan")}
    entry = {"generation": 3, "when": "now", "by": "me", "command": "rebuild", "embedder": digits, "answers": answers}
    assert in_words(entry) == "embedder 0123456789abcdef, no answers"
    assert in_words({"of": {"label": "a", "path": "b"}, "there_already": 2}) == "of label a and path b, there already 2"
    assert in_words({"command": "calibrate"}) == ""


@pytest.mark.parametrize("journal", [0, 100])
def test_as_much_of_the_journal_as_is_asked_for(built, journal, capsys):
    assert len(main(built, journal=journal)["journal"]) == min(journal, 1)
