from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

import eval.report
from eval.embeddings import EmbeddingSet
from eval.evaluation import evaluate
from eval.report import BESIDE, NEAREST, Measured, content, shown_photos


def measured(queries: EmbeddingSet, references: EmbeddingSet | None = None) -> Measured:
    evaluation = evaluate(queries, references)
    return Measured(queries, references, evaluation, evaluation.intervals(), {"queries": 3, "left_out": 0}, ["careful"])


@pytest.fixture(scope="module")
def said(hostile: SimpleNamespace) -> dict:
    return content(measured(hostile.set), "mine")


@pytest.fixture(scope="module")
def evaluation(hostile: SimpleNamespace):
    return evaluate(hostile.set)


def two_sets() -> tuple[EmbeddingSet, EmbeddingSet]:
    """20 queries and 40 references of four classes; one of each has no label."""
    sets = []
    for seed, count in ((0, 20), (1, 40)):
        random = np.random.default_rng(seed)
        vectors = np.eye(4)[np.arange(count) % 4] + 0.45 * random.standard_normal((count, 4))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        labels = [None if row == 5 else f"kind{row % 4}" for row in range(count)]
        table = pa.table({"id": [f"{seed}-{row}" for row in range(count)], "label": labels})
        sets.append(EmbeddingSet(vectors, table, "f"))
    return sets[0], sets[1]


def test_the_head_says_what_was_measured(said: dict, evaluation) -> None:
    assert (said["name"], said["photos"], said["classes"], said["dimension"]) == ("mine", [120], 24, 16)
    assert (said["warnings"], said["counts"]) == (["careful"], [["queries", 3], ["left out", 0]])
    intervals, macro = evaluation.intervals(), evaluation.macro_means()
    assert [one["mean"] for one in said["metrics"]] == [one.mean for one in intervals.values()]
    assert [one["macro"] for one in said["metrics"]] == [macro[name] for name in intervals]
    assert {one["name"] for one in said["metrics"] if one["headline"]} == {"recall@1", "MAP@R", "R-precision"}
    assert [k for k, *_ in said["recall"]] == [1, 2, 4, 8]
    assert said["recall"][1][1:] == [intervals["recall@2"].mean, intervals["recall@2"].low, intervals["recall@2"].high]


def test_each_class_has_a_row_with_what_it_is_taken_for(said: dict, evaluation, hostile: SimpleNamespace) -> None:
    similarities = hostile.set.vectors @ hostile.set.vectors.T
    similarities[:, 100] = -2
    np.fill_diagonal(similarities, -2)
    labels = hostile.set.labels
    for label, queries, *values, mistaken in said["by_class"]["rows"]:
        per_class = evaluation.per_class()[label]
        assert (queries, values) == (
            per_class["queries"],
            [per_class[name] for name in ("recall@1", "r_precision", "map@r")],
        )
        rows = [row for row, one in enumerate(labels) if one == label]
        others = [labels[similarities[row].argmax()] for row in rows]
        wrong = [one for one in others if one != label]
        most = max((wrong.count(one) for one in wrong), default=0)
        assert mistaken is None if not wrong else mistaken in {f"{one} ({most})" for one in wrong}
    assert len(said["by_class"]["rows"]) == 24


def test_the_worst_and_best_queries_are_one_a_class(said: dict, evaluation, hostile: SimpleNamespace) -> None:
    scores = dict(zip(evaluation.rows.tolist(), evaluation.per_query["map@r"].tolist(), strict=True))
    labels = hostile.set.labels
    for name, pick in (("worst", min), ("best", max)):
        rows = [one["query"] for one in said[name]]
        assert scores[rows[0]] == pick(scores.values())
        assert len({labels[row] for row in rows}) == len(rows)
        assert [scores[row] for row in rows] == sorted((scores[row] for row in rows), reverse=name == "best")
    for one in [*said["worst"], *said["best"]]:
        assert one["score"] == scores[one["query"]]
        assert len(one["near"]) == NEAREST
        for number, similarity, right in one["near"]:
            assert number != one["query"]
            cosine = hostile.set.vectors[one["query"]] @ hostile.set.vectors[number]
            assert similarity == pytest.approx(cosine, abs=1e-6)
            assert right == (labels[number] == labels[one["query"]])


def test_near_copies_under_two_labels_come_first(said: dict) -> None:
    assert (said["copies"]["count"], said["copies"]["differ"]) == (2, 1)
    (query, reference, similarity, differ), (*others, same, contradicts) = said["copies"]["pairs"]
    assert ({query, reference}, differ) == ({31, 61}, True) and similarity > 0.99
    assert ({*others}, contradicts) == ({41, 42}, False) and same > similarity


