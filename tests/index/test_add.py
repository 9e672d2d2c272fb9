"""Additions: what is joined, what is refused, what is told."""

import shutil

import numpy as np
import pyarrow as pa
import pytest

from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from index import Index, changes
from index.add import add, main
from index.changes import LARGEST_JOINED
from index.check import main as check
from index.journal import Change, read_journal
from index.relabel import main as relabel
from index.remove import main as remove
from index.selection import select
from index.source import photos_source
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


def test_no_more_than_some_large_segments_are_left_alone(empty, monkeypatch):
    monkeypatch.setattr(changes, "LARGEST_JOINED", 1)
    monkeypatch.setattr(changes, "MOST_LARGE", 4)
    for number in range(0, 36, 2):
        put(empty, [number, number + 1], ["a", "b"])
    assert len(Index.open(empty).manifest.segments) <= 8
    check(empty)


def test_large_segments_are_left_alone(tmp_path, monkeypatch):
    many = unit(np.random.default_rng(1).normal(size=(LARGEST_JOINED + 1, 8)))
    folder = commit_vectors(tmp_path / "a.index", many, images_root=str(tmp_path))
    big = Index.open(folder).manifest.segments[0]
    more = [f"f{number:031x}" for number in range(len(many))]
    table = pa.table({"id": more, "label": ["a"] * len(more), "path": more})
    EmbeddingSet(-many, table, "tiny").save(tmp_path / "more", made_from={}, images_root=None, left_out=[])
    opened = Index.open(folder)
    source = photos_source(opened, str(tmp_path / "more"), "all", "auto", "error", "skip")
    add(opened, source, Change("add"), on_conflict="error", relabel=False, dry_run=False)
    assert Index.open(folder).manifest.segments[0] == big
    assert len(Index.open(folder).manifest.segments) == 2


def test_photos_that_could_not_be_read_when_vectors_were_made_are_told(empty, tmp_path, capsys):
    one = EmbeddingSet(VECTORS[:1], pa.table({"id": NAMES[:1], "label": ["a"], "path": ["0.jpg"]}), "tiny")
    broken = {"path": "broken.jpg", "reason": "is empty"}
    one.save(tmp_path / "more", made_from={}, images_root=tmp_path, left_out=[broken])
    for dry_run in (True, False, False):  # the last of them adds nothing
        assert main(empty, str(tmp_path / "more"), dry_run=dry_run).counts["unreadable"] == 1
        assert "broken.jpg: is empty" in capsys.readouterr().err


def test_two_additions_at_once_both_count(empty, monkeypatch):
    """The second one has looked at the index before the first one commits."""
    opened = Index.open(empty)
    source = photos_source(
        opened, str(embeddings(empty.parent / "late", [0, 1, 2], ["a", "b", "c"])), "all", "auto", "first", "skip"
    )
    put(empty, [1, 3], ["b", "a"])
    change = add(opened, source, Change("add"), on_conflict="first", relabel=False, dry_run=False)
    assert change.counts == {"added": 2, "there_already": 1}
    assert held(empty) == {(NAMES[0], "a"), (NAMES[1], "b"), (NAMES[2], "c"), (NAMES[3], "a")}
    check(empty)


def test_another_embedder_meanwhile_is_refused(empty, monkeypatch):
    opened = Index.open(empty)
    source = photos_source(opened, str(embeddings(empty.parent / "v", [0], ["a"])), "all", "auto", "first", "skip")
    commit_vectors(empty, VECTORS[:1], fingerprint="other")
    with pytest.raises(InputError, match="has been built anew meanwhile"):
        add(opened, source, Change("add"), on_conflict="first", relabel=False, dry_run=False)


def test_vectors_of_another_embedder_are_refused(empty):
    folder = embeddings(empty.parent / "other", [0], ["a"], fingerprint="other")
    with pytest.raises(InputError, match="made by the embedder other, those of the index by tiny"):
        photos_source(Index.open(empty), str(folder), "all", "auto", "error", "skip")


def test_fingerprints_are_told_in_short(empty):
    folder = embeddings(empty.parent / "other", [0], ["a"], fingerprint="0123456789abcdef" * 4)
    with pytest.raises(InputError, match="made by the embedder 0123456789abcdef, those of the index by tiny"):
        photos_source(Index.open(empty), str(folder), "all", "auto", "error", "skip")


def test_a_conflict_names_both_labels_and_the_remedy(empty):
    put(empty, [0], ["a"])
    with pytest.raises(InputError, match=r"0.jpg as 'b' is in the index already as 'a' .* say --relabel, or --on-conf"):
        put(empty, [0], ["b"], on_conflict="error")
    assert held(empty) == {(NAMES[0], "a")}


def test_a_new_label_is_told(empty, capsys):
    put(empty, [0, 1, 2], ["Mallard", "Mallard", "Teal"])
    relabel(empty, label="Teal", to="Mallard")
    assert capsys.readouterr().err == ""
    relabel(empty, id=NAMES[0], to="Malard", dry_run=True)
    assert capsys.readouterr().err == "'Malard' is a new label; the nearest that is there is 'Mallard'\n"
    relabel(empty, id=NAMES[0], to="Wigeon")
    assert capsys.readouterr().err == "'Wigeon' is a new label\n"


def test_photos_of_a_folder_are_embedded_and_said_where_they_lie(built, photos, tmp_path, capsys):
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
    main(empty, some_rows(empty, "first", note=["p", "q"]))
    remove(empty, label="a")
    main(empty, some_rows(empty, "second", **{"id": NAMES[4:6], **columns}))
    check(empty)
    assert Index.open(empty).count == 3
    assert Index.open(empty).search(VECTORS[:1], 3).rows.shape == (1, 3)


@pytest.mark.parametrize("relabel", [True, False])
def test_an_empty_label_is_none(empty, relabel):
    before = Index.open(empty).manifest
    with pytest.raises(InputError, match=r"row 1 of what is to be added has no label \(1 in all\)"):
        main(empty, some_rows(empty, "nameless", label=["a", ""]), relabel=relabel)
    assert Index.open(empty).manifest == before


def test_a_column_that_cannot_be_kept_is_named(empty):
    with pytest.raises(InputError, match=r"the column 'note' is list<.*>, which an index cannot keep"):
        main(empty, some_rows(empty, "first", note=[[1], [2]]))


def test_any_label_is_kept_and_told(empty):
    put(empty, [0], ["a"])
    for name in ("x\u2028y\u0085z", "a\nb", "\u202e\U0001f426"):
        relabel(empty, id=NAMES[0], to=name)
        assert held(empty) == {(NAMES[0], name)}
        entries = read_journal(empty, Index.open(empty).manifest.journal)
        assert entries[-1]["to"] == name
    check(empty)
    undo(empty)


def test_one_photo_with_a_good_and_a_bad_box(built, tmp_path, photos, capsys):
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


def test_a_root_that_is_a_link(tiny_embedder, photos, tmp_path, monkeypatch):
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
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(select(Index.open(folder), label=None, id=None, path="~/link")) == 20


def test_an_index_built_anew_elsewhere_meanwhile_is_refused(empty):
    opened = Index.open(empty)
    source = photos_source(opened, str(embeddings(empty.parent / "v", [0], ["a"])), "all", "auto", "first", "skip")
    commit_vectors(empty, VECTORS[:1], images_root="/elsewhere")
    with pytest.raises(InputError, match="has been built anew meanwhile"):
        add(opened, source, Change("add"), on_conflict="first", relabel=False, dry_run=False)
