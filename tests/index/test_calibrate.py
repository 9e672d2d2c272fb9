"""Calibration, compared with plain loops and with photos of classes that the index has never seen."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageFilter

from eval.calibration import expected_threshold, leave_one_out_set
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.groups import group_codes
from eval.vote import VOTERS, vote
from index import Index, hidden, hiding
from index.calibrate import describe, main
from index.calibration import class_codes
from index.commit import staging, writing
from index.hiding import MOST_PHOTOS, calibrate
from index.journal import Change
from index.query import main as query
from index.segment import SegmentWriter
from index.shares import of_neighbours
from tests.index.conftest import CLASSES, PHOTOS, made, under_another_label, unit


@pytest.fixture
def folder(tmp_path):
    return made(tmp_path / "a.index")


def test_it_is_what_plain_loops_give(folder):
    index = Index.open(folder)
    found, scores = calibrate(index, "x", false_accepts=0.1)
    vectors, labels = index.vectors(np.arange(index.count)), index.labels
    known, strangers, right = [], [], []
    for row in range(index.count):
        similarities = vectors.astype(np.float64) @ vectors[row]
        order = [other for other in np.argsort(-similarities, kind="stable") if other != row]
        known.append(similarities[order[0]])
        strangers.append(max(similarities[other] for other in order if labels[other] != labels[row]))
        near = order[:VOTERS]
        shares = {
            one.label: one.share
            for one in vote(similarities[near], [labels[other] for other in near], found.temperature)
        }
        right.append(shares.get(labels[row], 0.0))
    codes = np.unique(labels.astype(str), return_inverse=True)[1]
    assert found.threshold == pytest.approx(expected_threshold(np.array(strangers), codes, 0.1), abs=1e-6)
    assert found.known_accepted == pytest.approx((np.array(known) > found.threshold).mean())
    np.testing.assert_allclose(scores["right"].to_numpy(), right, atol=1e-5)
    assert (found.photos, found.classes, found.lone) == (288, 24, 0)


def test_an_empty_index_says_that_it_is_empty(empty):
    with pytest.raises(InputError, match="the index holds no reference; add some"):
        main(empty)


def test_by_default_nine_of_ten_known_photos_pass(tmp_path):
    index = Index.open(made(tmp_path / "a.index", spread=1.0))
    found, _ = calibrate(index, "x")
    assert found.known_accepted >= 0.9
    before, _ = calibrate(index, "x", false_accepts=found.false_accepts - 0.01)
    assert before.known_accepted < 0.9
    assert found.asked is None


def test_few_classes_can_show_no_small_rate(tmp_path):
    folder = made(tmp_path / "a.index", classes=4, photos=60)
    found, _ = calibrate(Index.open(folder), "x", false_accepts=0.01)
    assert found.false_accepts == pytest.approx(1 / 5)
    assert np.isfinite(found.threshold)
    assert "20.0% are expected to be taken for known (1.0% would take more classes)" in describe(found)


def test_photos_of_the_own_group_are_hidden(tmp_path):
    """Twins of one individual would find each other, and look as if new photos were as easy."""
    groups = pa.array([f"{row // 2}" for row in range(CLASSES * PHOTOS)])
    folder = made(tmp_path / "a.index", group=groups)
    index = Index.open(folder)
    twins = group_codes(index.table)
    assert (np.bincount(twins)[np.unique(twins)] == 2).all()
    _, scores = calibrate(index, "x")
    vectors, labels = index.vectors(np.arange(index.count)), index.labels
    found, _ = calibrate(index, "x")
    for place in (0, 5, 100):
        row = scores["row"][place].as_py()
        similarities = vectors @ vectors[row]
        near = [other for other in np.argsort(-similarities, kind="stable") if twins[other] != twins[row]][:VOTERS]
        shares = {one.label: one.share for one in vote(similarities[near], labels[near].tolist(), found.temperature)}
        assert scores["right"][place].as_py() == pytest.approx(shares.get(labels[row], 0.0), abs=1e-5)


def test_rows_without_a_group_are_alone(tmp_path):
    table = pa.table({"id": list("abcd"), "group": pa.array(["x", None, "x", None])})
    codes = group_codes(table)
    assert codes[0] == codes[2]
    assert len({*codes}) == 3


def test_photos_of_a_class_of_one_group_only_count_as_unknown(tmp_path):
    groups = pa.array(["one bird" if row < PHOTOS else None for row in range(CLASSES * PHOTOS)], pa.string())
    found, scores = calibrate(Index.open(made(tmp_path / "a.index", group=groups)), "x")
    assert (found.photos, found.lone, found.scores) == (288, 12, 276)
    assert min(scores["row"].to_pylist()) == 12


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"trained_on": pa.array([None] * 288, pa.bool_())}, "which photos the embedder was trained on is not known"),
        ({"trained_on": [True] * 100 + [False] * 188}, "188 references are photos .* 200 are the least"),
    ],
)
def test_what_cannot_be_calibrated(tmp_path, columns, message):
    folder = made(tmp_path / "a.index", **columns)
    with pytest.raises(InputError, match=message):
        main(folder)
    assert Index.open(folder).calibration is None


def test_one_class_cannot_be_calibrated(tmp_path):
    folder = made(tmp_path / "a.index", classes=1, photos=250)
    with pytest.raises(InputError, match="all references are of one class, class-00"):
        main(folder)


def test_photos_that_were_trained_on_are_left_out(tmp_path):
    trained = [row % 4 == 0 for row in range(288)]
    folder = made(tmp_path / "a.index", trained_on=trained, class_trained_on=[True] * 288)
    found, scores = calibrate(Index.open(folder), "x")
    assert found.photos == 216
    assert not {row for row in range(288) if trained[row]} & {*scores["row"].to_pylist()}
    assert found.classes_trained_on
    assert "takes others for known more often" in describe(found)


def test_classes_that_were_not_trained_on_go_first(tmp_path):
    seen = [row < 40 for row in range(288)]
    found, scores = calibrate(Index.open(made(tmp_path / "a.index", class_trained_on=seen)), "x")
    assert not found.classes_trained_on
    assert min(scores["row"].to_pylist()) == 40


def test_whole_classes_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(hiding, "MOST_PHOTOS", 100)
    assert MOST_PHOTOS == 5000
    _, scores = calibrate(Index.open(made(tmp_path / "a.index")), "x")
    rows = np.array(scores["row"].to_pylist())
    assert len(rows) == 96
    assert np.unique(rows // PHOTOS, return_counts=True)[1].tolist() == [PHOTOS] * 8


@pytest.mark.parametrize(("most", "of_a_class"), [(5000, 250), (150, 30), (40, 9)])
def test_the_draw_is_what_a_loop_over_all_classes_gives(tmp_path, monkeypatch, most, of_a_class):
    monkeypatch.setattr(hiding, "MOST_PHOTOS", most)
    monkeypatch.setattr(hiding, "MOST_OF_A_CLASS", of_a_class)
    draw = np.random.default_rng(5)
    codes = draw.integers(0, 24, 288) ** 2 % 31  # of many sizes, and not in the order of the rows
    trained = draw.random(288) < 0.2
    labels = pa.array([f"class-{code:02}" for code in codes]).dictionary_encode()
    index = Index.open(made(tmp_path / "a.index", label=labels, trained_on=trained))
    draw = np.random.default_rng(7)
    expected, room = [], most
    for one in draw.permutation(np.unique(codes[~trained])):
        photos = draw.permutation(np.flatnonzero(~trained & (codes == one)))[:of_a_class]
        if len(photos) <= room:
            expected += photos.tolist()
            room -= len(photos)
    assert hiding._drawn(index, codes, 7)[0].tolist() == sorted(expected)


@pytest.mark.parametrize("by", ["neighbours", "prototypes", "both"])
def test_sets_hold_the_label_of_new_photos_as_often_as_promised(tmp_path, by):
    """New photos of the same clusters, over several indexes; and unknown ones are taken for known as often as said."""
    held, sizes, accepted, known, stated = [], [], [], [], []
    for seed in range(8):
        draw = np.random.default_rng(100 + seed)
        centres = draw.normal(size=(CLASSES + 6, 16))
        codes = np.repeat(np.arange(CLASSES + 6), PHOTOS + 5)
        vectors = unit(centres[codes] + 1.2 * draw.normal(size=(len(codes), 16)))
        new = np.arange(len(codes)) % (PHOTOS + 5) >= PHOTOS
        indexed = ~new & (codes < CLASSES)
        folder = made(tmp_path / f"{seed}.index", seed=seed)
        opened = Index.open(folder)
        table = opened.table.select(["id", "label", "path", "trained_on", "class_trained_on"])
        with staging(folder) as new_files, SegmentWriter(new_files, "tiny", 16) as references:
            references.add(EmbeddingSet(vectors[indexed], table, "tiny"), [b""] * int(indexed.sum()))
            with writing(folder) as writer:
                after = replace(writer.before, segments=[references.finish(writer.generation)])
                writer.commit(after, Change("test"), new_files)
        main(folder, by=by, false_accepts=0.2, coverage=0.8)
        index = Index.open(folder)
        for row in np.flatnonzero(new):
            answer = index.judge(vectors[row])
            if codes[row] < CLASSES:
                held.append(f"class-{codes[row]:02}" in answer.label_set)
                sizes.append(len(answer.label_set))
                known.append(answer.known)
                stated.append((answer.probability, answer.candidates[0].label == f"class-{codes[row]:02}"))
            else:
                accepted.append(answer.known)
    assert 0.76 < np.mean(held) < 0.86  # 960 photos, whose standard error is 1.3 points and more
    assert 1 < np.mean(sizes) < 6
    assert np.mean(accepted) < 0.3  # 240 photos of 48 classes
    assert np.mean(known) > np.mean(accepted) + 0.1
    probability, right = np.mean(stated, axis=0)
    assert abs(probability - right) < 0.1


def test_a_set_can_be_all_labels(folder):
    index = Index.open(folder)
    found, scores = calibrate(index, "x", coverage=0.9)
    nothing = pa.table({**{name: scores[name] for name in ("row", "group")}, "right": np.zeros(len(scores))})
    near = index.search(index.vectors(np.array([3])), 20)
    shares = by_neighbours(index, near, scores, found.temperature)
    assert shares.label_set(nothing, 0.9) is None
    assert shares.label_set(scores, 0.9)[0] == "class-00"


def by_neighbours(index, near, scores, temperature):
    """The shares of the neighbours' vote, each row a group."""
    labels = index.labels[near.rows[0]].tolist()
    return of_neighbours(near.similarities[0], labels, near.rows[0], np.unique(scores["group"]), temperature)


