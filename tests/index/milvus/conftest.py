"""Vectors in Milvus against the same vectors in files. Only Milvus Lite is tried."""

import faiss
import numpy as np
import pyarrow as pa
import pytest

from eval.embeddings import EmbeddingSet
from index import Index
from index.build import main as build
from index.manifest import Manifest
from index.milvus_client import connect
from tests.index.conftest import unit

DIMENSION = 48


def clustered(count, seed):
    """Vectors of 12 clusters, and the number of each one's."""
    centres = np.random.default_rng(0).normal(size=(12, DIMENSION))
    draw = np.random.default_rng(seed)
    of = draw.integers(12, size=count)
    return unit(centres[of] + 0.7 * draw.normal(size=(count, DIMENSION))), of


QUERIES = clustered(10, seed=99)[0]


def embeddings(folder, count, seed):
    """An embeddings folder; a fifth of its vectors are copies of one, so that there are ties."""
    vectors, of = clustered(count, seed)
    vectors[:: max(1, count // 5)] = vectors[0]
    table = pa.table(
        {
            "id": [f"{seed:016x}{row:016x}" for row in range(count)],
            "label": [f"kind-{one}" for one in of],
            "path": [f"{seed}/{row}.jpg" for row in range(count)],
            "trained_on": [False] * count,
            "class_trained_on": [False] * count,
        }
    )
    EmbeddingSet(vectors, table, "tiny").save(folder, made_from={}, images_root=None, left_out=[])
    return str(folder)


@pytest.fixture(autouse=True)
def extra():
    """Skip where Milvus Lite is not installed."""
    for name in ("pymilvus", "milvus_lite"):
        pytest.importorskip(name, reason="the extra milvus is not installed")


@pytest.fixture(autouse=True)
def faiss_as_it_was(monkeypatch):
    """Take back what metric-learning libraries, which other tests import, make of FAISS, on which Milvus Lite runs.

    ``faiss.contrib.torch_utils`` replaces ``search`` by one that takes no parameters, and keeps the original.
    """
    for one in vars(faiss).values():
        if isinstance(one, type) and "search_numpy" in vars(one):
            monkeypatch.setattr(one, "search", vars(one)["search_numpy"])


@pytest.fixture
def lite(tmp_path):
    """The address of a Milvus Lite."""
    from milvus_lite.server_manager import server_manager_instance

    path = tmp_path / "vectors.db"
    yield str(path)
    server_manager_instance.release_server(str(path))


@pytest.fixture
def source(tmp_path):
    """A function that makes an embeddings folder."""
    return lambda count, seed: embeddings(tmp_path / f"embeddings-{seed}", count, seed)


@pytest.fixture
def twins(tmp_path, lite, source, tiny_embedder):
    """The same 60 references with their vectors in Milvus, and in files."""
    images = source(60, 1)
    return [
        build(tiny_embedder, images, out=tmp_path / f"{name}.index", milvus=address)
        for name, address in (("milvus", lite), ("files", None))
    ]


def found(folder, k=7, **options):
    """The ids of the nearest references, and their similarities."""
    index = folder if isinstance(folder, Index) else Index.open(folder)
    near = index.search(QUERIES, k, **options)
    return np.array(index.table["id"].to_pylist())[near.rows].tolist(), near.similarities.tolist()


def check_same(far, near):
    """Two indexes give the same answers: the ids, and every bit of the similarities."""
    there, here = Index.open(far), Index.open(near)
    assert there.count == here.count
    for k in (7, 1000):
        assert found(there, k) == found(here, k)
    ids = [index.table["id"].filter(pa.array(index.kept)).to_pylist() for index in (there, here)]
    assert ids[0] == ids[1]
    vectors = [index.vectors(np.flatnonzero(index.kept)) for index in (there, here)]
    np.testing.assert_array_equal(*vectors)
    for one, other in zip(*[[index.judge(vector) for vector in QUERIES[:2]] for index in (there, here)], strict=True):
        assert [(each.label, each.similarity) for each in one.neighbours] == [
            (each.label, each.similarity) for each in other.neighbours
        ]
        assert one.candidates == other.candidates


def collections(folder):
    """The collections that Milvus has, the one that the index names, and the one behind the alias."""
    place = Manifest.read(folder).milvus
    client = connect(place.address)
    alias = place.name.rpartition("_")[0]
    return sorted(client.list_collections()), place.name, client.describe_alias(alias)["collection_name"]


@pytest.fixture
def asked(monkeypatch):
    """What Milvus is asked to search for: how many neighbours, and with which parameters."""
    from pymilvus import MilvusClient

    questions, search = [], MilvusClient.search

    def ask(self, where, **options):
        questions.append((options["limit"], options["search_params"]["params"]))
        return search(self, where, **options)

    monkeypatch.setattr(MilvusClient, "search", ask)
    return questions
