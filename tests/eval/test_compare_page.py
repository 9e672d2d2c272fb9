import json
import re
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from eval.compare import compared, main, paired
from eval.compare_page import FILES, FLIPS, NEAREST, PAGE, _told_apart, content
from eval.embeddings import EmbeddingSet
from eval.errors import InputError


@pytest.fixture(scope="module")
def sets(hostile: SimpleNamespace, worse: EmbeddingSet) -> tuple[EmbeddingSet, EmbeddingSet]:
    return hostile.set, worse


@pytest.fixture(scope="module")
def said(sets: tuple[EmbeddingSet, EmbeddingSet]) -> dict:
    pair = paired(*sets, [1, 2])
    return content(pair.sets, pair.evaluations, asdict(compared(pair, [1, 2])), ["one", "two"])


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    assert _told_apart(tmp_path / "a" / "vectors", tmp_path / "b" / "vectors") == ["a/vectors", "b/vectors"]
    assert _told_apart(tmp_path / "a", tmp_path / "b") == ["a", "b"]
    assert _told_apart(Path("/x/v"), Path("/v")) == ["x/v", "/v"]
    assert len(_told_apart(tmp_path, tmp_path)) == 2


def right(one: EmbeddingSet) -> np.ndarray:
    """Of each row, whether its nearest is of its class; and how near the others are to it ``[N, N]``."""
    similarities = one.vectors @ one.vectors.T
    similarities[:, [label is None for label in one.labels]] = -2
    np.fill_diagonal(similarities, -2)
    labels = np.array(one.labels, object)
    return (labels[similarities.argmax(axis=1)] == labels) & (labels != None), similarities  # noqa: E711


def test_the_flips_are_counted_as_one_by_one(said: dict, sets: tuple[EmbeddingSet, EmbeddingSet]) -> None:
    (one, _), (two, _) = map(right, sets)
    assert said["both"] == (one & two).sum()
    assert said["neither"] == (~one & ~two).sum() - 1  # the one without a label takes no part
    paths = np.array(sets[0].paths)
    assert said["won_names"] == paths[two & ~one].tolist() and said["lost_names"] == paths[one & ~two].tolist()
    assert {flip["query"] for flip in said["lost"]} <= {*np.flatnonzero(one & ~two).tolist()}
    assert len(said["lost"]) == min(FLIPS, int((one & ~two).sum())) > 2
    assert len(said["won"]) == min(FLIPS, int((two & ~one).sum())) > 0


def test_each_flip_shows_what_both_find(said: dict, sets: tuple[EmbeddingSet, EmbeddingSet]) -> None:
    labels = sets[0].labels
    for name, better in (("won", "second"), ("lost", "first")):
        for flip in said[name]:
            for side, one in zip(("first", "second"), sets, strict=True):
                found = flip[side]
                assert len(found) == NEAREST
                order = np.argsort(-right(one)[1][flip["query"]], kind="stable")[:NEAREST]
                assert [n for n, *_ in found] == order.tolist()
                assert [good for *_, good in found] == [labels[n] == labels[flip["query"]] for n, *_ in found]
                assert found[0][2] == (side == better)


def test_the_numbers_are_those_of_the_comparison(said: dict, sets: tuple[EmbeddingSet, EmbeddingSet]) -> None:
    pair = paired(*sets, [1, 2])
    found = compared(pair, [1, 2])
    assert [row[0] for row in said["metrics"]] == ["recall@1", "recall@2", "R-precision", "MAP@R"]
    for row, (name, one) in zip(said["metrics"], found.differences.items(), strict=True):
        assert row[1:] == [*found.means[name], one.mean, one.low, one.high]
    for label, queries, one, two, difference in said["classes"]:
        assert (queries, one) == tuple(pair.evaluations[0].per_class()[label][of] for of in ("queries", "recall@1"))
        assert difference == two - one


def test_the_page_has_names_where_the_command_says_first_and_second(sets: tuple[EmbeddingSet, EmbeddingSet]) -> None:
    pair = paired(*sets, [1])
    comparison = asdict(compared(pair, [1]))
    comparison["warnings"] = ["first: a: b", "second: c", "both: d", "only 8 classes: take care"]
    said = content(pair.sets, pair.evaluations, comparison, ["one", "two"])
    assert said["warnings"] == ["one: a: b", "two: c", "both: d", "only 8 classes: take care"]
    comparison["differing"] = dict.fromkeys(comparison["differing"], 0)
    said = content(pair.sets, pair.evaluations, comparison, ["one", "two"])
    assert all(row[4:] == [None, None] for row in said["metrics"])


def test_the_command_makes_the_page(hostile: SimpleNamespace, sets: tuple, tmp_path: Path, capsys) -> None:
    order = np.random.default_rng(3).permutation(120)
    other = EmbeddingSet(sets[1].vectors[order], sets[1].table.take(order), sets[1].fingerprint)
    other.save(tmp_path / "other", made_from={}, images_root=None, left_out=[])
    comparison = main(hostile.vectors, tmp_path / "other", report=tmp_path / "made")
    assert {file.name for file in (tmp_path / "made").iterdir()} == FILES
    page = (tmp_path / "made" / PAGE).read_text(encoding="utf-8")
    data = json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[0])
    assert data["names"] == ["vectors", "other"] and data["lost_names"] == comparison.lost
    there = {flip["query"] for flip in [*data["won"], *data["lost"]]} - set(hostile.gone)
    assert {str(n) for n in there} <= set(data["pictures"])
    assert not {str(n) for n in hostile.gone} & set(data["pictures"])
    main(hostile.vectors, tmp_path / "other", report=tmp_path / "made")
    assert "is made already" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"k was \[1, 2, 4, 8\] and is now \[1\]"):
        main(hostile.vectors, tmp_path / "other", k="1", report=tmp_path / "made")


def test_recipes_have_no_page(hostile: SimpleNamespace, sets: tuple, tmp_path: Path) -> None:
    for seed in "12":
        sets[1].save(tmp_path / "recipe" / seed, made_from={}, images_root=None, left_out=[])
    with pytest.raises(InputError, match="hold several seeds; --report shows one of each"):
        main(hostile.vectors, tmp_path / "recipe", report=tmp_path / "made")
