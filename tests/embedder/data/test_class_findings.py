import numpy as np
import pyarrow as pa
import pytest

from embedder.data import class_findings
from embedder.data.findings import Looked
from embedder.data.photo_facts import PhotoFacts


@pytest.fixture
def looked(make_catalog):
    """Photos by their labels and sides."""

    def look(train, test="", **columns):
        labels = [*train, *test]
        catalog = make_catalog([(f"{row}.jpg", label) for row, label in enumerate(labels)], **columns)
        nothing = np.zeros(len(labels), np.int32)
        facts = PhotoFacts(nothing.astype("S32"), nothing[:, None], nothing, nothing > 0, {}, {})
        training = np.arange(len(labels)) < len(train)
        return Looked(catalog, facts, training, ~training)

    return look


def test_how_much_there_is_of_each_class(looked):
    train, test = class_findings.counts(looked("aabbbc", "ab"))
    assert (train.side, train.photos, [*train.classes.items()]) == ("train", 6, [("c", 1), ("a", 2), ("b", 3)])
    assert (test.side, test.photos, test.classes) == ("test", 2, {"a": 1, "b": 1})
    (both,) = class_findings.counts(looked(["a", None]))
    assert (both.side, both.photos, both.classes) == ("all", 2, {"a": 1})


def test_classes_on_both_sides_where_they_are_to_be_apart(looked):
    found = class_findings.sides(looked("aabb", "bc"), apart=True)
    assert (found.title, len(found.entries)) == ("Classes on both sides of the split", 1)
    assert found.entries[0].text == "b: 2 in train, 1 in test"
    assert found.entries[0].facts == {"label": "b", "train": 2, "test": 1}
    assert found.entries[0].rows == [2, 3, 4]


def test_classes_on_one_side_where_they_are_to_be_shared(looked):
    found = class_findings.sides(looked("aabb", "bc"), apart=False)
    assert found.title == "Classes on one side of the split only"
    assert [entry.text for entry in found.entries] == ["a: 2 in train", "c: 1 in test"]


@pytest.mark.parametrize(
    ("train", "test", "told"), [("abcd", "defg", ["d"]), ("abcd", "abcx", ["d", "x"]), ("ab", "ab", [])]
)
def test_what_is_meant_is_seen_from_most_classes(looked, train, test, told):
    found = class_findings.sides(looked(train, test), apart=None)
    assert [entry.facts["label"] for entry in found.entries] == told
    assert ("1 of 7 are on both" in found.note) == (train == "abcd" and test == "defg")


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (["House_Sparrow", "house sparrow", "Tree-Sparrow"], [["House_Sparrow", "house sparrow"]]),
        (["Jäger", "Ja\u0308ger", "Jager"], [["Jäger", "Ja\u0308ger"]]),
        (["001.Crow", "002.Raven", "003.crow"], [["001.Crow", "003.crow"]]),
        (["3_Series", "5_Series", "Corsa"], []),
        (["0", "1", "10"], []),
        (["v1.0", "v10", "v1_0"], [["v1.0", "v1_0"]]),
        (["की", "का"], []),
        (["C", "C++", "-", "_"], []),
    ],
)
def test_classes_of_nearly_one_name(looked, names, alike):
    found = class_findings.one_name(looked(names))
    assert [entry.facts["labels"] for entry in found.entries] == alike


def test_one_name_on_both_sides_comes_first(looked):
    found = class_findings.one_name(looked(["a b", "a_b", "Rook"], ["rook"]))
    assert [entry.text for entry in found.entries] == [
        "'Rook' (1 photo train), 'rook' (1 photo test)",
        "'a b' (1 photo train), 'a_b' (1 photo train)",
    ]


def test_classes_of_a_single_photo_or_none(looked):
    found = class_findings.lone(looked("aab"), ["c", "train/d"])
    assert [(entry.text, entry.rows) for entry in found.entries] == [
        ("c: no photo", []),
        ("train/d: no photo", []),
        ("b: 1 photo", [2]),
    ]


def test_groups_on_both_sides(looked):
    groups = pa.array(["x", "y", None, "y", "x", None])
    found = class_findings.groups(looked("aaab", "ab", group=groups))
    assert [(entry.facts["group"], entry.rows) for entry in found.entries] == [("x", [0, 4])]
    assert found.entries[0].text == "x: 1 in train, 1 in test (0.jpg, 4.jpg)"
