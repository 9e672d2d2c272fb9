import io
import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.evaluation import evaluate
from eval.images import BadImage, photo_id
from index import Index
from index.add import main as add
from index.commit import writing
from index.journal import Change
from index.manifest import Manifest
from tests.index.conftest import unit


@pytest.fixture(scope="module")
def vectors(random_vectors):
    """Forty vectors in which eight are the same, in both segments."""
    vectors = random_vectors(40)
    vectors[[2, 3, 9, 17, 18, 25, 30, 39]] = vectors[2]
    return vectors


@pytest.fixture(scope="module")
def index(tmp_path_factory, vectors, add_vectors):
    """Three segments."""
    folder = tmp_path_factory.mktemp("search") / "a.index"
    for part in np.split(vectors, [15, 16]):
        add_vectors(folder, part)
    return Index.open(folder)


def change(folder, **changes):
    """Commit a generation without new files."""
    before = Manifest.read(folder)
    with writing(folder) as writer:
        writer.commit(Manifest(**{**vars(before), **changes}), Change("test"))
    return Index.open(folder)


def naive(queries, references, k, allowed=None):
    """Sort all similarities, then rows."""
    found = []
    for query in queries.astype(np.float64):
        rows = [row for row in range(len(references)) if allowed is None or row in allowed]
        rows.sort(key=lambda row: (-round(float(query @ references[row].astype(np.float64)), 9), row))
        found.append(rows[:k])
    return np.array(found)


@pytest.mark.parametrize("k", [1, 4, 10, 40])
def test_search_equals_sorting_all_similarities(index, vectors, random_vectors, k):
    queries = np.concatenate([vectors, random_vectors(20, seed=5)])
    found = index.search(queries, k)
    np.testing.assert_array_equal(found.rows, naive(queries, vectors, k))
    expected = np.einsum("qd,qkd->qk", queries, vectors[found.rows])
    np.testing.assert_allclose(found.similarities, expected, atol=1e-6)


def test_an_answer_does_not_depend_on_the_batch(index, random_vectors):
    queries = random_vectors(200, seed=6)
    together = index.search(queries, 7)
    for row, query in enumerate(queries):
        alone = index.search(query[None], 7)
        np.testing.assert_array_equal(alone.rows[0], together.rows[row])
        np.testing.assert_array_equal(alone.similarities[0], together.similarities[row])


def test_similarities_are_cosines(tmp_path, add_vectors):
    almost = np.array([[1.0, 0.0004], [-1.0, 0.0]], np.float32)
    found = Index.open(add_vectors(tmp_path / "a.index", almost)).search(almost, 2)
    assert found.similarities.max() == 1
    assert found.similarities.min() >= -1


def test_more_neighbours_than_references(index, vectors):
    found = index.search(vectors[:3], 1000)
    assert found.rows.shape == found.similarities.shape == (3, 40)
    assert sorted(found.rows[0]) == list(range(40))


@pytest.mark.parametrize("k", [0, -3])
def test_k_below_1(index, vectors, k):
    with pytest.raises(InputError, match=f"k is {k}; it must be at least 1"):
        index.search(vectors, k)


def test_vectors_of_another_embedder_are_refused(index, vectors):
    others = EmbeddingSet(vectors, pa.table({"id": [""] * 40}), "another")
    with pytest.raises(InputError, match="made by the embedder another, those of the index by tiny"):
        index.search(others)
    same = EmbeddingSet(vectors, others.table, "tiny")
    np.testing.assert_array_equal(index.search(same).rows, index.search(vectors).rows)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.eye(9, dtype=np.float32), "have dimension 9, those of the index 8"),
        (2 * np.eye(8, dtype=np.float32), "length 2"),
        (np.full((1, 8), np.nan, np.float32), "not finite"),
        (np.eye(8), "float64"),
        (np.eye(8, dtype=np.float32)[0], r"shape \[8\]"),
    ],
)
def test_vectors_without_a_cosine_are_refused(index, bad, message):
    with pytest.raises(InputError, match=message):
        index.search(bad)


def test_deleted_rows_are_masked_before_the_k_nearest_are_taken(tmp_path, vectors, add_vectors):
    folder = tmp_path / "a.index"
    for part in np.split(vectors, [15, 16]):
        add_vectors(folder, part)
    deleted = [2, 3, 9, 15, 18]
    index = change(folder, deleted=deleted)
    assert index.count == 35
    found = index.search(vectors, 6)
    np.testing.assert_array_equal(found.rows, naive(vectors, vectors, 6, set(range(40)) - set(deleted)))
    assert index.search(vectors, 40).rows.shape == (40, 35)
    np.testing.assert_array_equal(EmbeddingSet.load(folder).vectors, np.delete(vectors, deleted, axis=0))


