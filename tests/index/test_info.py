import json
import shutil

import pytest

from index import Index
from index.info import main
from index.relabel import main as relabel
from index.remove import main as remove


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


@pytest.mark.parametrize("journal", [0, 100])
def test_as_much_of_the_journal_as_is_asked_for(built, journal, capsys):
    assert len(main(built, journal=journal)["journal"]) == min(journal, 1)