def test_hubs_are_counted_as_one_by_one() -> None:
    """Two photos lie in the middle of all others."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((120, 60)) + 0.4
    vectors[[3, 50]] = 0.4 + 0.2 * random.standard_normal((2, 60))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    labels = [None if row == 7 else f"kind{row % 5}" for row in range(120)]
    ids = [str(row) for row in range(120)]
    one = measured(EmbeddingSet(vectors, pa.table({"id": ids, "label": labels}), "f"))
    said, found = content(one, "hubs"), one.evaluation.nearest.rows
    times = {row: int((found == row).sum()) for row in range(120)}
    rights = {row: sum(labels[query] == labels[row] for query in np.nonzero(found == row)[0]) for row in range(120)}
    assert said["hubs"]["k"] == found.shape[1]
    assert said["hubs"]["usual"] == pytest.approx(sum(times.values()) / 119)
    assert {3, 50} <= {number for number, *_ in said["hubs"]["photos"]}
    assert said["hubs"]["never"] == sum(count == 0 for row, count in times.items() if labels[row] is not None)
    many = sorted((count for count in times.values() if count > 2 * said["hubs"]["usual"]), reverse=True)
    assert [one[1] for one in said["hubs"]["photos"]] == many[:12]
    assert all((one[1], one[2]) == (times[one[0]], rights[one[0]]) for one in said["hubs"]["photos"])


def test_a_pair_of_photos_stands_once_under_a_confusion(said: dict) -> None:
    for pair in said["confusions"]:
        photos = [frozenset(one[:2]) for one in pair["mistakes"]]
        assert len(set(photos)) == len(photos) > 0
        labels = [{said["class_names"][said["shown"][str(n)]["code"]] for n in one[:2]} for one in pair["mistakes"]]
        assert all(one == {pair["first"], pair["second"]} for one in labels)


def test_the_photos_shown_are_named(said: dict, hostile: SimpleNamespace) -> None:
    paths, labels = hostile.set.paths, hostile.set.labels
    assert {31, 61, said["worst"][0]["query"]} <= set(shown_photos(said))
    for number, one in said["shown"].items():
        assert one["name"] == paths[int(number)]
        assert (said["class_names"][one["code"]] if one["code"] >= 0 else None) == labels[int(number)]


def test_each_point_of_the_map_knows_its_nearest(said: dict, evaluation, hostile: SimpleNamespace) -> None:
    points = said["points"]
    assert points["names"] == hostile.set.paths and points["of"] == 120 and points["first"] is None
    assert points["codes"][100] == -1 and (points["beside"][100] == -1).all()
    assert np.array_equal(points["beside"][:100], evaluation.nearest.rows[:100, :BESIDE])
    assert np.array_equal(points["similarities"][:100], evaluation.nearest.similarities[:100, :BESIDE])


def test_references_are_numbered_after_the_queries() -> None:
    queries, references = two_sets()
    one = measured(queries, references)
    said = content(one, "both")
    nearest = one.evaluation.nearest
    assert said["photos"] == [20, 40]
    query = said["worst"][0]
    assert [number for number, *_ in query["near"]] == (20 + nearest.rows[query["query"], :NEAREST]).tolist()
    assert all(n >= 20 for pair in said["confusions"] for _, n, _ in pair["mistakes"])
    points = said["points"]
    assert (points["of"], points["first"], len(points["names"])) == (60, 20, 60)
    assert points["names"][:2] + points["names"][20:22] == ["0-0", "0-1", "1-0", "1-1"]
    assert np.array_equal(points["beside"][:20], np.where(nearest.rows < 0, -1, 20 + nearest.rows)[:, :BESIDE])
    assert (points["beside"][5] == -1).all()
    assert (points["beside"][20:] == -1).all()


def test_a_map_of_some_points_knows_of_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eval.report, "MOST_MAPPED", 12)
    queries, references = two_sets()
    one = measured(queries, references)
    points = content(one, "some")["points"]
    assert points["of"] == 60 and len(points["names"]) == 12
    numbers = one.mapped
    assert (numbers[0], numbers[-1]) == (0, 59) and np.ptp(np.diff(numbers)) <= 1
    assert points["names"] == [[*queries.ids, *references.ids][number] for number in numbers]
    for place, number in enumerate(numbers[numbers < 20]):
        for beside, row in zip(points["beside"][place], one.evaluation.nearest.rows[number], strict=False):
            assert numbers[beside] == 20 + row if beside >= 0 else 20 + row not in numbers


def test_a_set_of_one_class_has_a_report_too(tmp_path: Path) -> None:
    vectors = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    said = content(measured(EmbeddingSet(vectors, pa.table({"id": list("abcd"), "label": ["x"] * 4}), "f")), "one")
    assert (said["separation"], said["confusions"], said["by_class"]["rows"][0][-1]) == (None, [], None)