def test_an_index_whose_references_are_all_deleted(tmp_path, random_vectors, add_vectors):
    index = change(add_vectors(tmp_path / "a.index", random_vectors(3)), deleted=[0, 1, 2])
    with pytest.raises(InputError, match="holds no references"):
        index.search(random_vectors(1))


def test_changed_labels(tmp_path, random_vectors, add_vectors):
    folder = add_vectors(tmp_path / "a.index", random_vectors(3), ["a", "b", "c"])
    assert change(folder, label_changes={"1": "z"}).labels.tolist() == ["a", "z", "c"]
    assert EmbeddingSet.load(folder).labels == ["a", "z", "c"]


def test_a_label_that_was_changed_to_nothing_is_the_same_everywhere(tmp_path, random_vectors, add_vectors):
    opened = change(add_vectors(tmp_path / "a.index", random_vectors(1), ["a"]), label_changes={"0": ""})
    assert opened.label(0) == opened.labels[0] == ""


def test_what_is_known_of_photos(tmp_path, random_vectors, add_vectors):
    """Two segments hold the same ids, of which some are gone or have other labels by now."""
    folder = tmp_path / "a.index"
    for part in range(2):
        references = add_vectors(tmp_path / f"{part}.index", random_vectors(6, seed=part))
        EmbeddingSet.load(references).save(tmp_path / str(part), made_from={}, images_root=None, left_out=[])
    add_vectors(folder, random_vectors(6), [*"abcabc"])
    add(folder, str(tmp_path / "1"), on_conflict="both")
    opened = change(folder, deleted=[1, 3], label_changes={"2": "z", "8": "y"})
    wanted = [*opened.table["id"].to_pylist()[1:4], "none"]
    naive = {}
    for row, name in enumerate(opened.table["id"].to_pylist()):
        if name in wanted and opened.kept[row]:
            naive.setdefault(name, {})[opened.label(row)] = row
    assert opened.known(wanted) == opened.known(pa.chunked_array([wanted[2:], wanted[:2]])) == naive
    assert [len(labels) for labels in naive.values()] == [2, 1, 1]
    assert opened.known([]) == {}


def test_labels_and_thumbnails_over_segments(index):
    assert index.labels.tolist() == [f"label-{row % 3}" for row in range(40)]
    assert [index.thumbnail(row) for row in (0, 14, 15, 16, 39)] == [b"JPEG of %d" % row for row in (0, 14, 15, 16, 39)]


def test_recall_on_an_index_is_that_on_its_embeddings(index, vectors):
    table = pa.table({"id": [str(row) for row in range(40)], "label": index.labels.tolist()})
    expected = evaluate(EmbeddingSet(vectors, table, "tiny"), None, (1, 2, 4))
    found = evaluate(EmbeddingSet.load(index.folder), None, (1, 2, 4))
    assert found.per_query.keys() == expected.per_query.keys() >= {"recall@1", "r_precision"}
    for name, scores in expected.per_query.items():
        np.testing.assert_array_equal(found.per_query[name], scores)


def test_an_answer_in_every_form_of_the_photo(built, photos):
    path = photos / "class-1" / "05.png"
    index = Index.open(built)
    answers = [index.query(photo, 4) for photo in (path, str(path), path.read_bytes(), Image.open(path))]
    assert [answer.query for answer in answers] == [str(path), str(path), None, None]
    assert [answer.neighbours[0].same_photo for answer in answers] == [True, True, True, False]
    for answer in answers:
        assert answer.label == "class-1"
        assert [neighbour.row for neighbour in answer.neighbours] == [one.row for one in answers[0].neighbours]
        assert [neighbour.rank for neighbour in answer.neighbours] == [1, 2, 3, 4]


def test_json_has_the_promised_keys(built, photos):
    answer = Index.open(built).query(photos / "class-0" / "00.png", 2)
    contents = json.loads(json.dumps(answer.to_json()))
    assert contents == {
        "query": str(photos / "class-0" / "00.png"),
        "known": None,
        "label": "class-0",
        "probability": None,
        "level": None,
        "taxon": None,
        "taxon_probability": None,
        "candidates": contents["candidates"],
        "label_set": None,
        "coverage": None,
        "quality": [],
        "neighbours": contents["neighbours"],
        "generation": 1,
        "fingerprint": "tiny",
        "calibration_stale": None,
        "rerank": None,
    }
    assert contents["candidates"][0] == {"label": "class-0", "share": answer.candidates[0].share}
    first, second = contents["neighbours"]
    assert first == {
        "rank": 1,
        "id": photo_id((photos / "class-0" / "00.png").read_bytes()),
        "label": "class-0",
        "path": "class-0/00.png",
        "similarity": pytest.approx(1, abs=1e-6),
        "same_photo": True,
    }
    assert (second["rank"], second["same_photo"]) == (2, False)
    assert -1 <= second["similarity"] < 1


