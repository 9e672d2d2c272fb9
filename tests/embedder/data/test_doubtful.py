"""What vectors say of a catalog's labels."""

import numpy as np
import pyarrow as pa
import pytest

from embedder.data import doubtful
from embedder.data.findings import Looked
from embedder.data.photo_facts import PhotoFacts
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from tests.conftest import unit

CLASSES, EACH = 6, 12
COUNT = CLASSES * EACH
LABELS = [f"class-{row // EACH}" for row in range(COUNT)]
IDS = [f"{row:032x}" for row in range(COUNT)]


def around_centres(spread=0.3):
    draw = np.random.default_rng(0)
    centres = np.repeat(draw.normal(size=(CLASSES, 32)), EACH, axis=0)
    return unit(centres + spread * draw.normal(size=(COUNT, 32)))


@pytest.fixture
def looked(make_catalog):
    def look(labels=LABELS, **columns):
        catalog = make_catalog([(f"{row}.jpg", label) for row, label in enumerate(labels)], **columns)
        nothing = np.zeros(COUNT, bool)
        sizes = np.full((COUNT, 2), 9, np.int32)
        facts = PhotoFacts(np.array(IDS, "S32"), sizes, np.zeros(COUNT, np.uint64), nothing, {}, {})
        return Looked(catalog, facts, ~nothing, nothing)

    return look


@pytest.fixture
def saved(tmp_path):
    """An embeddings folder of some of the photos, in an order of its own and under labels of its own."""

    def save(rows=range(COUNT), vectors=None):
        rows = [*rows][::-1]
        table = pa.table({"id": [IDS[row] for row in rows], "label": ["?"] * len(rows)})
        vectors = around_centres() if vectors is None else vectors
        EmbeddingSet(vectors[rows], table, "f").save(tmp_path / "v", made_from={}, images_root=None, left_out=[])
        return tmp_path / "v"

    return save


def test_a_wrong_label_is_told_by_the_catalogs_own_labels(looked, saved):
    labels = LABELS.copy()
    cosines = around_centres() @ around_centres()[40]
    nearest = int(np.argsort(-cosines)[1])
    labels[40], labels[nearest] = "class-0", "class-5"
    seen = looked(labels)
    found = doubtful.suspicious(seen, doubtful.search(seen, saved()))
    assert {entry.rows[0] for entry in found.entries} == {40, nearest}
    (entry,) = (one for one in found.entries if one.rows[0] == 40)
    assert entry.text.startswith("40.jpg (class-0): neighbours say class-3, ")
    assert (entry.facts["elected"], len(entry.rows)) == ("class-3", 1 + doubtful.EVIDENCE)
    own = [row for row in range(COUNT) if labels[row] == "class-3"]
    assert entry.rows[1:] == sorted(own, key=lambda row: -cosines[row])[: doubtful.EVIDENCE]
    assert [one["path"] for one in entry.facts["neighbours"]] == [f"{row}.jpg" for row in entry.rows[1:]]


def test_right_labels_are_not_suspicious(looked, saved):
    found = doubtful.suspicious(looked(), doubtful.search(looked(), saved()))
    assert found.entries == []
    assert f"Of {COUNT} labels looked at, 0 are outvoted" in found.note


def test_photos_of_the_same_group_do_not_vote(looked, saved):
    """The wrong one and all of its neighbours are of one group, but for one; nobody else speaks against it."""
    labels = LABELS.copy()
    labels[40] = "class-0"
    groups = pa.array(["burst" if LABELS[row] == "class-3" else None for row in range(COUNT)])
    seen = looked(labels, group=groups)
    found = doubtful.suspicious(seen, doubtful.search(seen, saved()))
    assert not any(entry.facts["elected"] == "class-3" for entry in found.entries)


def test_photos_without_a_vector_or_a_label_are_not_looked_at(looked, saved):
    seen = looked([None if row < 5 else label for row, label in enumerate(LABELS)])
    found = doubtful.search(seen, saved(range(3, 60)))
    assert found.looked_at.tolist() == [*range(5, 60)]


def test_vectors_of_other_photos_are_refused(looked, saved, monkeypatch):
    folder = saved(range(5))
    seen = looked([None if row < 5 else label for row, label in enumerate(LABELS)])
    with pytest.raises(InputError, match=r"v has no vectors of the labelled photos in .*; make them by"):
        doubtful.search(seen, folder)


def test_near_vectors_are_near_copies(looked, saved):
    vectors = around_centres(1.0)
    vectors[20], vectors[33] = vectors[7], vectors[7]
    found = doubtful.search(looked(), saved(vectors=vectors))
    assert doubtful.near_pairs(found).T.tolist() == [[7, 20], [7, 33]]
    assert doubtful.near_pairs(doubtful.search(looked(), saved(vectors=around_centres(1.0)))).shape == (2, 0)
