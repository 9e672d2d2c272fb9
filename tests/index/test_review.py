"""The command that lists what is worth a look: what it says, what it writes, and that it changes nothing."""

import csv
import json
import shlex
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from eval.command import parse
from eval.errors import InputError
from index import Index, review, sheets
from index.build import main as build
from index.commit import writing
from index.journal import Change
from index.relabel import main as relabel
from index.remove import main as remove
from index.review import COLUMNS, main
from tests.index.conftest import commit_vectors, unit, write_photo


@pytest.fixture
def folder(tiny_embedder, tmp_path):
    """Five photos of each of four classes, a wrong label, a photo under two labels, a resized copy, and a lone one."""
    root = tmp_path / "photos"
    for number in range(20):
        write_photo(root / f"class-{number % 4}" / f"{number:02}.png", number % 4, number)
    (root / "class-1" / "02.png").write_bytes((root / "class-0" / "00.png").read_bytes())
    Image.open(root / "class-3" / "03.png").resize((80, 60)).save(root / "class-3" / "large.png")
    write_photo(root / "class-0" / "wrong.png", 2, 100)
    write_photo(root / "lone one" / "00.png", 9, 101)
    return build(tiny_embedder, str(root), out=tmp_path / "my birds.index", on_conflict="both")


def contents(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_everything_that_is_wrong_is_found_and_nothing_changed(folder, capsys):
    before = contents(folder)
    found = main(folder, json=True)
    told = json.loads(capsys.readouterr().out)
    assert contents(folder) == before
    index = Index.open(folder)
    paths = index.table["path"].to_pylist()
    assert {(paths[one.row], one.elected) for one in found.doubts[:2]} == {
        ("class-0/wrong.png", "class-2"),
        ("class-1/02.png", "class-0"),
    }
    assert [[paths[row] for row in one.rows] for one in found.copies] == [
        ["class-0/00.png", "class-1/02.png"],
        ["class-3/03.png", "class-3/large.png"],
    ]
    assert [one.label for one in found.thin] == ["lone one"]
    assert told["lone"] == 1
    assert {name: told[name] for name in ("references", "classes", "looked_at")} == {
        "references": 24,
        "classes": 5,
        "looked_at": 24,
    }
    assert {kind: len(told[kind]) for kind in COLUMNS} == {
        "doubts": len(found.doubts),
        "copies": 4,
        "misleading": len(found.misleading),
        "thin": 1,
    }
    first = next(one for one in told["doubts"] if one["path"] == "class-0/wrong.png")
    assert (first["label"], first["elected"]) == ("class-0", "class-2")
    assert first["id"] == index.table["id"][first["row"]].as_py()
    vectors = index.vectors(np.arange(24)).astype(np.float64)
    cosines = vectors @ vectors[first["row"]]
    others = np.arange(24) != first["row"]
    assert first["similarity"] == pytest.approx(cosines[(index.labels == "class-2") & others].max(), abs=1e-6)
    assert first["own_similarity"] == pytest.approx(cosines[(index.labels == "class-0") & others].max(), abs=1e-6)


def test_names_stay_in_the_line_that_is_to_be_pasted(folder, capsys):
    relabel(folder, label="class-0", to="class\ntouch owned")
    main(folder)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith(r"# kept: class\ntouch owned, ") for line in lines)


def test_the_commands_that_it_prints_work(folder, capsys):
    """As they stand; what they correct is found no more."""
    main(folder, show=2)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("python -m")]
    assert [words[2] for words in commands[:4]] == ["index.relabel"] * 2 + ["index.remove"] * 2
    assert commands[-1] == ["python", "-m", "index.add", str(folder), "PHOTOS"]
    assert next(line.split()[2] for line in lines if line.startswith("# kept: ")) == "class-0,"
    assert commands[2][-1] == "class-1"
    wrong = next(words for words in commands[:2] if words[-1] == "class-2")
    for words in (wrong, commands[2], commands[3]):
        done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=True)
        assert ": relabelled 1;" in done.stdout or ": removed 1;" in done.stdout
    found = main(folder)
    paths = Index.open(folder).table["path"].to_pylist()
    assert not {"class-0/wrong.png", "class-1/02.png"} & {paths[one.row] for one in found.doubts}
    assert found.copies == []


