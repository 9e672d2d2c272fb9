"""Changes of an index, against a dictionary of what it should hold."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.folders import File
from index import Index
from index.add import add
from index.changes import LARGEST_JOINED
from index.check import main as check
from index.journal import JOURNAL, Change, read_journal
from index.merge import main as merge
from index.relabel import main as relabel
from index.remove import main as remove
from index.selection import select
from index.source import index_source, photos_source
from index.undo import main as undo
from tests.index.conftest import commit_vectors, unit, write_photo
from tests.index.forty import NAMES, VECTORS, embeddings, held, put


def test_what_is_added_one_by_one_is_joined(empty, tmp_path):
    seen = []
    for number in range(12):
        put(empty, [number], ["a"])
        seen.append([segment.count for segment in Index.open(empty).manifest.segments])
    assert seen == [[2], [2, 1], [4], [4, 1], [4, 2], [4, 2, 1], [8], [8, 1], [8, 2], [8, 2, 1], [8, 4], [8, 4, 1]]
    index = Index.open(empty)
    found = index.search(VECTORS[:12], 1)
    assert [index.table["id"][int(row)].as_py() for row in found.rows[:, 0]] == NAMES[:12]


def test_large_segments_are_left_alone(tmp_path, monkeypatch):
    many = unit(np.random.default_rng(1).normal(size=(LARGEST_JOINED + 1, 8)))
    folder = commit_vectors(tmp_path / "a.index", many, images_root=str(tmp_path))
    big = Index.open(folder).manifest.segments[0]
    more = [f"f{number:031x}" for number in range(len(many))]
    table = pa.table({"id": more, "label": ["a"] * len(more), "path": more})
    EmbeddingSet(-many, table, "tiny").save(tmp_path / "more", made_from={}, images_root=None, left_out=[])
    opened = Index.open(folder)
    source = photos_source(opened, str(tmp_path / "more"), "all", "auto", "error", "skip")
    add(opened, source, Change("add"), "error", relabel=False, dry_run=False)
    assert Index.open(folder).manifest.segments[0] == big
    assert len(Index.open(folder).manifest.segments) == 2


def test_two_additions_at_once_both_count(empty, monkeypatch):
    """The second one has looked at the index before the first one commits."""
    opened = Index.open(empty)
    source = photos_source(
        opened, str(embeddings(empty.parent / "late", [0, 1, 2], ["a", "b", "c"])), "all", "auto", "first", "skip"
    )
    put(empty, [1, 3], ["b", "a"])
    change = add(opened, source, Change("add"), "first", relabel=False, dry_run=False)
    assert change.counts == {"added": 2, "there_already": 1}
    assert held(empty) == {(NAMES[0], "a"), (NAMES[1], "b"), (NAMES[2], "c"), (NAMES[3], "a")}
    check(empty)


def test_another_embedder_meanwhile_is_refused(empty, monkeypatch):
    opened = Index.open(empty)
    source = photos_source(opened, str(embeddings(empty.parent / "v", [0], ["a"])), "all", "auto", "first", "skip")
    commit_vectors(empty, VECTORS[:1], fingerprint="other")
    with pytest.raises(InputError, match="has been built anew meanwhile"):
        add(opened, source, Change("add"), "first", relabel=False, dry_run=False)


def test_vectors_of_another_embedder_are_refused(empty):
    folder = embeddings(empty.parent / "other", [0], ["a"], fingerprint="other")
    with pytest.raises(InputError, match="made by the embedder other, those of the index by tiny"):
        photos_source(Index.open(empty), str(folder), "all", "auto", "error", "skip")


def test_a_conflict_names_both_labels_and_the_remedy(empty):
    put(empty, [0], ["a"])
    with pytest.raises(InputError, match=r"0.jpg as 'b' is in the index already as 'a' .* say --relabel, or --on-conf"):
        put(empty, [0], ["b"], on_conflict="error")
    assert held(empty) == {(NAMES[0], "a")}


@pytest.mark.parametrize("command", ["add", "remove", "relabel", "undo", "merge"])
def test_a_dry_run_says_the_same_and_does_nothing(command, empty, tmp_path, capsys):
    put(empty, [0, 1, 2], ["a", "b", "a"])
    other = shutil.copytree(empty, tmp_path / "other.index")
    put(other, [5], ["c"])
    before = {path.name: path.read_bytes() for path in empty.iterdir()}
    calls = {
        "add": lambda dry: put(empty, [3, 4, 0], ["a", "b", "a"], dry_run=dry),
        "remove": lambda dry: remove(empty, label="a", dry_run=dry),
        "relabel": lambda dry: relabel(empty, label="a", to="z", dry_run=dry),
        "undo": lambda dry: undo(empty, dry_run=dry),
        "merge": lambda dry: merge(empty, other, dry_run=dry),
    }
    capsys.readouterr()
    would = calls[command](True)
    assert "would be" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in empty.iterdir()} == before
    assert calls[command](False) == would
    assert "would be" not in capsys.readouterr().out


def test_a_merge_of_another_embedder_is_refused(built, other_embedder, photos, tmp_path):
    """And what the error says to do helps."""
    from index.build import main as build
    from index.rebuild import main as rebuild

    folder, other = shutil.copytree(built, tmp_path / "a.index"), tmp_path / "other.index"
    build(other_embedder, str(photos), out=other)
    with pytest.raises(InputError) as error:
        merge(folder, other)
    told, command = str(error.value).split("; give it that first: python -m index.rebuild ")
    assert told == f"{other} was made by the embedder other, {folder} by tiny"
    name, embedder = command.split(" --embedder ")
    rebuild(Path(name), embedder=Path(embedder))
    assert merge(folder, other).counts == {"there_already": 20}


def test_fingerprints_are_told_in_short(empty):
    folder = embeddings(empty.parent / "other", [0], ["a"], fingerprint="0123456789abcdef" * 4)
    with pytest.raises(InputError, match="made by the embedder 0123456789abcdef, those of the index by tiny"):
        photos_source(Index.open(empty), str(folder), "all", "auto", "error", "skip")


def test_a_merge_brings_references_thumbnails_and_paths(empty, tmp_path, random_vectors):
    other = commit_vectors(tmp_path / "deep" / "other.index", random_vectors(4), images_root=str(tmp_path / "deep"))
    remove(other, path="2.jpg")
    merge(empty, other)
    index = Index.open(empty)
    rows = np.flatnonzero(index.kept).tolist()
    assert [index.table["path"][row].as_py() for row in rows] == ["deep/0.jpg", "deep/1.jpg", "deep/3.jpg"]
    assert [index.thumbnail(row) for row in rows] == [b"JPEG of 0", b"JPEG of 1", b"JPEG of 3"]
    merge(empty, other)
    assert Index.open(empty).generation == index.generation
    with pytest.raises(InputError, match="cannot be merged with itself"):
        merge(empty, empty)


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


def test_a_new_label_is_told(empty, capsys):
    put(empty, [0, 1, 2], ["Mallard", "Mallard", "Teal"])
    relabel(empty, label="Teal", to="Mallard")
    assert capsys.readouterr().err == ""
    relabel(empty, id=NAMES[0], to="Malard", dry_run=True)
    assert capsys.readouterr().err == "'Malard' is a new label; the nearest that is there is 'Mallard'\n"
    relabel(empty, id=NAMES[0], to="Wigeon")
    assert capsys.readouterr().err == "'Wigeon' is a new label\n"


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


def test_a_readers_generation_stays(empty):
    put(empty, [0, 1], ["a", "b"])
    reader = Index.open(empty)
    remove(empty, label="a")
    put(empty, [2], ["c"])
    assert reader.count == 2
    assert reader.label(int(reader.search(VECTORS[:1], 1).rows[0, 0])) == "a"


def test_photos_of_a_folder_are_embedded_and_said_where_they_lie(built, photos, tmp_path, capsys):
    from index.add import main

    folder = shutil.copytree(built, tmp_path / "birds.index")
    for number in (50, 51):
        write_photo(tmp_path / "new" / "class-9" / f"{number}.png", 9, number)
    (tmp_path / "new" / "class-9" / "bad.png").write_bytes(b"no photo")
    shutil.copy(photos / "class-0" / "00.png", tmp_path / "new" / "class-9" / "known.png")
    with pytest.raises(InputError, match="as 'class-9' is in the index already as 'class-0'"):
        main(folder, str(tmp_path / "new"))
    change = main(folder, str(tmp_path / "new"), on_conflict="first")
    assert change.counts == {"added": 2, "conflicts": 1, "unreadable": 1}
    output = capsys.readouterr()
    assert "left out, because they cannot be read: 1" in output.err
    answer = Index.open(folder).query(tmp_path / "new" / "class-9" / "50.png", 3)
    first = answer.neighbours[0]
    assert (first.label, first.same_photo) == ("class-9", True)
    assert (photos / first.path).resolve() == (tmp_path / "new" / "class-9" / "50.png").resolve()
    assert Index.open(folder).thumbnail(first.row).startswith(b"\xff\xd8")
    again = main(folder, str(tmp_path / "new"), on_conflict="first")
    assert again.counts == {"there_already": 2, "conflicts": 1, "unreadable": 1}
    assert Index.open(folder).generation == 2


def some_rows(folder, name, **columns):
    """An embeddings folder of two photos with other columns, and other types, than usual."""
    table = {"id": NAMES[:2], "label": ["a", "b"], "path": ["0.jpg", "1.jpg"], **columns}
    EmbeddingSet(VECTORS[:2], pa.table(table), "tiny").save(
        folder.parent / name, made_from={}, images_root=None, left_out=[]
    )
    return str(folder.parent / name)


@pytest.mark.parametrize(
    "columns",
    [
        {"note": pa.array([1, 2])},
        {"id": pa.array([7, 8]), "note": ["x", "y"]},
        {"label": pa.array([3, 4])},
        {"trained_on": [True, False], "picture_hash": pa.array([1, 2], pa.int64())},
        {"path": pa.array([None, None], pa.string())},
    ],
)
def test_columns_of_any_type_fit_together(empty, columns):
    from index.add import main

    main(empty, some_rows(empty, "first", note=["p", "q"]))
    remove(empty, label="a")
    main(empty, some_rows(empty, "second", **{"id": NAMES[4:6], **columns}))
    check(empty)
    assert Index.open(empty).count == 3
    assert Index.open(empty).search(VECTORS[:1], 3).rows.shape == (1, 3)


@pytest.mark.parametrize("relabel", [True, False])
def test_an_empty_label_is_none(empty, relabel):
    from index.add import main

    before = Index.open(empty).manifest
    with pytest.raises(InputError, match=r"row 1 of what is to be added has no label \(1 in all\)"):
        main(empty, some_rows(empty, "nameless", label=["a", ""]), relabel=relabel)
    assert Index.open(empty).manifest == before


def test_a_column_that_cannot_be_kept_is_named(empty):
    from index.add import main

    with pytest.raises(InputError, match=r"the column 'note' is list<.*>, which an index cannot keep"):
        main(empty, some_rows(empty, "first", note=[[1], [2]]))


def test_what_is_damaged_is_not_written_anew(empty, monkeypatch):
    monkeypatch.setattr(File.check, "__defaults__", (0,))
    monkeypatch.setattr("eval.folders.File.check.__defaults__", (0,))
    put(empty, [0, 1, 2], ["a", "b", "c"])
    segment = Index.open(empty).manifest.segments[-1]
    path = empty / segment.vectors
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InputError, match=f"{segment.vectors} is damaged: its checksum is wrong"):
        put(empty, [3, 4, 5, 6, 7, 8], ["a"] * 6)
    path.write_bytes(whole)
    put(empty, [3, 4, 5, 6, 7, 8], ["a"] * 6)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    generation = Index.open(empty).generation
    with pytest.raises(InputError, match=f"{segment.vectors} is damaged: its checksum is wrong"):
        undo(empty)
    assert Index.open(empty).generation == generation


def test_any_label_is_kept_and_told(empty):
    put(empty, [0], ["a"])
    for name in ("x\u2028y\u0085z", "a\nb", "\u202e\U0001f426"):
        relabel(empty, id=NAMES[0], to=name)
        assert held(empty) == {(NAMES[0], name)}
        entries = read_journal(empty, Index.open(empty).manifest.journal)
        assert entries[-1]["to"] == name
    check(empty)
    undo(empty)


def test_a_journal_that_is_gone_begins_anew(empty):
    (empty / "journal.jsonl").unlink()
    put(empty, [0], ["a"])
    assert [one["command"] for one in read_journal(empty, Index.open(empty).manifest.journal)] == ["add"]
    undo(empty)
    check(empty)


def test_one_photo_with_a_good_and_a_bad_box(built, tmp_path, photos, capsys):
    from index.add import main

    folder = shutil.copytree(built, tmp_path / "birds.index")
    for name, seed in (("p.png", 71), ("q.png", 72)):
        write_photo(tmp_path / name, 9, seed)
    lines = ['p.png,aa,"0 0 30 30"', 'p.png,bb,"500 500 600 600"', "q.png,cc,"]
    (tmp_path / "table.csv").write_text("path,label,box\n" + "\n".join(lines) + "\n")
    capsys.readouterr()
    main(folder, str(tmp_path / "table.csv"), dry_run=True)
    assert "would be: added up to 3 (photos are not opened); generation 1" in capsys.readouterr().out
    change = main(folder, str(tmp_path / "table.csv"))
    assert change.counts == {"added": 2, "unreadable": 1}
    assert ": added 2, unreadable 1; generation 2" in capsys.readouterr().out
    assert {*Index.open(folder).labels[-2:]} == {"aa", "cc"}
    check(folder)


def test_a_root_that_is_a_link(tiny_embedder, photos, tmp_path):
    from index.add import main
    from index.build import main as build

    (tmp_path / "deep" / "er").mkdir(parents=True)
    real = shutil.copytree(photos, tmp_path / "deep" / "er" / "photos")
    (tmp_path / "link").symlink_to(real)
    folder = build(tiny_embedder, str(tmp_path / "link"), out=tmp_path / "a.index")
    write_photo(tmp_path / "more" / "class-9" / "0.png", 9, 5)
    main(folder, str(tmp_path / "more"))
    check(folder, deep=True)
    assert len(select(Index.open(folder), label=None, id=None, path=str(tmp_path))) == 21
    assert len(select(Index.open(folder), label=None, id=None, path=str(tmp_path / "link"))) == 20
    assert len(select(Index.open(folder), label=None, id=None, path=".")) == 20


def test_an_index_built_anew_elsewhere_meanwhile_is_refused(empty):
    opened = Index.open(empty)
    source = photos_source(opened, str(embeddings(empty.parent / "v", [0], ["a"])), "all", "auto", "first", "skip")
    commit_vectors(empty, VECTORS[:1], images_root="/elsewhere")
    with pytest.raises(InputError, match="has been built anew meanwhile"):
        add(opened, source, Change("add"), "first", relabel=False, dry_run=False)


def test_both_labels_and_the_new_one_cannot_be_had(empty):
    with pytest.raises(InputError, match="--relabel and --on-conflict both contradict each other"):
        put(empty, [0], ["a"], relabel=True, on_conflict="both")


def test_an_empty_index_can_be_merged(empty, tmp_path):
    put(empty, [0], ["a"])
    other = commit_vectors(tmp_path / "other.index", VECTORS[:1], labels=["x"], thumbnail=b"")
    remove(other, label="x")
    assert merge(empty, other).counts == {}


def test_a_picture_of_references_whose_photos_are_gone(built, photos, tmp_path):
    from index.add import main
    from index.query import main as query

    folder = shutil.copytree(built, tmp_path / "birds.index")
    opened = Index.open(folder)
    vector = opened.embedder.embed([photos / "class-0" / "00.png"])
    one = EmbeddingSet(vector, pa.table({"id": ["f" * 32], "label": ["class-0"]}), opened.fingerprint)
    one.save(tmp_path / "one", made_from={}, images_root=None, left_out=[])
    main(folder, str(tmp_path / "one"))
    query(folder, photos / "class-0" / "00.png", picture=tmp_path / "answers.png")
    with pytest.raises(InputError, match=r"1 cannot be read .*such as f{32}"):
        check(folder, deep=True)


def test_somebody_elses_staging_folder_does_not_fail_a_commit(empty, monkeypatch):
    from index import commit as room

    (empty / "staging-somebody").mkdir()

    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr(room, "_remove_abandoned", refuse)
    put(empty, [0], ["a"])
    assert held(empty) == {(NAMES[0], "a")}


def test_no_command_needs_torch(built, photos, tmp_path):
    """Each in a process of its own would take half a minute; what one of them loads, all of them show."""
    folder = shutil.copytree(built, tmp_path / "birds.index")
    other = shutil.copytree(built, tmp_path / "other.index")
    write_photo(tmp_path / "new" / "class-9" / "0.png", 9, 50)
    script = f"""