def test_an_answer_with_everything(tiny_embedder, tmp_path, capsys):
    from index.build import main as build
    from tests.index.conftest import write_photo

    for number in range(240):
        write_photo(tmp_path / "photos" / f"class-{number % 20:02}" / f"{number:03}.png", number % 20, number)
    np.save(tmp_path / "trained_on.npy", np.array(["0" * 32]))
    folder = build(tiny_embedder, str(tmp_path / "photos"), out=tmp_path / "a.index")
    assert "calibrated on 240 photos of 20 classes" in capsys.readouterr().err
    assert Index.open(folder).generation == 1
    write_photo(tmp_path / "known.png", 3, 999)
    write_photo(tmp_path / "unknown.png", 77, 999)
    query(folder, tmp_path / "known.png", tmp_path / "unknown.png", k=2, json=True)
    known, unknown = json.loads(capsys.readouterr().out)
    assert (known["known"], known["label"], known["label_set"]) == (True, "class-03", ["class-03"])
    assert known["probability"] == pytest.approx(known["candidates"][0]["share"])
    assert known["coverage"] == 0.9
    assert len(known["neighbours"]) == 2
    assert (unknown["known"], unknown["label"]) == (False, None)
    assert unknown["candidates"]
    assert known["quality"] == []
    query(folder, tmp_path / "known.png", tmp_path / "unknown.png", k=2, picture=tmp_path / "answers.png")
    told = capsys.readouterr().out
    assert "calibrated on 240 photos" in told
    assert "class-03, 100%" in told
    assert "90% label set: class-03" in told
    assert "unknown; most like class-" in told


