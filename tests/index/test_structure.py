"""Every kind of search against sorting all similarities."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from index import Index, kinds, structure
from index.changes import added, removed
from index.commit import staging, writing
from index.journal import Change
from index.manifest import Manifest
from index.remove import main as remove
from index.segment import SegmentWriter
from tests.index.conftest import commit_vectors, make_searchable, unit

DIMENSION = 16
APPROXIMATE = ["sq", "hnsw", "ivf", "ivfpq"]
STRINGS = ["PCA8,IVF16,SQ8", "HNSW8", "IVF16,Flat,RFlat", "IVF16_HNSW8,SQ8", "PCA12,HNSW16", "PQ8x4", "Flat"]


def clustered(count, seed):
    """Vectors of 40 clusters, as those of look-alikes are."""
    centres = np.random.default_rng(0).normal(size=(40, DIMENSION))
    draw = np.random.default_rng(seed)
    return unit(centres[draw.integers(40, size=count)] + 0.5 * draw.normal(size=(count, DIMENSION)))


VECTORS, QUERIES = clustered(3000, seed=1), clustered(300, seed=2)


def naive(queries, vectors, k, allowed=None):
    """Rows of the k nearest."""
    similarities = queries.astype(np.float64) @ vectors.astype(np.float64).T
    if allowed is not None:
        similarities[:, ~allowed] = -np.inf
    return np.argsort(-similarities, axis=1, kind="stable")[:, :k]


def share(found, right):
    """The share of the right rows that was found."""
    return np.mean([len({*one} & {*other}) / len(other) for one, other in zip(found, right, strict=True)])


@pytest.fixture(scope="module", params=[*APPROXIMATE, *STRINGS])
def made(request, tmp_path_factory):
    """An index of every kind; tests leave it as it is."""
    folder = commit_vectors(tmp_path_factory.mktemp("made") / "a.index", VECTORS)
    make_searchable(folder, request.param)
    return folder


def test_as_many_of_the_nearest_are_found_as_the_manifest_says(made):
    search = Manifest.read(made).search
    found = share(Index.open(made).search(QUERIES, 10).rows, naive(QUERIES, VECTORS, 10))
    assert search.queries == 300
    assert search.recall >= search.far_recall - 0.01
    assert search.far_recall >= 0.95
    assert found == pytest.approx(search.recall, abs=0.02)


def test_similarities_are_exact_and_descend(made):
    found = Index.open(made).search(QUERIES, 7)
    expected = np.einsum("qd,qkd->qk", QUERIES.astype(np.float64), VECTORS[found.rows].astype(np.float64))
    np.testing.assert_allclose(found.similarities, expected, atol=1e-7)
    assert (np.diff(found.similarities, axis=1) <= 0).all()


def test_exact_search_is_there_still(made):
    found = Index.open(made).search(QUERIES, 10, exact=True)
    np.testing.assert_array_equal(found.rows, naive(QUERIES, VECTORS, 10))


def test_as_many_neighbours_as_are_asked_for(made):
    index = Index.open(made)
    for k in (1, 25, 400, 3000, 5000):
        found = index.search(QUERIES[:3], k)
        assert found.rows.shape == (3, min(k, 3000))
        assert all(len({*rows.tolist()}) == len(rows) for rows in found.rows)
    np.testing.assert_array_equal(np.sort(found.rows), np.tile(np.arange(3000), (3, 1)))


def test_the_same_file_every_time(made, tmp_path):
    search = Manifest.read(made).search
    again = make_searchable(commit_vectors(tmp_path / "b.index", VECTORS), search.kind)
    assert (tmp_path / "b.index" / again.file).read_bytes() == (made / search.file).read_bytes()
    assert replace(again, milliseconds=0, exact_milliseconds=0) == replace(search, milliseconds=0, exact_milliseconds=0)


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_deleted_references_are_never_found(kind, tmp_path):
    """A third is deleted, and all that is near the first queries."""
    folder = commit_vectors(tmp_path / "a.index", VECTORS)
    make_searchable(folder, kind)
    kept = np.zeros(len(VECTORS), bool)
    kept[np.random.default_rng(3).permutation(len(VECTORS))[:2000]] = True
    kept[naive(QUERIES[:5], VECTORS, 200).ravel()] = False
    with writing(folder) as writer:
        writer.commit(removed(writer.before, np.flatnonzero(~kept)), Change("remove"))
    found = Index.open(folder).search(QUERIES, 10).rows
    assert kept[found].all()
    right = naive(QUERIES, VECTORS, 10, kept)
    np.testing.assert_array_equal(found[:5], right[:5])
    assert share(found, right) >= 0.93


def test_all_references_deleted(tmp_path):
    folder = commit_vectors(tmp_path / "a.index", VECTORS[:50])
    make_searchable(folder, "hnsw")
    for label in ("label-0", "label-1", "label-2"):
        remove(folder, label=label)
    with pytest.raises(InputError, match="holds no references"):
        Index.open(folder).search(QUERIES)


def grow(folder, vectors):
    """Add references as a writer does."""
    with staging(folder) as new_files, SegmentWriter(new_files, "tiny", DIMENSION) as references:
        first = Manifest.read(folder).rows
        references.add(*segment_of(vectors, first))
        with writing(folder) as writer:
            after = added(writer, writer.before, references, new_files)
            after = structure.searchable(after, folder, new_files, writer.generation)
            writer.commit(after, Change("add"), new_files)
    return after.search


def segment_of(vectors, first):
    """References for a segment."""
    rows = range(first, first + len(vectors))
    columns = {"id": [f"{row:032x}" for row in rows], "path": ["x.jpg"] * len(rows)}
    table = pa.table({**columns, "label": pa.array(["new"] * len(rows)).dictionary_encode()})
    return EmbeddingSet(vectors, table, "tiny"), [b""] * len(vectors)


@pytest.mark.parametrize("kind", [*APPROXIMATE, "PCA8,IVF16,SQ8"])
def test_what_is_new_is_searched_exactly_until_it_is_a_tenth(kind, tmp_path):
    first, more, most = VECTORS[:1500], VECTORS[1500:1650], VECTORS[1650:1700]
    folder = commit_vectors(tmp_path / "a.index", first)
    before = make_searchable(folder, kind)
    assert grow(folder, more) == before
    found = Index.open(folder).search(more, 1)
    np.testing.assert_array_equal(found.rows[:, 0], np.arange(1500, 1650))
    after = grow(folder, most)
    assert (after.rows, after.count, after.begun, after.queries) == (1700, 1700, 1500, 1000)
    assert after.file != before.file
    found = share(Index.open(folder).search(QUERIES, 10).rows, naive(QUERIES, VECTORS[:1700], 10))
    assert found >= 0.93
    again = grow(folder, VECTORS[1700:])
    assert (again.rows, again.begun) == (3000, 1500)
    assert grow(folder, clustered(400, seed=4)).begun == 3400


def test_a_graph_that_has_grown_leaves_out_what_was_deleted_before(tmp_path):
    folder = commit_vectors(tmp_path / "a.index", VECTORS[:1000])
    make_searchable(folder, "hnsw")
    grow(folder, VECTORS[1000:1050])
    with writing(folder) as writer:
        writer.commit(removed(writer.before, [3, 1000, 1010]), Change("remove"))
    search = grow(folder, VECTORS[1050:1200])
    assert (search.rows, search.count) == (1200, 1198)
    found = Index.open(folder).search(VECTORS[:1200], 1).rows[:, 0]
    assert not {3, 1000, 1010} & {*found.tolist()}
    assert Index.open(folder).search(QUERIES[:1], 5000).rows.shape == (1, 1197)


def test_auto_takes_a_graph_where_the_index_has_grown_and_lets_go_of_it(tmp_path, monkeypatch):
    folder = commit_vectors(tmp_path / "a.index", VECTORS[:1000])
    assert make_searchable(folder, "auto").file is None
    monkeypatch.setattr(kinds, "FAST_ENOUGH", 1500 * DIMENSION)
    assert grow(folder, VECTORS[1000:1400]).file is None
    assert grow(folder, VECTORS[1400:2000]).factory == "HNSW16_SQ8"
    monkeypatch.setattr(kinds, "FAST_ENOUGH", 5000 * DIMENSION)
    assert grow(folder, VECTORS[2000:2001]).file is None


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 30, 100])
@pytest.mark.parametrize("kind", APPROXIMATE)
def test_very_few_references(kind, count, tmp_path):
    folder = commit_vectors(tmp_path / "a.index", VECTORS[:count])
    if kind == "ivfpq" and count < 16:
        with pytest.raises(
            InputError, match=r"FAISS cannot make 'RR16,IVF1,PQ8x4fs' of \d+ references: .*take another"
        ):
            make_searchable(folder, kind)
        return
    search = make_searchable(folder, kind)
    assert search.queries == (count if count > 1 else 0)
    assert (search.recall is None) == (count < 2)
    assert search.recall is None or search.recall >= 0.95
    found = Index.open(folder).search(QUERIES[:20], count)
    np.testing.assert_array_equal(found.rows, naive(QUERIES[:20], VECTORS[:count], count))


def test_what_cannot_grow_is_refused(tmp_path):
    folder = commit_vectors(tmp_path / "a.index", VECTORS)
    with pytest.raises(InputError, match=r"FAISS cannot make 'NSG16' of 3000 references: .*NSG does not support"):
        make_searchable(folder, "NSG16")
    assert Index.open(folder).generation == 1


def test_a_target_that_is_out_of_reach_is_told(tmp_path, capsys):
    folder = commit_vectors(tmp_path / "a.index", VECTORS)
    search = make_searchable(folder, "PCA1,SQ8", target=1.0)
    assert search.far_recall < 1
    assert "less than --target-recall 1.0; take another --kind" in capsys.readouterr().err


def test_the_same_vector_many_times(tmp_path):
    """Any ten of them are the ten nearest."""
    same = np.repeat(VECTORS[:1], 600, axis=0)
    folder = commit_vectors(tmp_path / "a.index", np.concatenate([same, VECTORS]))
    search = make_searchable(folder, "hnsw")
    assert search.recall >= 0.95
    assert (Index.open(folder).search(VECTORS[:1], 10).similarities > 1 - 1e-6).all()


def test_an_older_generation_keeps_its_search_file(tmp_path):
    folder = commit_vectors(tmp_path / "a.index", VECTORS[:1000])
    old = make_searchable(folder, "hnsw").file
    opened = Index.open(folder)
    make_searchable(folder, "ivf")
    assert (folder / old).exists()
    make_searchable(folder, "flat")
    assert not (folder / old).exists()
    assert share(opened.search(QUERIES, 10).rows, naive(QUERIES, VECTORS[:1000], 10)) >= 0.93


def test_a_graph_that_no_longer_fits_is_not_grown(tmp_path):
    folder = commit_vectors(tmp_path / "a.index", VECTORS[:1000])
    with writing(folder) as writer:
        asked = replace(writer.before.search, max_memory=1400 * (DIMENSION + 150))
        writer.commit(replace(writer.before, search=asked), Change("test"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "FAST_ENOUGH", 0)
        assert grow(folder, VECTORS[1000:1300]).factory == "HNSW16_SQ8"
        assert grow(folder, VECTORS[1300:1500]).factory == "IVF30,SQ8"
        assert grow(folder, VECTORS[1500:1900]).begun == 1500


@pytest.mark.parametrize("kind", ["hnsw", "ivf", "ivfpq"])
@pytest.mark.parametrize("how", ["alike", "gone"])
def test_a_structure_that_grows_finds_as_much_as_before(kind, how, tmp_path):
    """What is added may be alike, which is easy to find, or gone already."""
    draw = np.random.default_rng(8)
    first, queries = unit(draw.normal(size=(3000, DIMENSION))), unit(draw.normal(size=(200, DIMENSION)))
    folder = commit_vectors(tmp_path / "a.index", first)
    before = make_searchable(folder, kind)
    if how == "alike":
        grow(folder, unit(first[:1] + 0.02 * draw.normal(size=(400, DIMENSION))))
    else:
        grow(folder, unit(draw.normal(size=(300, DIMENSION))))
        remove(folder, label="new")
        grow(folder, unit(draw.normal(size=(40, DIMENSION))))
    index = Index.open(folder)
    after = index.manifest.search
    assert (after.file != before.file, after.queries) == (True, 1000)
    found = share(index.search(queries, 10).rows, index.search(queries, 10, exact=True).rows)
    assert found >= 0.94
    assert (
        after.parameters.items()
        >= {name: max(value, before.parameters[name]) for name, value in after.parameters.items()}.items()
    )


@pytest.mark.parametrize("kind", ["hnsw", "ivf", "ivfpq"])
def test_the_effort_grows_with_the_neighbours(kind, tmp_path):
    draw = np.random.default_rng(9)
    vectors = unit(draw.normal(size=(4000, DIMENSION)))
    folder = commit_vectors(tmp_path / "a.index", vectors)
    make_searchable(folder, kind, target=0.9)
    index = Index.open(folder)
    queries = unit(draw.normal(size=(50, DIMENSION)))
    for k in (10, 40, 200):
        assert share(index.search(queries, k).rows, index.search(queries, k, exact=True).rows) >= 0.88


def test_more_is_proposed_where_much_was_deleted(tmp_path):
    folder = commit_vectors(tmp_path / "a.index", VECTORS[:1000], labels=["here", "gone"] * 500)
    make_searchable(folder, "sq")
    before = Index.open(folder)._searcher._proposals.candidates(QUERIES, 10)[0].shape[1]
    remove(folder, label="gone")
    after = Index.open(folder)._searcher._proposals.candidates(QUERIES, 10)[0].shape[1]
    assert after == 2 * before


def test_a_tenth_is_of_all_references(tmp_path):
    """Of what is newer than the file, 105 of 1,105 are a tenth of those before and less than one of all."""
    folder = commit_vectors(tmp_path / "a.index", VECTORS[:1000])
    before = make_searchable(folder, "sq")
    assert grow(folder, VECTORS[1000:1105]).file == before.file
    assert grow(folder, VECTORS[1105:1120]).file != before.file