def test_text_for_people(folder, capsys):
    found = main(folder, show=1, sample=10)
    few = len(found.looked_at)
    assert few < 10
    text = capsys.readouterr().out
    assert f"24 references, of which {few}, in classes that were drawn, were looked at" in text
    assert "--sample 0 for all" in text
    found = main(folder, show=1)
    text = capsys.readouterr().out
    assert "looked at" not in text
    assert f"Doubtful labels, the most doubtful first: {len(found.doubts)}; 1 more alone in their class" in text
    first = Index.open(folder).table["path"][found.doubts[0].row].as_py()
    assert f"  {first}: labelled {first.split('/')[0]} (nearest " in text
    assert f"  {len(found.doubts) - 1} more: --out FOLDER" in text
    assert "is enough: 2; 1 under several labels" in text
    assert "2 of class-0, class-1, similarity 1.000" in text
    assert "lone one: 1\n" in text
    main(folder, show=0)
    assert "python -m" not in capsys.readouterr().out


def test_tables_and_pictures(folder, tmp_path, capsys):
    out = tmp_path / "look"
    main(folder, json=True, out=out)
    told = json.loads(capsys.readouterr().out)
    for kind, columns in COLUMNS.items():
        with (out / f"{kind}.csv").open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        assert lines == [{name: str(line[name]) for name in columns} for line in told[kind]]
        assert (out / f"{kind}.png").exists() == bool(lines)
    assert {path.name for path in out.iterdir()} <= review.FILES
    assert Image.open(out / "doubts.png").width > 500
    main(folder, out=out)
    assert f"{out} is made already" in capsys.readouterr().err
    with pytest.raises(InputError, match="k was 10 and is now 3"):
        main(folder, out=out, k=3)
    relabel(folder, path="class-0/wrong.png", to="class-2")
    with pytest.raises(InputError, match="generation was 1 and is now 2"):
        main(folder, out=out)
    main(folder, out=out, overwrite=True)
    assert "wrong.png" not in (out / "doubts.csv").read_text()


def test_a_folder_is_whole_or_not_there(folder, tmp_path, monkeypatch):
    out = tmp_path / "look"

    def fails(*_):
        raise OSError("no space left")

    monkeypatch.setattr(review, "sheets", fails)
    with pytest.raises(OSError, match="no space left"):
        main(folder, out=out)
    assert [path.name for path in tmp_path.iterdir() if "look" in path.name] == []