def test_a_bad_photo_is_said_apart_from_an_unknown_one(tiny_embedder, tmp_path, capsys):
    from index.build import main as build
    from tests.index.conftest import write_photo

    for number in range(240):
        write_photo(tmp_path / "photos" / f"class-{number % 20:02}" / f"{number:03}.png", number % 20, number)
    folder = build(tiny_embedder, str(tmp_path / "photos"), out=tmp_path / "a.index")
    write_photo(tmp_path / "good.png", 3, 999)
    good = Image.open(tmp_path / "good.png")
    good.filter(ImageFilter.GaussianBlur(3)).save(tmp_path / "blurred.png")
    good.resize((20, 15)).save(tmp_path / "small.png")
    capsys.readouterr()
    good, blurred, small = query(folder, *(tmp_path / f"{name}.png" for name in ("good", "blurred", "small")))
    assert good.quality == []
    assert blurred.quality == [
        f"{tmp_path / 'blurred.png'}: too blurred: less than half as sharp as 99 % of the references"
    ]
    assert small.quality[0].startswith(
        f"{tmp_path / 'small.png'}: too small: 20 x 15 pixels, and the embedder looks at 32"
    )
    assert "too blurred" in capsys.readouterr().out
    together = Index.open(folder).query_together([tmp_path / "good.png", tmp_path / "blurred.png"])
    assert together.quality == blurred.quality


