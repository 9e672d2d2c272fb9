"""Answers by neighbours, by prototypes and by both, compared with plain loops that leave out and count anew."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from eval.calibration import expected_threshold, leave_one_out_set
from eval.groups import group_codes
from eval.vote import VOTERS, vote
from index import Index, hidden, judging
from index.build import main as build
from index.calibrate import main as calibrate
from index.calibration import Calibration, class_codes
from index.manifest import Manifest
from index.relabel import main as relabel
from index.remove import main as remove
from index.reranking import RerankedIndex
from index.shares import Shares
from tests.index.conftest import CLASSES, PHOTOS, made, unit, write_photo

WAYS = ["neighbours", "prototypes", "both"]
MOST = 7  # prototypes that vote


class Slow:
    """An index as loops over all that is left see it."""

    def __init__(self, index):
        self.vectors = index.vectors(np.arange(index.manifest.rows)).astype(np.float64)
        self.labels = index.labels
        self.kept = np.flatnonzero(index.kept).tolist()
        self.groups = group_codes(index.table)
        self.calibration = index.calibration

    def prototypes(self, out):
        rows = {}
        for row in self.kept:
            if row not in out:
                rows.setdefault(self.labels[row], []).append(row)
        means = {label: self.vectors[members].sum(axis=0) for label, members in rows.items()}
        return {label: one / np.linalg.norm(one) for label, one in means.items()}

    def answer(self, query, out):
        """The shares of labels, and the similarity that tells known photos, some rows being left out."""
        of, near, shares = self.calibration, [row for row in self.kept if row not in out], []
        similarities = self.vectors @ query
        near.sort(key=lambda row: (-similarities[row], row))
        cosines = {label: one @ query for label, one in self.prototypes(out).items()}
        if of.by != "prototypes":
            few = near[:VOTERS]
            votes = vote(similarities[few], [self.labels[row] for row in few], of.temperature)
            shares.append({one.label: one.share for one in votes})
        if of.by != "neighbours":
            best = sorted(cosines, key=lambda label: -cosines[label])[:MOST]
            weights = {
                label: np.exp((cosines[label] - max(cosines.values())) / of.prototype_temperature) for label in best
            }
            shares.append({label: weight / sum(weights.values()) for label, weight in weights.items()})
        if of.by != "both":
            return shares[0], similarities[near[0]] if of.by == "neighbours" else max(cosines.values())
        labels = {label for one in shares for label in one}
        mean = {label: sum(one.get(label, 0) for one in shares) / 2 for label in labels}
        powers = {label: share**of.sharpness for label, share in mean.items()}
        score = (similarities[near[0]] + cosines[self.labels[near[0]]]) / 2
        return {label: one / sum(powers.values()) for label, one in powers.items()}, score

    def of_group(self, row):
        return {other for other in self.kept if self.groups[other] == self.groups[row]}

    def of_class(self, row):
        return {other for other in self.kept if self.labels[other] == self.labels[row]}


@pytest.fixture(autouse=True)
def few_prototypes(monkeypatch):
    for room in (hidden, judging):
        monkeypatch.setattr(room, "PROTOTYPES", MOST)


@pytest.fixture(params=WAYS)
def index(request, tmp_path, capsys):
    """Groups of one to three photos, some over two classes; a photo alone in its class; rows removed and relabelled."""
    draw = np.random.default_rng(4)
    groups = [
        f"{row}" if row % 5 == 0 else f"g{row // 3}" if row < 260 else f"h{draw.integers(12)}" for row in range(288)
    ]
    labels = ["alone" if row == 17 else f"class-{row // PHOTOS:02}" for row in range(288)]
    columns = {"group": pa.array(groups), "label": pa.array(labels).dictionary_encode()}
    folder = made(tmp_path / "a.index", spread=1.5, **columns)
    remove(folder, path="30.jpg")
    relabel(folder, path="40.jpg", to="class-00")
    calibrate(folder, by=request.param, false_accepts=0.2, coverage=0.8)
    return Index.open(folder)


def test_what_is_measured_is_what_leaving_out_and_counting_anew_gives(index):
    slow, found, scores = Slow(index), index.calibration, index._scores
    known, strangers, right, lone = [], [], [], 0
    codes = class_codes(index.labels, index.kept)[1]
    for row in slow.kept:
        query, group, kin = slow.vectors[row], slow.of_group(row), slow.of_class(row)
        strangers.append(slow.answer(query, group | kin)[1])
        if kin <= group:
            lone += 1
            continue
        shares, score = slow.answer(query, group)
        known.append(score)
        right.append(shares.get(slow.labels[row], 0))
    threshold = expected_threshold(np.array(strangers), codes[slow.kept], 0.2)
    assert found.threshold == pytest.approx(threshold, abs=1e-6)
    assert found.known_accepted == pytest.approx((np.array(known) > threshold).mean())
    assert found.lone == lone >= 1
    np.testing.assert_allclose(scores["right"].to_numpy(), right, atol=2e-5)
    assert 0.2 < np.mean(right) < 0.9


def test_temperatures_and_sharpness_are_the_best(index):
    """Of other ones none gives the right labels more probable shares."""
    slow, found = Slow(index), index.calibration
    rows = index._scores["row"].to_pylist()

    def loss(**changes):
        slow.calibration = Calibration(**{**vars(found), **changes})
        shares = [slow.answer(slow.vectors[row], slow.of_group(row))[0].get(slow.labels[row], 0) for row in rows]
        return -np.log(np.maximum(shares, 1e-6)).mean()

    name = {"neighbours": "temperature", "prototypes": "prototype_temperature", "both": "sharpness"}[found.by]
    best = getattr(found, name)
    assert loss() < min(loss(**{name: best * factor}) for factor in (0.7, 1.4))
    assert {one for one in ("temperature", "prototype_temperature", "sharpness") if getattr(found, one) == 1} == {
        "neighbours": {"prototype_temperature", "sharpness"},
        "prototypes": {"temperature", "sharpness"},
        "both": set(),
    }[found.by]


@pytest.mark.parametrize("own", [False, True])
def test_an_answer_is_what_leaving_out_and_counting_anew_gives(index, own, monkeypatch):
    slow, right, groups = Slow(index), *(index._scores[name].to_numpy() for name in ("right", "group"))
    draw = np.random.default_rng(9)
    names, sizes, kept = sorted({*slow.labels}), [], []
    set_of = Shares.label_set
    monkeypatch.setattr(Shares, "label_set", lambda shares, *given: kept.append(shares) or set_of(shares, *given))
    for row in (17, 29, 41, 100, 270):
        query = slow.vectors[row]
        if not own:
            query = unit(query[None] + 0.2 * draw.normal(size=(1, 16)))[0].astype(np.float64)
        ids, out = ({index.table["id"][row].as_py()}, {row}) if own else (set(), set())
        answer = index.judge(query.astype(np.float32), own_ids=ids)
        shares, score = slow.answer(query, out)
        assert {one.label: one.share for one in answer.candidates} == pytest.approx(shares, abs=2e-5)
        assert answer.candidates[0].label == max(shares, key=shares.get)
        assert answer.probability == answer.candidates[0].share
        for above in (False, True):
            threshold = score - 1e-5 if above else score + 1e-5
            calibration = replace(index.calibration, threshold=threshold)
            index.__dict__["_judge"] = replace(index._judge, calibration=calibration)
            assert index.judge(query.astype(np.float32), own_ids=ids).known == above
        without = []
        for place, group in enumerate(kept[-1].groups):
            left = slow.answer(query, out | {other for other in slow.kept if slow.groups[other] == group})[0]
            got = dict(zip(kept[-1].names, kept[-1].shares[1 + place], strict=True))
            assert {name: share for name, share in got.items() if share} == pytest.approx(left, abs=2e-5)
            without.append([left.get(name, 0) for name in names])
        candidates = np.array(without)[np.searchsorted(kept[-1].groups, groups)]
        inside = leave_one_out_set(right, candidates, 0.8, groups)
        assert {*answer.label_set} == {name for name, one in zip(names, inside, strict=True) if one}
        sizes.append(len(answer.label_set))
    assert max(sizes) > 1


@pytest.mark.parametrize("opening", [Index, RerankedIndex])
def test_many_photos_are_answered_as_each_of_them_is(index, opening):
    opened = opening.open(index.folder)
    ids = opened.table["id"].to_pylist()
    rows = np.array([3, 60, 150, 270])
    vectors = opened.vectors(rows).astype(np.float64)
    vectors = [*vectors, vectors[0] + vectors[1], vectors[:2].mean(axis=0)]
    own = [{ids[3]}, set(), {ids[150], ids[151]}, {"another"}, set(), {*ids[3:30], ids[60]}]
    answers = opened.judge_all(np.array(vectors), own, k=4)
    assert answers == [opened.judge(vector, 4, own_ids=one) for vector, one in zip(vectors, own, strict=True)]
    assert len({answer.label for answer in answers}) > 2
    assert opened.judge_all(np.empty((0, 16)), []) == []


def test_several_photos_of_one_subject_have_the_mean_of_their_similarities(index):
    vectors = index.vectors(np.array([100, 101])).astype(np.float64)
    slow = Slow(index)
    answer = index.judge(vectors.mean(axis=0), own_ids={index.table["id"][100].as_py(), index.table["id"][101].as_py()})
    shares, score = slow.answer(vectors.mean(axis=0), {100, 101})
    assert answer.known == (score > slow.calibration.threshold)
    assert answer.candidates[0].share == pytest.approx(max(shares.values()), abs=2e-5)


def test_prototypes_follow_what_has_changed(index, capsys):
    remove(index.folder, label="class-05")
    relabel(index.folder, label="class-06", to="class-07")
    changed = Index.open(index.folder)
    slow = Slow(changed)
    query = unit(slow.vectors[[60, 75]].sum(axis=0)[None])[0]
    answer = changed.judge(query)
    shares, _ = slow.answer(query.astype(np.float64), set())
    assert {one.label: one.share for one in answer.candidates} == pytest.approx(shares, abs=2e-5)
    assert not {"class-05", "class-06"} & {one.label for one in answer.candidates}


def test_the_photo_itself_is_left_out_only_while_others_have_a_vote(tmp_path, capsys):
    folder = made(tmp_path / "a.index")
    calibrate(folder, by="both")
    for code in range(CLASSES - 1):
        remove(folder, label=f"class-{code:02}")
    for row in range(277, 288):
        remove(folder, path=f"{row}.jpg")
    index = Index.open(folder)
    answer = index.judge(index.vectors(np.array([276]))[0], own_ids={index.table["id"][276].as_py()})
    assert (answer.known, answer.label, answer.probability) == (True, "class-23", 1)


def test_calibrations_from_before_there_was_a_choice_mean_neighbours(tmp_path, capsys):
    folder = made(tmp_path / "a.index")
    calibrate(folder)
    contents = dict(Manifest.read(folder).calibration)
    expected = Calibration.of(contents)
    for name in ("by", "prototype_temperature", "sharpness", "sure"):
        del contents[name]
    assert Calibration.of(contents) == expected
    assert (expected.by, expected.sure) == ("neighbours", 0.9)


def test_who_votes_stays_as_it_is_until_it_is_said_anew(tmp_path, capsys):
    folder = made(tmp_path / "a.index")
    calibrate(folder, by="prototypes", sure=0.8)
    assert "288 photos of 24 classes, answering by prototypes: " in capsys.readouterr().out
    remove(folder, label="class-05", recalibrate=True)
    assert (Index.open(folder).calibration.by, Index.open(folder).calibration.sure) == ("prototypes", 0.8)
    assert calibrate(folder).by == "prototypes"
    assert calibrate(folder, by="both").by == "both"
    assert "answering by neighbours and prototypes: " in capsys.readouterr().out


def test_an_index_is_built_to_answer_in_some_way(tiny_embedder, tmp_path, capsys):
    for number in range(240):
        write_photo(tmp_path / "photos" / f"class-{number % 20:02}" / f"{number:03}.png", number % 20, number)
    np.save(tmp_path / "trained_on.npy", np.array(["0" * 32]))
    folder = build(tiny_embedder, str(tmp_path / "photos"), out=tmp_path / "a.index", by="both")
    assert Index.open(folder).calibration.by == "both"
    write_photo(tmp_path / "known.png", 3, 999)
    answer = Index.open(folder).query(tmp_path / "known.png", k=2)
    assert (answer.known, answer.label, answer.label_set) == (True, "class-03", ["class-03"])
    assert len(answer.neighbours) == 2
    with pytest.raises(Exception, match="by was 'both' and is now None"):
        build(tiny_embedder, str(tmp_path / "photos"), out=folder)