def test_the_photo_itself_has_no_vote_while_others_have(built, photos, tmp_path):
    folder = tmp_path / "relabelled.index"
    shutil.copytree(built, folder)
    path = photos / "class-2" / "02.png"
    row = Index.open(folder).query(path).neighbours[0].row
    index = change(folder, label_changes={str(row): "mistaken"})
    answer = index.query(path, 2)
    assert (answer.neighbours[0].label, answer.neighbours[0].same_photo) == ("mistaken", True)
    assert "mistaken" not in [candidate.label for candidate in answer.candidates]
    assert index.query(path, 1).candidates == answer.candidates
    alone = change(folder, deleted=[one for one in range(20) if one != row])
    assert alone.query(path, 5).label == "mistaken"


def test_another_one_votes_in_the_place_of_the_photo_itself(tmp_path, add_vectors):
    vectors = unit([[1, 0, 0], [1, 0.1, 0], [1, 0.2, 0], [0, 0, 1]])
    folder = add_vectors(tmp_path / "a.index", vectors, labels=["own", "near", "near", "far"])
    answer = Index.open(folder).judge(vectors[0], 1, own_ids={f"{0:032x}"})
    assert (answer.label, [one.label for one in answer.neighbours]) == ("near", ["own"])
    assert [(one.label, round(one.share, 4)) for one in answer.candidates] == [("near", 1.0), ("far", 0.0)]


def test_an_index_answers_where_it_was_moved_to_and_the_photos_are_gone(built, photos, tmp_path):
    moved = tmp_path / "elsewhere.index"
    shutil.copytree(built, moved)
    manifest = json.loads((moved / "manifest.json").read_text())
    assert manifest["images_root"] == str(photos)
    content = (photos / "class-3" / "07.png").read_bytes()
    index = change(moved, images_root="/nowhere")
    answer = index.query(content, 3)
    assert answer.label == "class-3"
    sizes = [Image.open(io.BytesIO(index.thumbnail(one.row))).size for one in answer.neighbours]
    assert sizes == [(40, 30)] * 3


def test_a_photo_that_cannot_be_read(built, tmp_path):
    with pytest.raises(BadImage, match="does not exist"):
        Index.open(built).query(tmp_path / "nothing.jpg")


def test_opening_an_index_does_not_open_its_network(built, tmp_path, photos):
    shutil.copytree(built, tmp_path / "a.index")
    index = Index.open(tmp_path / "a.index")
    network = tmp_path / "a.index" / index.manifest.embedder
    network.write_bytes(network.read_bytes()[::-1])
    index.search(np.eye(48, dtype=np.float32))
    with pytest.raises(InputError, match=r"onnx is damaged: its checksum is wrong"):
        index.query(photos / "class-0" / "00.png")
    network.unlink()
    with pytest.raises(InputError, match=r"onnx is gone; if the index has been given another embedder, open it again"):
        index.query(photos / "class-0" / "00.png")


def test_an_answer_does_not_depend_on_the_way_that_faiss_takes(tmp_path, add_vectors, random_vectors):
    """From 128,000 numbers of queries on FAISS multiplies matrices, which sums in another order."""
    vectors = random_vectors(1, 512) + np.float32(1e-6) * random_vectors(300, 512, seed=1)  # apart by its rounding
    index = Index.open(add_vectors(tmp_path / "a.index", vectors))
    queries = random_vectors(256, 512, seed=2)
    together = index.search(queries, 7)
    for row, query in enumerate(queries):
        alone = index.search(query[None], 7)
        np.testing.assert_array_equal(alone.rows[0], together.rows[row])
        np.testing.assert_array_equal(alone.similarities[0], together.similarities[row])


def test_a_network_that_did_not_make_the_vectors_is_refused(built, photos, tmp_path):
    shutil.copytree(built, tmp_path / "a.index")
    index = change(tmp_path / "a.index", fingerprint="another")
    with pytest.raises(InputError, match="another"):
        index.query(photos / "class-0" / "00.png")
