import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from embedder import Embedder
from embedder.data.catalog import read_catalog
from eval.errors import InputError
from eval.folders import File
from eval.images import photo_id
from index import Index, rebuild
from index.add import main as add
from index.build import main as build
from index.check import main as check
from index.journal import read_journal
from index.rebuild import main
from index.relabel import main as relabel
from index.remove import main as remove
from index.undo import main as undo
from tests.index.conftest import commit_vectors, write_photo


@pytest.fixture
def folder(built, photos, tmp_path):
    """A copy of an index of twenty photos, and of the photos."""
    shutil.copytree(photos, tmp_path / "photos")
    shutil.copytree(built, tmp_path / "a.index")
    main(tmp_path / "a.index", images_root=tmp_path / "photos")
    return tmp_path / "a.index"


def held(index):
    """Labels, vectors and thumbnails by id."""
    ids = index.table["id"].to_pylist()
    rows = np.flatnonzero(index.kept)
    vectors = index.vectors(rows)
    return {
        (ids[row], index.label(row)): (vector.round(5).tolist(), index.thumbnail(row))
        for row, vector in zip(rows.tolist(), vectors, strict=True)
    }


def test_what_is_carried_along_is_written_out(folder, tmp_path):
    write_photo(tmp_path / "more" / "class-9" / "new.png", 9, 99)
    remove(folder, label="class-1")
    relabel(folder, label="class-2", to="class-7")
    add(folder, str(tmp_path / "more"))
    before = Index.open(folder)
    found = main(folder)
    after = Index.open(folder)
    assert held(after) == held(before)
    assert (len(after.segments), after.manifest.deleted, after.manifest.label_changes) == (1, [], {})
    assert after.manifest.rows == 16
    assert (found.photos, found.changed) == (16, 0)
    assert read_journal(folder, after.manifest.journal)[-1]["command"] == "rebuild"
    check(folder)
    undo(folder)
    assert held(Index.open(folder)) == held(before)
    assert Index.open(folder).manifest.rows == 21


def test_another_kind_leaves_the_segments_alone(folder):
    before = Index.open(folder)
    main(folder, kind="hnsw", target_recall=0.9)
    after = Index.open(folder)
    assert after.manifest.segments == before.manifest.segments
    assert (after.manifest.search.kind, after.manifest.search.target_recall) == ("hnsw", 0.9)
    assert after.manifest.search.factory == "HNSW16_SQ8"
    main(folder)
    assert Index.open(folder).manifest.search.kind == "hnsw"
    main(folder, kind="flat")
    assert Index.open(folder).manifest.search.file is None
    assert not [*folder.glob(f"search-*{before.generation + 1}.faiss")]


def test_an_index_is_made_already_of_what_it_was_rebuilt_to(folder, tiny_embedder, tmp_path, capsys):
    main(folder, kind="sq")
    build(tiny_embedder, str(tmp_path / "photos"), out=folder, kind="sq")
    assert "is made already" in capsys.readouterr().err


def test_another_embedder(folder, other_embedder, photos):
    opened = Index.open(folder)
    before = held(opened)
    found = main(folder, embedder=other_embedder)
    after = Index.open(folder)
    assert after.fingerprint == "other"
    assert held(after) == before
    assert after.embedder.fingerprint == "other"
    assert (found.right_before, found.changed) == (found.right_after, 0)
    assert after.query(photos / "class-1" / "01.png").neighbours[0].same_photo
    assert opened.search(opened.vectors(np.array([3])), 1).rows.tolist() == [[3]]
    check(folder, deep=True)


def test_photos_that_are_not_what_they_were(folder, other_embedder, tmp_path, capsys):
    shutil.copy(tmp_path / "photos" / "class-2" / "06.png", tmp_path / "photos" / "class-0" / "04.png")
    generation = Index.open(folder).generation
    with pytest.raises(InputError, match=r"class-0/04.png is another photo than the one that was indexed"):
        main(folder, embedder=other_embedder)
    (tmp_path / "photos" / "class-1" / "01.png").unlink()
    with pytest.raises(InputError, match=r"class-1/01.png: does not exist"):
        main(folder, embedder=other_embedder)
    assert Index.open(folder).generation == generation
    main(folder, embedder=other_embedder, on_bad_image="skip")
    after = Index.open(folder)
    assert after.count == 18
    assert {photo["path"] for photo in after.manifest.left_out} == {"class-1/01.png", "class-0/04.png"}
    assert "left out, because they cannot be read: 2" in capsys.readouterr().err


def test_nothing_is_left(folder, other_embedder, tmp_path):
    shutil.rmtree(tmp_path / "photos")
    with pytest.raises(InputError, match=r"no reference of .* is left; nothing is changed"):
        main(folder, embedder=other_embedder, on_bad_image="skip")


