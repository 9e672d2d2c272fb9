"""Near copies among references, compared with plain loops; and what an index promises where it has some."""

import numpy as np
import pyarrow as pa
import pytest

from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.groups import group_codes
from index import Index
from index.add import main as add
from index.calibrate import describe
from index.calibrate import main as calibrate
from index.calibration import class_codes, split_scores, with_joined
from index.copies import joined_groups
from index.hidden import of_neighbours
from tests.index.conftest import CLASSES, PHOTOS, commit_vectors, made, under_another_label, unit

ROWS = CLASSES * PHOTOS


def with_copies(folder, rows, spread=0.01, **columns):
    """Add a near copy of each of some references to an index, under another id."""
    index = Index.open(folder)
    vectors = index.vectors(rows)
    noise = np.random.default_rng(5).normal(size=vectors.shape)
    table = index.table.take(pa.array(rows)).select(["label", "path", "trained_on", "class_trained_on"])
    table = table.append_column("id", pa.array([f"c{place:031x}" for place in range(len(rows))]))
    for name, values in columns.items():
        table = table.append_column(name, values)
    copies = EmbeddingSet(unit(vectors + spread * noise), table, "tiny")
    copies.save(folder.with_suffix(".copies"), made_from={}, images_root=None, left_out=[])
    add(folder, str(folder.with_suffix(".copies")))
    return folder


def test_copies_are_of_one_group_as_plain_loops_find(tmp_path):
    folder = with_copies(made(tmp_path / "a.index"), np.array([3, 40, 41, 3]))
    index = Index.open(folder)
    vectors = index.vectors(np.arange(index.count))
    groups = group_codes(index.table)
    expected = groups.copy()
    for one in range(index.count):
        for other in range(one):
            if vectors[one] @ vectors[other] >= 0.995:
                expected[expected == expected[one]] = expected[other]
    found = with_joined(groups, *joined_groups(index, np.arange(index.count), groups))
    np.testing.assert_array_equal(found, expected)
    assert found[288:].tolist() == [3, 40, 41, 3]


def test_photos_that_look_the_same_are_of_one_group(tmp_path):
    """Of neighbours, those whose hashes differ in three bits, and none that differ in four."""
    hashes = np.random.default_rng(2).integers(0, 2**63, ROWS, np.uint64)  # of other photos: some 32 bits differ
    vectors = Index.open(made(tmp_path / "a.index")).vectors(np.arange(ROWS))
    (one, alike), (other, unlike) = [(row, int(np.argsort(-vectors @ vectors[row])[1])) for row in (40, 200)]
    hashes[alike], hashes[unlike] = hashes[one] ^ np.uint64(0b10101), hashes[other] ^ np.uint64(0b1010101)
    folder = made(tmp_path / "b.index", picture_hash=pa.array(hashes))
    groups, targets = joined_groups(Index.open(folder), np.arange(ROWS), np.arange(ROWS))
    assert (groups.tolist(), targets.tolist()) == ([max(one, alike)], [min(one, alike)])


def test_a_space_in_which_all_is_alike_is_none_of_copies(tmp_path):
    narrow = made(tmp_path / "a.index")
    index = Index.open(narrow)
    vectors = unit(index.vectors(np.arange(ROWS)) + 40 * np.eye(16)[0])  # all cosines are above 0.995
    assert (vectors @ vectors.T).min() > 0.995
    folder = commit_vectors(tmp_path / "b.index", vectors)
    assert len(joined_groups(Index.open(folder), np.arange(ROWS), np.arange(ROWS))[0]) < 5


def test_identical_vectors_cannot_be_calibrated(tmp_path):
    folder = made(tmp_path / "a.index", spread=0)
    with pytest.raises(InputError, match="no class has two references that are neither of one group nor copies"):
        calibrate(folder)


@pytest.mark.parametrize("by", ["neighbours", "prototypes", "both"])
def test_what_is_promised_is_so_where_every_photo_is_there_twice(tmp_path, by):
    """New photos have no near copy, so references are to be hidden with theirs."""
    held, known, stated = [], [], []
    for seed in range(4):
        draw = np.random.default_rng(seed)
        centres = draw.normal(size=(CLASSES, 16))  # as ``made`` draws them
        folder = with_copies(made(tmp_path / f"{seed}.index", seed=seed), np.arange(ROWS))
        found = calibrate(folder, by=by)
        assert found.copies == 2 * ROWS
        index = Index.open(folder)
        stated.append(found.known_accepted)
        new = np.random.default_rng(50 + seed)
        for code in range(CLASSES):
            for vector in unit(centres[code] + 0.55 * new.normal(size=(4, 16))):
                answer = index.judge(vector)
                held.append(f"class-{code:02}" in answer.label_set)
                known.append(answer.known)
    assert np.mean(known) == pytest.approx(np.mean(stated), abs=0.04)  # 384 photos, a standard error of 1.5 points
    assert np.mean(held) > 0.85


def test_people_are_told_of_copies(tmp_path):
    folder = with_copies(made(tmp_path / "a.index"), np.array([3, 40, 41]))
    assert "291 photos of 24 classes (6 have near copies, which were left out with them)" in describe(calibrate(folder))


def test_scores_name_the_groups_that_are_one(tmp_path):
    folder = with_copies(made(tmp_path / "a.index"), np.array([3, 40]))
    calibrate(folder)
    index = Index.open(folder)
    scores, (joined, target) = split_scores(index._scores)
    assert len(scores) == 290
    assert (joined.tolist(), target.tolist()) == ([288, 289], [3, 40])
    by_row = dict(zip(scores["row"].to_pylist(), scores["group"].to_pylist(), strict=True))
    assert (by_row[288], by_row[3], by_row[289]) == (3, 3, 40)
    assert index._judge.groups[[3, 40, 288, 289]].tolist() == [3, 40, 3, 40]


def test_a_photo_under_two_labels_is_hidden_with_its_twin_whatever_their_groups(tmp_path):
    groups = pa.array([f"bird-{row // 2}" for row in range(ROWS)])
    folder = made(tmp_path / "a.index", group=groups)
    rows = np.array([1, 101, 201])
    index = under_another_label(folder, rows)
    codes = class_codes(index.labels, index.kept)[1]
    groups = group_codes(index.table, shared_ids=True)
    assert of_neighbours(index, rows, codes, groups).similarities.max() > 0.99
    groups = with_joined(groups, *joined_groups(index, rows, groups))
    votes = of_neighbours(index, rows, codes, groups)
    assert max(votes.strangers.max(), votes.similarities.max()) < 0.99