def test_folders_of_others_stay(folder, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is not of the kind 'review'"):
        main(folder, out=tmp_path / "mine", overwrite=True)
    with pytest.raises(InputError, match="exists and is not of the kind 'review'"):
        main(folder, out=folder, overwrite=True)
    main(folder, out=tmp_path / "look")
    (tmp_path / "look" / "note.txt").write_text("mine")
    with pytest.raises(InputError, match=r"note\.txt in it would be lost"):
        main(folder, out=tmp_path / "look", overwrite=True)


def test_what_was_removed_and_relabelled_is_respected(folder):
    remove(folder, label="class-3")
    relabel(folder, label="class-2", to="class-5")
    found = main(folder)
    index = Index.open(folder)
    assert found.looked_at.tolist() == np.flatnonzero(index.kept).tolist()
    assert len(found.looked_at) == 18
    assert [one.elected for one in found.doubts] == ["class-0", "class-5"]
    assert {row for one in found.copies for row in one.rows} <= {*found.looked_at.tolist()}


@pytest.mark.parametrize("thumbnail", [b"", b"no JPEG %d"])
def test_references_without_pictures(tmp_path, thumbnail):
    vectors = unit(np.random.default_rng(0).normal(size=(12, 8)))
    vectors[3] = vectors[0]
    folder = commit_vectors(tmp_path / "a.index", vectors, thumbnail=thumbnail)
    found = main(folder, out=tmp_path / "look")
    assert [one.rows for one in found.copies] == [[0, 3]]
    index = Index.open(folder)
    row = sheets._together(index, [0, 3], "2 photos")
    reason = "no picture" if not thumbnail else "is not an image that can be read (no photo format that is known)"
    assert [row.query, *(tile.image for tile in row.tiles)] == [reason, reason]


@pytest.fixture
def mixed(tmp_path):
    """An index of three labels that have nothing to do with the vectors, one of them rare."""
    labels = [f"label-{row % 3}" if row < 24 or row % 3 else "label-1" for row in range(60)]
    return commit_vectors(tmp_path / "mixed.index", unit(np.random.default_rng(0).normal(size=(60, 8))), labels)


def test_a_sheet_shows_the_nearest_of_the_own_label(mixed):
    relabel(mixed, label="label-1", to="new")
    found, index = main(mixed), Index.open(mixed)
    voted = 0
    for one in found.doubts:
        row = sheets._doubt(index, found, one)
        voters = found.voters.rows[found.looked_at.tolist().index(one.row)].tolist()
        assert row.title == index.label(one.row)
        among = one.own.row in voters[:6]
        voted += among
        first = [index.label(voter) for voter in voters[: 6 if among else 5]]
        assert [tile.caption for tile in row.tiles] == [*first, *([] if among else ["nearest of its own label"])]
        assert [tile.frame == "same" for tile in row.tiles][: len(first)] == [label == row.title for label in first]
        assert [tile.ranked for tile in row.tiles] == [True] * len(first) + [False] * (not among)
        assert one.own.similarity in [tile.similarity for tile in row.tiles if tile.frame == "same"]
    assert 0 < voted < len(found.doubts)
    assert "new" in {tile.caption for one in found.doubts for tile in sheets._doubt(index, found, one).tiles}


def test_commands_name_the_label_only_where_a_photo_may_have_several(mixed, capsys):
    main(mixed)
    text = capsys.readouterr().out
    assert "index.re" in text
    assert "--label" not in text


def test_commands_for_labels_that_begin_as_options_do(mixed, capsys):
    for number in range(3):
        relabel(mixed, label=f"label-{number}", to=f"--to-{number}")
    with writing(mixed) as writer:
        writer.commit(replace(writer.before, shared_ids=True), Change("test"))
    capsys.readouterr()
    main(mixed)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    commands = [shlex.split(line, comments=True)[3:] for line in lines if line.startswith("python -m index.re")]
    assert commands
    for words in commands:
        given = parse(relabel if words[-1].startswith("--to=") else remove, words)[1]
        assert given["label"].startswith("--to-")
        assert given.get("to", "--to-").startswith("--to-")


@pytest.mark.parametrize("name", ["-one", "--id", "one two"])
def test_commands_for_ids_that_begin_as_options_do(mixed, name):
    index = Index.open(mixed)
    index.table = index.table.set_column(0, "id", pa.array([name] * len(index.table)))
    words = shlex.split(review._command(index, "remove", 0))[3:]
    assert parse(remove, words)[1]["id"] == name


def test_an_index_of_one_class(tmp_path, capsys):
    folder = commit_vectors(tmp_path / "a.index", unit(np.random.default_rng(0).normal(size=(7, 8))), ["a"] * 7)
    main(folder)
    text = capsys.readouterr().out
    assert "Doubtful labels, the most doubtful first: 0\n" in text
    assert "Thin classes, which need more photos: 0\n" in text


def test_fewer_than_nothing_cannot_be_shown(folder):
    with pytest.raises(InputError, match="show is -1"):
        main(folder, show=-1)