def test_references_without_a_photo(tmp_path, random_vectors, tiny_embedder, other_embedder):
    folder = commit_vectors(tmp_path / "a.index", random_vectors(5, 48))
    opened = Index.open(folder)
    table = opened.table.set_column(2, "path", pa.nulls(5, pa.string()))
    assert opened.table.column_names[2] == "path"
    opened.table = table
    with pytest.raises(InputError, match=r"5 references have no path, so that .* \(the first is 0{32}\)"):
        [*rebuild.embedded(opened, np.arange(5), model=None, root=tmp_path, on_bad_image="error")]


def test_one_photo_under_two_labels(folder, other_embedder, tmp_path):
    photo = tmp_path / "photos" / "class-1" / "01.png"
    (tmp_path / "table.csv").write_text(f"path,label\n{photo},other\n")
    add(folder, str(tmp_path / "table.csv"), on_conflict="both")
    before = held(Index.open(folder))
    assert len(before) == 21
    main(folder, embedder=other_embedder)
    assert held(Index.open(folder)) == before


def test_what_others_change_while_photos_are_embedded(folder, other_embedder, tmp_path, monkeypatch):
    write_photo(tmp_path / "photos" / "class-0" / "new.png", 0, 77)
    real, times = rebuild.embedded, []

    def slow(index, rows, **options):
        yield from real(index, rows, **options)
        if not times:
            times.append(1)
            add(folder, str(tmp_path / "photos"))
            remove(folder, label="class-3")
            relabel(folder, label="class-2", to="class-8")

    monkeypatch.setattr(rebuild, "embedded", slow)
    main(folder, embedder=other_embedder)
    after = Index.open(folder)
    labels = sorted(label for _, label in held(after))
    assert labels == ["class-0"] * 6 + ["class-1"] * 5 + ["class-8"] * 5
    assert after.fingerprint == "other"
    check(folder, deep=True)


def test_what_others_bring_back_while_photos_are_embedded(folder, other_embedder, monkeypatch):
    remove(folder, label="class-1")
    relabel(folder, label="class-2", to="class-8")
    undo(folder)
    remove(folder, label="class-2")
    real, times = rebuild.embedded, []

    def slow(index, rows, **options):
        yield from real(index, rows, **options)
        if not times:
            times.append(1)
            undo(folder)
            relabel(folder, label="class-2", to="class-7")

    monkeypatch.setattr(rebuild, "embedded", slow)
    main(folder, embedder=other_embedder)
    assert sorted(label for _, label in held(Index.open(folder))) == ["class-0"] * 5 + ["class-3"] * 5 + ["class-7"] * 5
    check(folder, deep=True)


def test_rows_that_others_number_anew_meanwhile(folder, other_embedder, monkeypatch):
    real = rebuild.embedded

    def slow(index, rows, **options):
        yield from real(index, rows, **options)
        remove(folder, label="class-0")
        main(folder)

    monkeypatch.setattr(rebuild, "embedded", slow)
    with pytest.raises(InputError, match="has been built anew meanwhile; run the command again"):
        main(folder, embedder=other_embedder)
    assert Index.open(folder).count == 15


def test_what_others_ask_for_meanwhile_stays(folder, other_embedder, monkeypatch):
    real = rebuild.embedded

    def slow(index, rows, **options):
        yield from real(index, rows, **options)
        if len(rows):  # the second time the index is locked
            main(folder, kind="hnsw")

    monkeypatch.setattr(rebuild, "embedded", slow)
    main(folder, embedder=other_embedder)
    manifest = Index.open(folder).manifest
    assert (manifest.search.kind, manifest.made_from["kind"]) == ("hnsw", "hnsw")
    assert manifest.fingerprint == Embedder.open(other_embedder).fingerprint


def test_an_embedder_that_is_replaced_meanwhile_is_the_one_that_was_given(
    folder, tiny_embedder, other_embedder, tmp_path, monkeypatch
):
    given = Path(shutil.copy(other_embedder, tmp_path / "given.onnx"))
    fingerprint, real = Embedder.open(given).fingerprint, rebuild.embedded

    def slow(index, rows, **options):
        yield from real(index, rows, **options)
        shutil.copy(tiny_embedder, given)

    monkeypatch.setattr(rebuild, "embedded", slow)
    main(folder, embedder=given)
    assert Index.open(folder).embedder.fingerprint == fingerprint


