import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from eval.bootstrap import class_intervals
from eval.compare import compare, main
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.evaluation import evaluate
from eval.rows import taken
from eval.seeds import difference, spread

LABELS = [f"kind {row % 25}" for row in range(200)]


def embedded(noise: float, seed: int, fingerprint: str) -> EmbeddingSet:
    """200 photos of 25 classes; the more noise the worse the embedder."""
    centres = np.random.default_rng(9).standard_normal((25, 12))
    vectors = centres[np.arange(200) % 25] + noise * np.random.default_rng(seed).standard_normal((200, 12))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    paths = [f"{row:03}.jpg" for row in range(200)]
    return EmbeddingSet(
        vectors, pa.table({"id": [f"id{row}" for row in range(200)], "label": LABELS, "path": paths}), fingerprint
    )


def shuffled(one: EmbeddingSet) -> EmbeddingSet:
    order = np.random.default_rng(4).permutation(len(one))
    return EmbeddingSet(one.vectors[order], one.table.take(order), one.fingerprint)


@pytest.fixture
def first() -> EmbeddingSet:
    return embedded(1.2, 0, "f")


@pytest.fixture
def second() -> EmbeddingSet:
    return embedded(0.8, 1, "g")


def test_queries_are_paired_whatever_their_order(first: EmbeddingSet, second: EmbeddingSet) -> None:
    found = compare(first, second)
    one, two = evaluate(first), evaluate(second)
    for name, (left, right) in found.means.items():
        assert (left, right) == (pytest.approx(one.means()[name]), pytest.approx(two.means()[name]))
        assert found.differences[name].mean == pytest.approx(right - left)
    hits = [evaluation.per_query["recall@1"] > 0 for evaluation in (one, two)]
    assert found.won == [f"{row:03}.jpg" for row in np.flatnonzero(hits[1] & ~hits[0])]
    assert found.lost == [f"{row:03}.jpg" for row in np.flatnonzero(hits[0] & ~hits[1])]
    assert len(found.won) - len(found.lost) == round(200 * found.differences["recall@1"].mean)
    again = compare(first, shuffled(second))
    assert (again.means, again.won, again.lost) == (found.means, found.won, found.lost)
    differences = two.per_query["map@r"] - one.per_query["map@r"]
    expected = class_intervals({"map@r": differences}, first.label_codes()[0], bounds=(-1, 1))["map@r"]
    assert (found.differences["map@r"].low, found.differences["map@r"].high) == pytest.approx(
        (expected.low, expected.high)
    )


def test_a_set_is_not_better_than_itself(first: EmbeddingSet) -> None:
    found = compare(first, shuffled(first))
    assert found.won == found.lost == []
    assert all(one.mean == 0 and one.low == -one.high < 0 for one in found.differences.values())
    assert set(found.differing.values()) == {0}


def test_pairing_narrows_the_interval(first: EmbeddingSet) -> None:
    """Embedders that agree on most queries differ by less than either's own interval is wide."""
    close = EmbeddingSet(first.vectors.copy(), first.table, "g")
    close.vectors[:5] = close.vectors[5:10]
    found = compare(first, close).differences["recall@1"]
    alone = evaluate(first).intervals()["recall@1"]
    assert found.high - found.low < (alone.high - alone.low) / 1.5


def test_other_photos_or_labels_are_refused(first: EmbeddingSet, second: EmbeddingSet) -> None:
    fewer = EmbeddingSet(second.vectors[:199], second.table.slice(0, 199), "g")
    with pytest.raises(InputError, match=r"other photos \(200 and 199, 1 of them in one only\)"):
        compare(first, fewer)
    labels = pa.array(["else", *LABELS[1:]])
    other = EmbeddingSet(second.vectors, second.table.set_column(1, "label", labels), "g")
    with pytest.raises(InputError, match=r"1 photos are labelled otherwise .* 000.jpg is 'kind 0' and 'else'"):
        compare(first, other)


