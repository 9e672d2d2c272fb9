"""What is planted in facts and tables is found, and nothing else."""

import numpy as np
import pyarrow as pa
import pytest

from embedder.data import findings
from embedder.data.catalog import TYPES
from embedder.data.findings import Looked
from embedder.data.photo_facts import PhotoFacts


@pytest.fixture
def looked(make_catalog):
    """Photos of 100 x 80 pixels, one row a photo: path, label and side."""

    def look(rows, ids=None, sizes=None, unreadable=(), **columns):
        count = len(rows)
        catalog = make_catalog([(path, label) for path, label, _ in rows], **columns)
        facts = PhotoFacts(
            ids=np.array([name.encode() for name in ids or [f"{row:032x}" for row in range(count)]], "S32"),
            sizes=np.array(sizes or [(100, 80)] * count, np.int32),
            pictures=np.zeros(count, np.uint64),
            pictured=np.ones(count, bool),
            reasons=dict.fromkeys(unreadable, "is empty"),
            samples={},
        )
        for row in unreadable:
            facts.ids[row], facts.sizes[row], facts.pictured[row] = b"", 0, False
        sides = [side for _, _, side in rows]
        return Looked(catalog, facts, *(np.array([one == side for one in sides]) for side in ("train", "test")))

    return look


def boxed(*boxes):
    return {"box": pa.array(boxes, TYPES["box"])}


def pointed(*points):
    return {"keypoints": pa.array(points, TYPES["keypoints"])}


FOUR = [("a/1.jpg", "a", "train"), ("a/2.jpg", "a", "test"), ("b/3.jpg", "b", "train"), ("b/4.jpg", "b", "test")]


def test_photos_that_cannot_be_read_are_named_with_the_reason(looked):
    found = findings.unreadable(looked(FOUR, unreadable=[1]))
    assert [entry.rows for entry in found.entries] == [[1]]
    assert found.entries[0].text == "a/2.jpg: is empty"
    assert found.entries[0].facts == {"path": "a/2.jpg", "label": "a", "side": "test", "reason": "is empty"}
    assert found.headline == "Photos that cannot be read: 1"


def test_exact_duplicates_the_worst_first(looked):
    rows = [("a/1.jpg", "a", "train"), ("a/2.jpg", "a", "train"), ("b/3.jpg", "b", "train"), ("c/4.jpg", "c", "train")]
    rows += [("cx.jpg", "c", "test"), ("b/6.jpg", "b", "train"), ("c/7.jpg", "c", "test"), ("d/8.jpg", "d", "train")]
    found = findings.same_photos(looked(rows, ids=["p", "p", "q", "q", "r", "r", "s", "t"]))
    assert [entry.rows for entry in found.entries] == [[4, 5], [2, 3], [0, 1]]
    assert [entry.text for entry in found.entries] == [
        "cx.jpg (c) = b/6.jpg: labels differ, on both sides",
        "b/3.jpg = c/4.jpg: labels differ",
        "a/1.jpg = a/2.jpg",
    ]
    assert found.summary == "3 groups of 6 photos, 2 under several labels, 1 on both sides of the split"
    assert found.entries[1].facts["photos"] == [
        {"path": "b/3.jpg", "label": "b", "side": "train"},
        {"path": "c/4.jpg", "label": "c", "side": "train"},
    ]


def test_files_that_cannot_be_read_are_no_duplicates(looked):
    assert findings.same_photos(looked(FOUR, unreadable=[0, 3])).entries == []


def test_near_duplicates_hold_two_different_files(looked):
    """A group of one file alone is an exact duplicate; one that a third file is like is both."""
    rows = [(f"a/{row}.jpg", "a", "train") for row in range(6)]
    seen = looked(rows, ids=["p", "p", "q", "q", "r", "s"])
    found = findings.near_copies(seen, np.array([[0, 2, 1], [1, 3, 4]]))
    assert [entry.rows for entry in found.entries] == [[0, 1, 4]]
    assert found.summary == "1 group of 3 photos, 0 under several labels"
    assert findings.near_copies(seen, np.empty((2, 0), np.int64)).entries == []


