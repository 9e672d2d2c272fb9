"""A tiny embedder and photos to index, made on the spot."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper
from PIL import Image

from eval.embeddings import EmbeddingSet
from index import Index
from index.commit import staging, writing
from index.journal import Change
from index.manifest import Manifest, Search
from index.remove import main as remove
from index.segment import SegmentWriter
from index.store import current
from index.structure import searchable
from tests.conftest import unit

SIDE, CELLS = 32, 4
CLASSES, PHOTOS = 24, 12


@pytest.fixture(scope="session")
def tiny_embedder(tmp_path_factory):
    """An embedder whose vector is the mean colour of 4 x 4 cells: D is 48."""
    folder = tmp_path_factory.mktemp("tiny")
    write_embedder(folder / "embedder.onnx", "tiny")
    np.save(folder / "trained_on.npy", np.array(["0" * 32, "1" * 32]))
    return folder / "embedder.onnx"


@pytest.fixture
def other_embedder(tmp_path):
    """The same network under another fingerprint."""
    write_embedder(tmp_path / "other.onnx", "other")
    return tmp_path / "other.onnx"


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Twenty photos of four classes, the classes told apart by a pattern."""
    root = tmp_path_factory.mktemp("photos")
    for number in range(20):
        write_photo(root / f"class-{number % 4}" / f"{number:02}.png", number % 4, number)
    return root


@pytest.fixture(scope="session")
def built(tiny_embedder, photos, tmp_path_factory):
    """An index of the twenty photos; tests must leave it as it is."""
    from index.build import main

    return main(tiny_embedder, str(photos), out=tmp_path_factory.mktemp("built") / "birds.index")


def write_photo(path, label, seed, size=(40, 30)):
    """Noise over a pattern that depends on the label."""
    pattern = np.random.default_rng(1000 + label).integers(0, 256, (3, 4, 3)).repeat(10, 0).repeat(10, 1)
    noise = np.random.default_rng(seed).normal(0, 60, (*size[::-1], 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pattern[: size[1], : size[0]] + noise, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="session")
def mean_embedder(tmp_path_factory):
    """An embedder whose vector is the mean colour of a photo, less middle grey."""
    path = tmp_path_factory.mktemp("mean") / "embedder.onnx"
    write_embedder(path, "mean", pooled=True)
    return path


def write_embedder(path, fingerprint, pooled=False):
    """Write a network without any weights as an embedder: the colours of its cells, or their mean."""
    cell = SIDE // CELLS
    nodes = [
        helper.make_node("Cast", ["images"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["numbers"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["channels", "grey"], ["centred"]),
        helper.make_node("AveragePool", ["centred"], ["features"], kernel_shape=[cell, cell], strides=[cell, cell]),
        helper.make_node("ReduceMean", ["features", "places"], ["flat"], keepdims=0)
        if pooled
        else helper.make_node("Flatten", ["features"], ["flat"]),
        helper.make_node("LpNormalization", ["flat"], ["vector"], axis=1, p=2),
    ]
    dimension = 3 if pooled else 3 * CELLS * CELLS
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["B", SIDE, SIDE, 3])],
        [
            helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["B", dimension]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["B", 3, CELLS, CELLS]),
        ],
        [
            helper.make_tensor("grey", TensorProto.FLOAT, [], [127.4]),
            *([helper.make_tensor("places", TensorProto.INT64, [2], [2, 3])] if pooled else []),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    metadata = {
        "format": 1,
        "preprocessing": {"size": SIDE, "fit": "squash"},
        "views": ["whole"],
        "dimension": dimension,
        "fingerprint": fingerprint,
        "summary": {},
    }
    helper.set_model_props(model, {"fieldmark": json.dumps(metadata)})
    onnx.save(model, path)


@pytest.fixture(scope="session")
def add_vectors():
    """A function that commits one more segment of vectors to an index folder, which is made where there is none."""
    return commit_vectors


def commit_vectors(folder, vectors, labels=None, thumbnail=b"JPEG of %d", **changes):
    before = current(folder)
    start = sum(segment.count for segment in before.segments) if before else 0
    rows = range(start, start + len(vectors))
    table = pa.table(
        {
            "id": [f"{row:032x}" for row in rows],
            "label": pa.array(labels or [f"label-{row % 3}" for row in rows]).dictionary_encode(),
            "path": [f"{row}.jpg" for row in rows],
        }
    )
    with staging(folder) as new_files, SegmentWriter(new_files, "tiny", vectors.shape[1]) as references:
        references.add(EmbeddingSet(vectors, table, "tiny"), [thumbnail % row if thumbnail else b"" for row in rows])
        if before is None:
            (new_files / "embedder-0.onnx").write_bytes(b"a network")
        after = before or Manifest(
            fingerprint="tiny",
            dimension=vectors.shape[1],
            segments=[],
            embedder="embedder-0.onnx",
            trained_on=None,
            images_root="/photos",
            made_from={},
        )
        with writing(folder) as writer:
            after = replace(after, segments=[*after.segments, references.finish(writer.generation)], **changes)
            writer.commit(after, Change("build"), new_files)
    return folder


def make_searchable(folder, kind, target=0.95):
    """Commit a generation of an index that is searched in another way."""
    with staging(folder) as new_files, writing(folder) as writer:
        after = replace(writer.before, search=Search(kind=kind, target_recall=target))
        after = searchable(after, folder, new_files, writer.generation)
        writer.commit(after, Change("rebuild"), new_files)
    return after.search


def made(folder, seed=0, classes=CLASSES, photos=PHOTOS, spread=0.55, **columns):
    """An index of clusters of vectors, with whatever further columns."""
    draw = np.random.default_rng(seed)
    codes = np.repeat(np.arange(classes), photos)
    vectors = unit(draw.normal(size=(classes, 16))[codes] + spread * draw.normal(size=(len(codes), 16)))
    table = {
        "id": [f"{seed:016x}{row:016x}" for row in range(len(codes))],
        "label": pa.array([f"class-{code:02}" for code in codes]).dictionary_encode(),
        "path": [f"{row}.jpg" for row in range(len(codes))],
        "trained_on": [False] * len(codes),
        "class_trained_on": [False] * len(codes),
        **columns,
    }
    first = commit_vectors(folder, vectors[:1], thumbnail=b"")
    with staging(first) as new_files, SegmentWriter(new_files, "tiny", 16) as references:
        references.add(EmbeddingSet(vectors, pa.table(table), "tiny"), [b""] * len(codes))
        with writing(first) as writer:
            after = replace(writer.before, segments=[references.finish(writer.generation)])
            writer.commit(after, Change("test"), new_files)
    return first


def under_another_label(folder, rows):
    """The index to which some of its references have been added once more, under another label."""
    from index.add import main as add

    index, twins = Index.open(folder), folder.with_suffix(".twins")
    table = index.table.take(pa.array(rows)).select(["id", "path", "trained_on", "class_trained_on"])
    table = table.append_column("label", pa.array(["other"] * len(rows)))
    EmbeddingSet(index.vectors(rows), table, "tiny").save(twins, made_from={}, images_root=None, left_out=[])
    add(folder, str(twins), on_conflict="both")
    return Index.open(folder)


@pytest.fixture
def empty(tmp_path):
    """An index of which every reference has been removed."""
    first = unit(np.random.default_rng(0).normal(size=(1, 8)))  # that of the forty photos
    folder = commit_vectors(tmp_path / "a.index", first, labels=["x"], thumbnail=b"", images_root=str(tmp_path))
    remove(folder, label="x")
    return folder