def test_a_large_class_leaves_room_for_others(tmp_path, monkeypatch):
    monkeypatch.setattr(hiding, "MOST_PHOTOS", 220)
    monkeypatch.setattr(hiding, "MOST_OF_A_CLASS", 30)
    labels = ["large" if row < 144 else f"class-{row // PHOTOS:02}" for row in range(288)]
    found, scores = calibrate(Index.open(made(tmp_path / "a.index", label=pa.array(labels).dictionary_encode())), "x")
    rows = np.array(scores["row"].to_pylist())
    assert found.classes == 13
    assert (rows < 144).sum() == 30


def test_a_photo_under_two_labels_is_hidden_with_its_twin(tmp_path):
    folder = made(tmp_path / "a.index")
    rows = np.array([0, 100, 200])
    index = under_another_label(folder, rows)
    codes = class_codes(index.labels, index.kept)[1]
    votes = hidden.of_neighbours(index, rows, codes, group_codes(index.table, shared_ids=True))
    assert votes.strangers.max() < 0.99
    assert votes.similarities.max() < 0.99


def test_photos_of_which_it_is_not_known_are_left_out(tmp_path):
    known = pa.array([None if row % 6 == 0 else False for row in range(288)])
    found, scores = calibrate(Index.open(made(tmp_path / "a.index", trained_on=known)), "x")
    assert found.photos == 240
    assert not any(row % 6 == 0 for row in scores["row"].to_pylist())


def test_a_set_is_what_leaving_out_each_photo_in_turn_gives(tmp_path):
    """By plain loops over all photos, the neighbours among them; it matters, for sets would differ otherwise."""
    index = Index.open(made(tmp_path / "a.index", spread=1.3, photos=15))
    draw = np.random.default_rng(3)
    differing = 0
    for coverage in (0.5, 0.7, 0.8):
        found, scores = calibrate(index, "x", coverage=coverage)
        right, rows = scores["right"].to_numpy(), scores["row"].to_numpy()
        for vector in unit(index.vectors(np.arange(0, index.count, 9)) + 0.2 * draw.normal(size=(40, 16))):
            near = index.search(vector[None], 20)
            labels = index.labels[near.rows[0]].tolist()
            names = list(dict.fromkeys(labels))

            def shares(without, near=near, labels=labels, names=names, found=found):
                kept = [place for place in range(20) if near.rows[0][place] != without][:VOTERS]
                votes = vote(near.similarities[0][kept], [labels[place] for place in kept], found.temperature)
                return [sum(one.share for one in votes if one.label == name) for name in [*names, None]]

            candidates = np.array([shares(row) for row in rows])
            inside = leave_one_out_set(right, candidates, coverage)
            expected = None if inside[-1] else {name for name, holds in zip(names, inside, strict=False) if holds}
            got = by_neighbours(index, near, scores, found.temperature).label_set(scores, coverage)
            assert (None if got is None else {*got}) == expected
            same = leave_one_out_set(right, np.tile(shares(-1), (len(rows), 1)), coverage)
            differing += not np.array_equal(same, inside)
    assert differing