def test_the_command(
    first: EmbeddingSet, second: EmbeddingSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, one in (("first", first), ("second", second)):
        one.save(tmp_path / name, made_from={}, images_root=None, left_out=[])
    found = main(tmp_path / "first", tmp_path / "second", k="1")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "200 queries, 0 left out"
    assert f"right by the second alone: {len(found.won)}" in lines
    assert found.differing["recall@1"] == len(found.won) + len(found.lost) > 0
    main(tmp_path / "first", tmp_path / "first", k="1")
    assert all(line.endswith("  no query differs") for line in capsys.readouterr().out.splitlines()[2:5])
    assert sum(line.startswith("  ") and line.endswith(".jpg") for line in lines) == min(10, len(found.won)) + min(
        10, len(found.lost)
    )
    command = [sys.executable, "-m", "eval.compare", str(tmp_path / "first"), str(tmp_path / "second"), "--json"]
    printed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (printed["queries"], printed["won"], printed["lost"]) == (200, found.won, found.lost)
    assert printed["differences"]["recall@1"]["mean"] == pytest.approx(found.differences["recall@1"].mean)


def test_a_warning_stands_in_json_too(first: EmbeddingSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row for row, label in enumerate(LABELS) if label in {"kind 1", "kind 2", "kind 3"}]
    few = EmbeddingSet(first.vectors[rows], taken(first.table, rows), first.fingerprint)
    few.save(tmp_path / "few", made_from={}, images_root=None, left_out=[])
    main(tmp_path / "few", tmp_path / "few", json=True)
    assert json.loads(capsys.readouterr().out)["warnings"][-1] == "only 3 classes: take the intervals as hints"


def recipe(folder: Path, noise: float, seeds: list[int]) -> Path:
    for seed in seeds:
        one = embedded(noise, seed, f"f{noise}{seed}")
        (one if seed % 2 else shuffled(one)).save(folder / f"seed{seed}", made_from={}, images_root=None, left_out=[])
    (folder / "notes.txt").write_text("not a set")
    return folder


def test_folders_of_several_are_seeds_of_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = recipe(tmp_path / "first", 1.2, [0, 1, 2]), recipe(tmp_path / "second", 0.8, [3, 4])
    found = main(first, second, k="1,2")
    scores = [
        [evaluate(embedded(noise, seed, "f")).means()["map@r"] for seed in seeds]
        for noise, seeds in ((1.2, [0, 1, 2]), (0.8, [3, 4]))
    ]
    for found_spread, expected in zip(found.spreads["map@r"], map(spread, scores), strict=True):
        assert asdict(found_spread) == pytest.approx(asdict(expected))
    assert asdict(found.differences["map@r"]) == pytest.approx(asdict(difference(*scores)))
    assert list(found.spreads) == ["recall@1", "recall@2", "r_precision", "map@r"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "200 queries, 0 left out"
    assert lines[1].startswith("3 and 2 seeds")
    assert f"{spread(scores[0]).mean:.4f} ± {spread(scores[0]).deviation:.4f}" in lines[-1]
    main(first, second, json=True)
    assert json.loads(capsys.readouterr().out)["differences"]["map@r"]["mean"] == pytest.approx(
        difference(*scores).mean
    )


def test_what_a_killed_process_has_left_is_no_seed(tmp_path: Path) -> None:
    some, others = recipe(tmp_path / "some", 1.2, [0, 1]), recipe(tmp_path / "others", 0.8, [2, 3])
    expected = main(some, others)
    (some / "seed1").rename(some / ".seed1.1.old")
    recipe(some, 1.2, [1])
    assert main(some, others) == expected


def test_one_seed_against_several_is_refused(tmp_path: Path) -> None:
    many, one = recipe(tmp_path / "many", 1.2, [0, 1]), recipe(tmp_path / "one", 0.8, [3])
    with pytest.raises(InputError, match="1 seeds; two at least"):
        main(many, one)
    with pytest.raises(InputError, match="does not exist"):
        main(tmp_path / "nothing", one)


def test_one_photo_under_two_labels_is_paired_with_itself(first: EmbeddingSet) -> None:
    ids = [f"id{row // 2}" for row in range(200)]
    doubled = EmbeddingSet(first.vectors, first.table.set_column(0, "id", pa.array(ids)), "f")
    found = compare(doubled, shuffled(doubled))
    assert found.won == found.lost == []


def test_what_flatters_is_said_of_each(first: EmbeddingSet, second: EmbeddingSet) -> None:
    second.vectors[1] = second.vectors[0]
    seen = second.table.append_column("trained_on", pa.array([row == 3 for row in range(200)]))
    found = compare(first, EmbeddingSet(second.vectors, seen, "g"))
    assert [text.partition(":")[0] for text in found.warnings] == ["second"] * 3
    assert any("trained on" in text for text in found.warnings)
    first.vectors[1] = first.vectors[0]
    again = compare(first, EmbeddingSet(second.vectors, seen, "g"))
    assert [text.partition(":")[0] for text in again.warnings] == ["both", "both", "second"]
    assert {text.partition(": ")[2] for text in again.warnings} == {text.partition(": ")[2] for text in found.warnings}
    assert found.left_out == 0


def test_seeds_are_of_embedders_of_their_own_and_nothing_is_skipped(tmp_path: Path) -> None:
    first, second = recipe(tmp_path / "first", 1.2, [0, 1]), recipe(tmp_path / "second", 0.8, [2, 3])
    embedded(1.2, 0, "f1.20").save(first / "copy", made_from={}, images_root=None, left_out=[])
    with pytest.raises(InputError, match=r"copy and .*seed0 are of the same embedder; seeds are trainings"):
        main(first, second)
    (first / "copy" / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"copy holds no vectors, unlike .*seed0"):
        main(first, second)


def test_what_flatters_seeds_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = recipe(tmp_path / "first", 1.2, [0, 1]), recipe(tmp_path / "second", 0.8, [2])
    one = embedded(0.8, 3, "f3")
    table = one.table.append_column("trained_on", pa.array([True] * len(one)))
    bad = [{"path": "bad.jpg", "reason": "truncated"}]
    EmbeddingSet(one.vectors, table, "f3").save(second / "seed3", made_from={}, images_root=None, left_out=bad)
    found = main(first, second)
    assert [text.partition("/second/")[2] for text in found.warnings if "/second/" in text] == [
        "seed3: 200 of 200 queries are photos that the embedder was trained on: too easy for it",
        "seed3: 1 photos could not be read, and are in no number",
    ]
    assert "seed3: 200 of 200 queries are photos" in capsys.readouterr().err


def test_flips_are_of_the_nearest_whatever_the_k() -> None:
    first, second = embedded(1.2, 0, "a"), embedded(0.8, 1, "b")
    usual, other = compare(first, second), compare(first, second, [5, 10])
    assert (other.won, other.lost) == (usual.won, usual.lost)
    assert list(other.differences) == ["recall@1", "recall@5", "recall@10", "r_precision", "map@r"]


def test_one_embedder_against_itself_is_said() -> None:
    assert compare(embedded(1.2, 0, "a"), embedded(1.2, 0, "a")).warnings[-1] == "both are of the same embedder"


def test_sets_without_photos_are_refused(tmp_path: Path) -> None:
    one = embedded(1.2, 0, "a")
    none = EmbeddingSet(one.vectors[:0], one.table.slice(0, 0), "a")
    with pytest.raises(InputError, match="have no labels"):
        compare(none, none)
