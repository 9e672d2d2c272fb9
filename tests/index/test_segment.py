import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pytest

from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from index.segment import MappedSegment, SegmentWriter
from index.vectors import nearest_with_ties
from tests.index.conftest import unit


def references(vectors, fingerprint="tiny", labels=None):
    rows = [str(row) for row in range(len(vectors))]
    columns = {"id": rows, "label": pa.array(labels or rows).dictionary_encode(), "path": rows}
    return EmbeddingSet(vectors, pa.table(columns), fingerprint)


def written(folder, *batches):
    with SegmentWriter(folder, "tiny", batches[0].vectors.shape[1]) as writer:
        for batch in batches:
            writer.add(batch, [b"JPEG %s" % name.encode() for name in batch.ids])
        return writer.finish(1)


def mapped(folder, vectors, start=0, deleted=()):
    return MappedSegment(
        folder, written(folder, references(vectors)), vectors.shape[1], start, np.array(deleted, np.int64)
    )


def test_vectors_are_written_byte_for_byte_as_faiss_does(tmp_path, random_vectors):
    vectors = random_vectors(50)
    segment = written(tmp_path, references(vectors[:20]), references(vectors[20:]))
    index = faiss.IndexFlatIP(8)
    index.add(vectors)
    faiss.write_index(index, str(tmp_path / "faiss"))
    assert (tmp_path / segment.vectors).read_bytes() == (tmp_path / "faiss").read_bytes()


def test_the_table_and_thumbnails_of_all_batches(tmp_path, random_vectors):
    vectors = random_vectors(30)
    batches = references(vectors[:10], labels=["b"] * 10), references(vectors[10:], labels=["a"] * 20)
    segment = MappedSegment(tmp_path, written(tmp_path, *batches), 8, 100, np.array([], np.int64))
    assert segment.table["label"].to_pylist() == ["b"] * 10 + ["a"] * 20
    assert [segment.thumbnail(100 + row) for row in (0, 9, 10, 29)] == [b"JPEG 0", b"JPEG 9", b"JPEG 0", b"JPEG 19"]
    np.testing.assert_array_equal(segment.vectors, vectors)


@pytest.mark.parametrize("k", [1, 3, 40, 1000])
def test_candidates_hold_the_nearest_and_all_ties(tmp_path, random_vectors, k):
    vectors = random_vectors(400)
    vectors[50:250] = vectors[7]
    deleted = [60, 61, 300]
    segment = mapped(tmp_path, vectors, start=1000, deleted=[1000 + row for row in deleted] + [5, 9999])
    found = segment.candidates(vectors[7:9], k)
    similarities = vectors[7:9].astype(np.float64) @ vectors.T
    similarities[:, deleted] = -2
    for query in range(2):
        worst = np.sort(similarities[query])[::-1][min(k, 397) - 1]
        wanted = set(1000 + np.flatnonzero(similarities[query] >= max(worst, -1)))
        assert wanted <= set(found[query])
        assert not set(found[query]) & {1060, 1061, 1300, 999}


def test_all_rows_deleted(tmp_path, random_vectors):
    segment = mapped(tmp_path, random_vectors(3), deleted=[0, 1, 2])
    assert segment.candidates(random_vectors(2), 5).shape == (2, 0)


def test_values_that_are_not_numbers_are_not_searched(tmp_path, random_vectors):
    vectors = random_vectors(4)
    segment = written(tmp_path, references(vectors))
    with (tmp_path / segment.vectors).open("r+b") as file:
        file.seek(-32, 2)
        file.write(np.full(8, np.nan, np.float32).tobytes())
    with pytest.raises(InputError, match=r"vectors-000001.faiss is damaged: it holds values that are not numbers"):
        MappedSegment(tmp_path, segment, 8, 0, np.array([], np.int64)).candidates(vectors, 4)


def test_a_wrong_header(tmp_path, random_vectors):
    segment = written(tmp_path, references(random_vectors(4)))
    with pytest.raises(InputError, match=r"vectors-000001.faiss is damaged: its header is wrong"):
        MappedSegment(tmp_path, segment, 9, 0, np.array([], np.int64))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (references(np.eye(8, dtype=np.float32), "other"), "made by the embedder other, those of the index by tiny"),
        (references(np.eye(9, dtype=np.float32)), "have dimension 9, those of the index 8"),
    ],
)
def test_vectors_of_another_embedder_are_refused(tmp_path, batch, message):
    with SegmentWriter(tmp_path, "tiny", 8) as writer, pytest.raises(InputError, match=message):
        writer.add(batch, [b""] * len(batch))


def test_a_metric_learning_library_in_the_same_process_does_no_harm(tmp_path):
    """faiss.contrib.torch_utils patches faiss for the whole process; here in one of its own."""
    script = (
        "import faiss.contrib.torch_utils, numpy as np, pyarrow as pa\n"
        "from pathlib import Path\n"
        "from eval.embeddings import EmbeddingSet\n"
        "from index.segment import MappedSegment, SegmentWriter\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "vectors = np.eye(4, dtype=np.float32)\n"
        "table = pa.table({'id': list('abcd'), 'label': list('abcd'), 'path': list('abcd')})\n"
        "with SegmentWriter(folder, 'f', 4) as writer:\n"
        "    writer.add(EmbeddingSet(vectors, table, 'f'), [b'x'] * 4)\n"
        "    segment = writer.finish(1)\n"
        "mapped = MappedSegment(folder, segment, 4, 0, np.array([2]))\n"
        "assert mapped.candidates(vectors[1:2], 1)[0, 0] == 1\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])


def test_only_the_queries_with_ties_are_asked_again():
    """The last of these finds a hundred copies of what is nearest."""
    vectors = unit(np.random.default_rng(0).normal(size=(300, 8)))
    vectors[100:200] = vectors[100]
    queries, asked = vectors[[0, 50, 100]], []

    def search(some, wanted):
        asked.append((len(some), wanted))
        cosines = some @ vectors.T
        rows = np.argsort(-cosines, axis=1, kind="stable")[:, :wanted]
        return np.take_along_axis(cosines, rows, axis=1), rows

    found = nearest_with_ties(search, queries, 3, 300)
    assert asked[0][0] == 3
    assert {count for count, _ in asked[1:]} == {1}
    assert found.shape == (3, asked[-1][1])
    assert {*range(100, 200)} <= {*found[2].tolist()}
    for place in (0, 1):
        there = found[place][found[place] >= 0]
        assert {*there[:3]} == {*np.argsort(-(queries[place] @ vectors.T))[:3]}
        assert len(there) < 10