import sys
from pathlib import Path
from index import add, check, info, merge, relabel, remove, review, undo
folder, new = Path({str(folder)!r}), {str(tmp_path / "new")!r}
add.main(folder, new)
relabel.main(folder, path=new, to="other")
remove.main(folder, label="class-1")
undo.main(folder)
merge.main(folder, Path({str(other)!r}))
check.main(folder, deep=True)
info.main(folder)
review.main(folder, out=folder.with_name("look"))
print(sorted({{"torch", "torchvision", "umap", "numba", "matplotlib"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["remove", "{index}"], "say which references"),
        (["remove", "{index}", "--label", "class-8"], "unknown label 'class-8'; did you mean 'class-"),
        (["undo", "{index}"], "keeps no generation before it"),
        (["add", "{index}", "{nothing}"], "does not exist"),
        (["add", "{index}", "{index}"], "is an index; merge it: python -m index.merge"),
        (["merge", "{index}", "{nothing}"], "does not exist; give a folder made by index.build"),
        (["relabel", "{index}", "--label", "class-1", "--to", ""], "the new label is empty"),
        (["check", "{index}", "--sample", "0"], "it must be at least 1"),
        (["calibrate", "{index}"], "references are photos that the embedder was not trained on; 200 are the least"),
        (["calibrate", "{nothing}"], "does not exist"),
        (["info", "{nothing}"], "does not exist"),
        (["review", "{nothing}"], "does not exist"),
        (["review", "{index}", "--k", "0"], "k is 0; it must be at least 1"),
        (["review", "{index}", "--out", "{index}"], "exists and is not of the kind 'review'"),
    ],
)
def test_mistakes_are_one_line(built, tmp_path, arguments, message):
    before = {path.name: path.read_bytes() for path in built.iterdir() if path.name != "index.lock"}
    words = [word.format(index=built, nothing=tmp_path / "nothing") for word in arguments]
    command = [sys.executable, "-m", f"index.{words[0]}", *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in built.iterdir() if path.name != "index.lock"} == before
    assert not (tmp_path / "nothing").exists()


def test_a_damaged_index_is_not_merged(empty, tmp_path, monkeypatch):
    other = commit_vectors(tmp_path / "other.index", VECTORS[:5])
    path = other / Index.open(other).manifest.segments[0].vectors
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    monkeypatch.setattr(File.check, "__defaults__", (0,))
    with pytest.raises(InputError, match=rf"{path.name} is damaged: its checksum is wrong"):
        merge(empty, other)


def test_an_index_that_others_change_is_merged_as_it_was_opened(empty, tmp_path):
    folder = commit_vectors(tmp_path / "other.index", VECTORS[:6], labels=[*"abcabc"])
    other = Index.open(folder)
    remove(folder, label="a")
    source = index_source(Index.open(empty), other, "error")
    (batch,) = source.references(range(6))
    assert batch.embeddings.labels == [*"abcabc"]
    np.testing.assert_array_equal(batch.embeddings.vectors, VECTORS[:6])
    assert batch.extras == [b"JPEG of %d" % row for row in range(6)]


def test_the_vectors_of_another_index_are_read_a_few_at_a_time(tmp_path, random_vectors, add_vectors, monkeypatch):
    """It has two segments, and of each one reference is gone."""
    from index import source

    monkeypatch.setattr(source, "AT_ONCE", 2)
    vectors = random_vectors(8)
    for part in np.split(vectors, 2):
        add_vectors(tmp_path / "other.index", part, thumbnail=b"")
    for row in (1, 6):
        remove(tmp_path / "other.index", id=f"{row:032x}")
    other, read = Index.open(tmp_path / "other.index"), []
    real = other._read
    monkeypatch.setattr(other, "_read", lambda rows: read.append(len(rows)) or real(rows))
    index = Index.open(add_vectors(tmp_path / "a.index", random_vectors(1)))
    batches = [*index_source(index, other, "error").references(range(6))]
    assert max(read) == 2
    assert [name for batch in batches for name in batch.embeddings.ids] == [f"{row:032x}" for row in (0, 2, 3, 4, 5, 7)]
    np.testing.assert_array_equal(np.vstack([one.embeddings.vectors for one in batches]), vectors[[0, 2, 3, 4, 5, 7]])