def test_a_copy_of_a_near_copy_is_one_too(looked):
    """Two photos of the test that are near copies, of which one is a training photo as well."""
    rows = [("a/1.jpg", "a", "test"), ("a/2.jpg", "a", "train"), ("a/3.jpg", "a", "test")]
    found = findings.near_copies(looked(rows, ids=["p", "p", "q"]), np.array([[0], [2]]))
    assert [entry.rows for entry in found.entries] == [[0, 1, 2]]
    assert found.summary.endswith("1 on both sides of the split")


def test_no_label_is_no_other_label(looked):
    found = findings.same_photos(looked([("1.jpg", "a", "train"), ("2.jpg", None, "train")], ids=["p", "p"]))
    assert "0 under several labels" in found.summary
    assert "differ" not in found.entries[0].text


def test_tiny_photos_and_boxes(looked):
    sizes = [(100, 31), (31, 100), (32, 32), (100, 80)]
    columns = boxed(None, None, None, [0, 0, 20.5, 80])
    found = findings.tiny(looked(FOUR, sizes=sizes, **columns), 32)
    assert [(entry.rows, entry.text.partition(": ")[2]) for entry in found.entries] == [
        ([3], "21 x 80 pixels"),
        ([0], "100 x 31 pixels"),
        ([1], "31 x 100 pixels"),
    ]
    assert findings.tiny(looked(FOUR, unreadable=[2]), 32).entries == []


@pytest.mark.parametrize(
    ("box", "fault"),
    [
        ([0, 0, 100, 80], None),
        ([-1, -1, 101, 81], None),
        ([-3, 0, 50, 50], "the box -3, 0, 50, 50 reaches 3 pixels beyond the 100 x 80"),
        ([10, 10, 50, 82.5], "the box 10, 10, 50, 82.5 reaches 2.5 pixels beyond the 100 x 80"),
        ([100, 0, 120, 50], "the box 100, 0, 120, 50 lies outside of the 100 x 80 pixels"),
        (None, None),
    ],
)
@pytest.mark.parametrize("column", ["box", "subject_box"])
def test_boxes_out_of_place(looked, box, fault, column):
    seen = looked(FOUR, **{column: pa.array([None, box, None, None], TYPES["box"])})
    found = findings.boxes(seen)
    assert [(entry.rows, entry.facts["fault"], entry.facts["column"]) for entry in found.entries] == (
        [([1], fault, column)] if fault else []
    )


def test_a_photo_that_cannot_be_read_says_nothing_of_its_box(looked):
    assert findings.boxes(looked(FOUR, unreadable=[0], **boxed([500, 0, 600, 9], None, None, None))).entries == []


@pytest.mark.parametrize(
    ("points", "fault"),
    [
        ([[5, 5, 1], [101, 81, 1]], None),
        ([[5, 5, 1], [300, 5, 0]], None),
        ([[5, 5, 0], [0, 0, 0]], "none of its 2 keypoints is visible"),
        ([[5, 5, 1], [102, 5, 1]], "keypoint 1 at (102, 5) is outside of the 100 x 80 pixels"),
        ([[-9, 5, 1], [5, float("nan"), 1]], "keypoint 0 at (-9, 5) and 1 more are outside of the 100 x 80 pixels"),
        ([], None),
        (None, None),
    ],
)
def test_keypoints_out_of_place(looked, points, fault):
    found = findings.keypoints(looked(FOUR, **pointed(None, None, points, None)))
    assert [(entry.rows, entry.facts["fault"]) for entry in found.entries] == ([([2], fault)] if fault else [])


@pytest.mark.parametrize(("x", "far"), [(49, False), (51, True)])
def test_keypoints_far_outside_of_their_box(looked, x, far):
    """The box is 40 wide and ends at 40; a quarter of that beyond is tolerated."""
    seen = looked(FOUR, **boxed([0, 0, 40, 20], None, None, None), **pointed([[x, 5, 1]], None, None, None))
    assert [entry.text for entry in findings.keypoints(seen).entries] == (
        ["a/1.jpg: keypoint 0 at (51, 5) is far outside of the box 0, 0, 40, 20"] if far else []
    )