def test_a_dry_run_changes_nothing(folder, other_embedder, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    found = main(folder, embedder=other_embedder, kind="hnsw", dry_run=True)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before | {
        "index.lock": (folder / "index.lock").stat().st_mtime_ns
    }
    assert found.photos == 20
    assert "would be: references 20" in capsys.readouterr().out


def test_answers_to_validation_photos(folder, other_embedder, tmp_path):
    """Five of class 1 are removed by hand between the two generations that are compared."""
    for number in range(6):
        write_photo(tmp_path / "asked" / f"class-{number % 2}" / f"{number}.png", number % 2, 500 + number)
    (tmp_path / "asked" / "class-0" / "damaged.png").write_bytes(b"no photo")
    found = main(folder, embedder=other_embedder, validation=str(tmp_path / "asked"), dry_run=True)
    opened = Index.open(folder)
    catalog = read_catalog(str(tmp_path / "asked"))
    right = [
        opened.query(catalog.file(row)).label == label
        for row, label in enumerate(catalog.labels)
        if "damaged" not in catalog.paths[row]
    ]
    assert (found.photos, found.right_before, found.right_after) == (6, np.mean(right), np.mean(right))
    assert found.known_before is None


def test_photos_that_an_embedder_was_trained_on_are_not_answered(folder, tiny_embedder, other_embedder, capsys):
    """Five are, by the other embedder; fifteen are left, which are too few at first."""
    ids = Index.open(folder).table["id"].to_pylist()
    trained_on = other_embedder.with_name("trained_on-other.npy")
    np.save(trained_on, np.array(ids[:5]))
    of = "5 of the 20 references that are answered were trained on by the embedder"
    rest = "; give --validation with photos that were not"
    assert main(folder, embedder=other_embedder, dry_run=True).photos == 20
    assert f"warning: {of} after{rest}" in capsys.readouterr().err.splitlines()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild, "FEWEST_UNSEEN", 15)
        assert main(folder, embedder=other_embedder).photos == 15
        assert main(folder, embedder=tiny_embedder, dry_run=True).photos == 15
        assert "warning" not in capsys.readouterr().err
    assert main(folder, embedder=tiny_embedder, dry_run=True).photos == 20
    assert f"warning: {of} before{rest}" in capsys.readouterr().err.splitlines()
    main(folder, kind="sq", dry_run=True)  # of one embedder, which is flattered alike
    assert "warning" not in capsys.readouterr().err
    trained_on.unlink()
    main(folder, embedder=tiny_embedder)
    capsys.readouterr()
    main(folder, embedder=other_embedder, dry_run=True)
    of = "how many of the 20 references that are answered were trained on by the embedder after is not known"
    assert f"warning: {of}{rest}" in capsys.readouterr().err.splitlines()


def test_photos_in_another_place(folder, tmp_path, monkeypatch):
    """Wherever they are named from."""
    (tmp_path / "photos").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="--images_root is photos, which is no folder"):
        main(folder, images_root=Path("photos"))
    main(folder, images_root=Path("moved"))
    assert Index.open(folder).manifest.images_root == str(tmp_path / "moved")
    check(folder, deep=True)


def test_a_photo_that_was_exported_anew_and_added_beside_what_it_was(folder, other_embedder, tmp_path):
    """Both references name one file, which is the later one's by now."""
    write_photo(tmp_path / "photos" / "class-1" / "01.png", 1, 77)
    add(folder, str(tmp_path / "photos"))
    assert Index.open(folder).count == 21
    main(folder, embedder=other_embedder, on_bad_image="skip")
    after = Index.open(folder)
    assert after.count == 20
    assert photo_id((tmp_path / "photos" / "class-1" / "01.png").read_bytes()) in after.table["id"].to_pylist()


def test_vectors_that_are_here_already_keep_what_they_may_take(folder):
    main(folder, max_memory="1GB")
    main(folder, milvus="folder")
    assert Index.open(folder).manifest.search.max_memory == 10**9


def test_what_cannot_be_asked_for(folder, tmp_path):
    for options, message in (
        ({"kind": "hsnw"}, "unknown kind 'hsnw'; did you mean 'hnsw'"),
        ({"target_recall": 2.0}, "target_recall is 2.0"),
        ({"max_memory": "much"}, "max_memory is 'much'"),
        ({"embedder": tmp_path / "none"}, "none"),
        ({"validation": str(tmp_path / "none")}, "none"),
    ):
        with pytest.raises(InputError, match=message):
            main(folder, **options)
    with pytest.raises(InputError, match="does not exist"):
        main(tmp_path / "nothing.index")
    assert not (tmp_path / "nothing.index").exists()


def test_damaged_vectors_are_not_written_anew(folder, monkeypatch):
    remove(folder, label="class-0")
    path = folder / Index.open(folder).manifest.segments[0].vectors
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    monkeypatch.setattr(File.check, "__defaults__", (0,))
    with pytest.raises(InputError, match=rf"{path.name} is damaged: its checksum is wrong"):
        main(folder)
