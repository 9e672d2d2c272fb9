import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather

from eval import folders
from eval.embeddings import EmbeddingSet, common_codes
from eval.errors import InputError
from eval.folders import File, checksum

LABELS = ["wren", "robin", None, "wren", "10"]


def unit(count: int, dimension: int = 6, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def rows(ids: str, labels: list[str | None]) -> pa.Table:
    paths = [f"{name}.jpg" for name in ids]
    return pa.table({"id": list(ids), "label": pa.array(labels).dictionary_encode(), "path": paths})


@pytest.fixture
def some() -> EmbeddingSet:
    return EmbeddingSet(unit(5), rows("abcde", LABELS), "f" * 64)


@pytest.fixture
def folder(some: EmbeddingSet, tmp_path: Path) -> Path:
    left_out = [{"path": "x.jpg", "reason": "is empty"}]
    some.save(tmp_path / "set", made_from={"size": 128}, images_root=Path("/photos"), left_out=left_out)
    return tmp_path / "set"


@pytest.fixture
def index(some: EmbeddingSet, tmp_path: Path) -> Path:
    """An index folder of two segments, with one row deleted and one label changed since."""
    folder = tmp_path / "birds.index"
    folder.mkdir()
    segments = []
    for number, (start, stop) in enumerate([(0, 3), (3, 5)]):
        flat = faiss.IndexFlatIP(6)
        flat.add(some.vectors[start:stop])
        entry = {"vectors": f"vectors-{number}.faiss", "references": f"references-{number}.feather"}
        faiss.write_index(flat, str(folder / entry["vectors"]))
        feather.write_feather(some.table[start:stop], folder / entry["references"], compression="uncompressed")
        segments.append({**entry, "count": stop - start})
    manifest = {"kind": "index", "format": 1, "fingerprint": "f" * 64, "segments": segments}
    manifest |= {"dimension": 6, "deleted": [1], "label_changes": {"3": "owl"}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    seal(folder)
    return folder


def change(folder: Path, **entries: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def seal(folder: Path, **entries: Any) -> None:
    """Make the manifest of an index say that everything is as it should be."""
    described = {path.name: asdict(File.of(path)) for path in folder.iterdir() if path.name != "manifest.json"}
    change(folder, files=described, **entries)
    contents = json.loads((folder / "manifest.json").read_text())
    contents.pop("checksum", None)
    change(folder, checksum=checksum(contents))


def test_columns_by_name(some: EmbeddingSet) -> None:
    assert (some.ids, some.labels) == (list("abcde"), LABELS)
    assert some.paths == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]
    assert len(some) == 5


def test_columns_that_are_missing_are_unknown() -> None:
    bare = EmbeddingSet(unit(2), pa.table({"id": ["a", "b"]}), "f")
    assert (bare.labels, bare.paths) == ([None, None], [None, None])
    assert bare.label_codes()[0].tolist() == [-1, -1]


def test_label_codes_count_the_names_in_order(some: EmbeddingSet) -> None:
    codes, names = some.label_codes()
    assert (codes.tolist(), names) == ([2, 1, -1, 2, 0], ["10", "robin", "wren"])
    assert codes.dtype == np.int64


def test_two_sets_get_common_codes_and_labels_compare_as_strings(some: EmbeddingSet) -> None:
    numbers = EmbeddingSet(unit(3), pa.table({"id": list("xyz"), "label": [10, 2**53 + 1, 2**53]}), "f")
    (codes, others), names = common_codes(some, numbers)
    assert [None if code < 0 else names[code] for code in codes] == LABELS
    assert [names[code] for code in others] == ["10", "9007199254740993", "9007199254740992"]
    assert names == sorted(names)


@pytest.mark.parametrize(
    ("vectors", "complaint"),
    [
        (np.ones((5, 1)), "float64"),
        (np.ones(5, np.float32), r"shape \[5\]"),
        (np.ones((5, 0), np.float32), "D at least 1"),
        (np.ones((4, 1), np.float32), "4 vectors for 5 rows"),
        (unit(5) * np.float32(2), "vector 0 has length 2 and 5 in all.*divide each by its length"),
        (unit(5) * np.array([[1], [1], [1], [0], [1]], np.float32), "vector 3 has length 0"),
        (unit(5) * np.array([[1], [1], [np.nan], [1], [1]], np.float32), "vector 2 holds values that are not finite"),
        (unit(5) * np.array([[1], [np.inf], [1], [1], [1]], np.float32), "vector 1 holds values that are not finite"),
    ],
)
def test_wrong_vectors_are_refused(vectors: np.ndarray, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        EmbeddingSet(vectors, rows("abcde", LABELS), "f")


def test_a_table_without_ids_is_refused() -> None:
    with pytest.raises(InputError, match="no column 'id', only name"):
        EmbeddingSet(unit(1), pa.table({"name": ["a"]}), "f")


def test_save_and_load_round_trip(some: EmbeddingSet, folder: Path) -> None:
    again = EmbeddingSet.load(folder)
    assert np.array_equal(again.vectors, some.vectors)
    assert again.table.equals(some.table)
    assert again.fingerprint == some.fingerprint


def test_what_lies_in_the_folder(some: EmbeddingSet, folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "table.feather", "vectors.npy"]
    assert np.array_equal(np.load(folder / "vectors.npy", allow_pickle=False), some.vectors)
    assert json.loads((folder / "manifest.json").read_text()) == {
        "kind": "embeddings",
        "format": 1,
        "fingerprint": "f" * 64,
        "count": 5,
        "dimension": 6,
        "images_root": "/photos",
        "left_out": [{"path": "x.jpg", "reason": "is empty"}],
        "made_from": {"size": 128},
    }


def test_an_empty_set_is_kept(tmp_path: Path) -> None:
    empty = EmbeddingSet(unit(0), rows("", []).cast(rows("a", ["x"]).schema), "f")
    empty.save(tmp_path / "set", made_from={}, images_root=None, left_out=[])
    assert EmbeddingSet.load(tmp_path / "set").label_codes()[1] == []


def test_an_index_folder_gives_its_references_as_they_are_now(some: EmbeddingSet, index: Path) -> None:
    loaded = EmbeddingSet.load(index)
    assert np.array_equal(loaded.vectors, some.vectors[[0, 2, 3, 4]])
    assert (loaded.ids, loaded.labels) == (list("acde"), ["wren", None, "owl", "10"])


@pytest.mark.parametrize("entries", [{"deleted": [5]}, {"label_changes": {"5": "owl"}}, {"deleted": "b"}])
def test_changes_of_rows_that_are_not_there_are_damage(index: Path, entries: dict[str, Any]) -> None:
    seal(index, **entries)
    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        EmbeddingSet.load(index)


def test_segments_with_other_columns_come_together(some: EmbeddingSet, index: Path) -> None:
    table = some.table[3:].append_column("genus", [["A", "B"]])
    feather.write_feather(table, index / "references-1.feather", compression="uncompressed")
    seal(index)
    assert EmbeddingSet.load(index).table["genus"].to_pylist() == [None, None, "A", "B"]


def test_an_index_that_does_not_match_its_checksums_is_refused(index: Path) -> None:
    content = bytearray((index / "vectors-1.faiss").read_bytes())
    content[-4] ^= 1  # a vector is still of unit length, nearly
    (index / "vectors-1.faiss").write_bytes(content)
    with pytest.raises(InputError, match=r"vectors-1\.faiss is damaged: its checksum is wrong"):
        EmbeddingSet.load(index)
    seal(index)
    EmbeddingSet.load(index)
    change(index, label_changes={})
    with pytest.raises(InputError, match=r"manifest\.json is damaged: its checksum is wrong"):
        EmbeddingSet.load(index)


def test_it_starts_again_where_a_writer_has_just_removed_a_file(some: EmbeddingSet, index: Path, monkeypatch) -> None:
    read, tries = folders.read_manifest, []

    def late(folder: Path, *kinds: str) -> dict[str, Any]:
        tries.append(folder)
        contents = read(folder, *kinds)
        return contents | ({"files": {"gone": {"size": 1, "sha256": ""}}} if len(tries) < 3 else {})

    monkeypatch.setattr(folders, "read_manifest", late)
    assert len(EmbeddingSet.load(index)) == 4
    assert len(tries) == 3


def test_an_index_without_references_says_so(index: Path) -> None:
    seal(index, segments=[])
    with pytest.raises(InputError, match="holds no references"):
        EmbeddingSet.load(index)


@pytest.mark.parametrize("name", ["vectors.npy", "table.feather"])
@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda _: b"", lambda _: b"x" * 999])
def test_damaged_embeddings_are_named(folder: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    with pytest.raises(InputError, match=rf"{name} is damaged: .*; restore the folder, or remove it"):
        EmbeddingSet.load(folder)


@pytest.mark.parametrize("name", ["vectors-1.faiss", "references-1.feather"])
@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda _: b"", lambda _: b"x" * 999])
def test_damaged_segments_are_named(index: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    (index / name).write_bytes(damage((index / name).read_bytes()))
    with pytest.raises(InputError, match=rf"{name} is damaged: .*; restore the folder, or remove it"):
        EmbeddingSet.load(index)


def test_missing_files_are_named(folder: Path, index: Path) -> None:
    for place, name in ((folder, "table.feather"), (folder, "vectors.npy"), (index, "vectors-0.faiss")):
        (place / name).unlink()
        with pytest.raises(InputError, match=f"{name}.* is missing|lacks a file .*{name}"):
            EmbeddingSet.load(place)


def test_files_that_do_not_belong_together_are_refused(index: Path, folder: Path) -> None:
    (index / "vectors-0.faiss").write_bytes((index / "vectors-1.faiss").read_bytes())
    seal(index)
    with pytest.raises(InputError, match=r"vectors-0\.faiss is damaged"):
        EmbeddingSet.load(index)
    (folder / "table.feather").write_bytes((index / "references-1.feather").read_bytes())
    with pytest.raises(InputError, match=r"table\.feather is damaged"):
        EmbeddingSet.load(folder)


def test_vectors_of_another_number_are_refused(folder: Path) -> None:
    np.save(folder / "vectors.npy", unit(4))
    with pytest.raises(InputError, match=r"vectors\.npy is damaged: its shape is \[4, 6\]"):
        EmbeddingSet.load(folder)


def test_an_index_of_another_metric_is_refused(index: Path) -> None:
    flat = faiss.IndexFlatL2(6)
    flat.add(unit(3))
    faiss.write_index(flat, str(index / "vectors-0.faiss"))
    seal(index)
    with pytest.raises(InputError, match=r"vectors-0\.faiss is damaged"):
        EmbeddingSet.load(index)


def test_a_pickled_array_is_not_opened(folder: Path) -> None:
    np.save(folder / "vectors.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(InputError, match=r"vectors\.npy is damaged"):
        EmbeddingSet.load(folder)


def test_text_that_points_outside_of_its_file_is_refused(folder: Path) -> None:
    content = bytearray((folder / "table.feather").read_bytes())
    place = content.index(np.arange(6, dtype="<i4").tobytes())  # where each id begins
    content[place + 8 : place + 12] = (2**30).to_bytes(4, "little")
    (folder / "table.feather").write_bytes(content)
    with pytest.raises(InputError, match=r"table\.feather is damaged"):
        EmbeddingSet.load(folder)


def test_other_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing does not exist; give .* embedder\.embed or index\.build"):
        EmbeddingSet.load(tmp_path / "missing")
    with pytest.raises(InputError, match=r"there is no .*manifest\.json; give"):
        EmbeddingSet.load(tmp_path)
    change(folder, kind="run")
    with pytest.raises(InputError, match="is not of the kind embeddings or index but 'run'"):
        EmbeddingSet.load(folder)
    change(folder, kind="embeddings", format=2)
    with pytest.raises(InputError, match="has format 2, and this version of Fieldmark reads 1"):
        EmbeddingSet.load(folder)
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(InputError, match="but None; give"):
        EmbeddingSet.load(folder)


def test_a_manifest_that_lacks_something_is_damaged(folder: Path, index: Path) -> None:
    for place, entries in ((folder, {"kind": "embeddings", "format": 1}), (index, {"kind": "index", "format": 1})):
        (place / "manifest.json").write_text(json.dumps(entries))
        with pytest.raises(InputError, match=r"manifest\.json is damaged"):
            EmbeddingSet.load(place)


def test_embeddings_do_without_faiss(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert len(EmbeddingSet.load(folder)) == 5


def test_vectors_of_half_precision_are_brought_to_unit_length() -> None:
    vectors = unit(50).astype(np.float16).astype(np.float32)
    table = pa.table({"id": [str(row) for row in range(50)]})
    one = EmbeddingSet(vectors, table, "f")
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() > 1e-5
    np.testing.assert_allclose(np.linalg.norm(one.vectors, axis=1), 1, atol=3e-7)
    exact = unit(50)
    assert EmbeddingSet(exact, table, "f").vectors is exact


def test_labels_that_are_not_numbers_are_none() -> None:
    table = pa.table({"id": list("abc"), "label": pa.array([1.0, float("nan"), None])})
    assert EmbeddingSet(unit(3), table, "f").labels == ["1", None, None]


@pytest.mark.parametrize("labels", [[["a"], ["b"]], [b"\xff", b"b"], [{"a": 1}, {"a": 2}]])
def test_labels_of_other_types_are_refused(labels: list[object]) -> None:
    with pytest.raises(InputError, match=r"the labels are of the type .*; give names or whole numbers"):
        EmbeddingSet(unit(2), pa.table({"id": ["a", "b"], "label": labels}), "f")
