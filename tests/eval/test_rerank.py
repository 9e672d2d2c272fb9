from functools import cache

import numpy as np
import pytest

from eval import rerank
from eval.errors import InputError
from eval.neighbours import Neighbours, nearest
from eval.rerank import METHODS, AlphaQE, KReciprocal, expanded, in_words, k_reciprocal_distances, reranked, to_json


def photos(classes: int = 4, of_each: int = 12, seed: int = 0, spread: float = 1.0) -> np.ndarray:
    """Unit vectors [N, 16] around as many centres, and two copies."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((classes, 16)).repeat(of_each, axis=0)
    vectors = centres + spread * draw.standard_normal(centres.shape)
    vectors[[5, 9]] = vectors[-2]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def naive_distances(query: np.ndarray, candidates: np.ndarray, k1: int, k2: int, weight: float) -> list[float]:
    """The formulas of Zhong et al. (2017), with sets, over the query (photo 0) and all its candidates."""
    vectors = np.concatenate([query[None], candidates]).astype(np.float64)
    everyone = range(len(vectors))

    @cache
    def distance(p: int, g: int) -> float:
        return round(1 - float(vectors[p] @ vectors[g]), 9)

    @cache
    def near(p: int, k: int) -> list[int]:  # N(p, k): the photo itself and k others
        return [p, *sorted(set(everyone) - {p}, key=lambda g: (distance(p, g), g))[:k]]

    @cache
    def reciprocal(p: int, k: int) -> set[int]:  # R(p, k)
        return {g for g in near(p, k) if p in near(g, k)}

    def wider(p: int) -> set[int]:  # R*(p, k1)
        found = set(reciprocal(p, k1))
        for q in reciprocal(p, k1):
            half = reciprocal(q, round(k1 / 2))
            if 3 * len(reciprocal(p, k1) & half) >= 2 * len(half):
                found |= half
        return found

    sets = [wider(p) for p in everyone]
    encoded = [[np.exp(-distance(p, g)) if g in sets[p] else 0.0 for g in everyone] for p in everyone]  # V
    wide = [[sum(encoded[g][i] for g in near(p, k2 - 1)) / k2 for i in everyone] for p in everyone]  # V expanded
    found = []
    for g in everyone[1:]:
        common = sum(min(a, b) for a, b in zip(wide[0], wide[g], strict=True))
        either = sum(max(a, b) for a, b in zip(wide[0], wide[g], strict=True))
        found.append((1 - weight) * (1 - common / either) + weight * distance(0, g))
    return found


@pytest.mark.parametrize(
    ("k1", "k2", "weight"), [(20, 6, 0.3), (5, 1, 0.0), (7, 3, 0.5), (1, 2, 0.3), (100, 40, 0.9), (6, 6, 1.0)]
)
@pytest.mark.parametrize("spread", [0.4, 1.5])
def test_k_reciprocal_distances_are_those_of_the_formulas(k1: int, k2: int, weight: float, spread: float) -> None:
    vectors = photos(spread=spread)
    for query, candidates in ((vectors[0], vectors[1:]), (vectors[5], np.delete(vectors, 5, axis=0)[::-1])):
        found = k_reciprocal_distances(query, candidates, k1, k2, weight)
        np.testing.assert_allclose(found, naive_distances(query, candidates, k1, k2, weight), atol=1e-7)


def test_photos_that_share_nothing_with_the_query_are_as_far_as_can_be() -> None:
    query, far = np.eye(4, dtype=np.float32)[0], np.eye(4, dtype=np.float32)[1:]
    copies = np.concatenate([query[None].repeat(3, axis=0), far[:1].repeat(4, axis=0)])
    found = k_reciprocal_distances(query, copies, 3, 2, 0.25)
    np.testing.assert_allclose(found, [0, 0, 0, 1, 1, 1, 1])


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
def test_an_expanded_query_is_the_weighted_sum(alpha: float) -> None:
    vectors = photos().astype(np.float64)
    similarities = vectors[1:7] @ vectors[0]
    assert similarities.min() < 0 < similarities.max()
    total = vectors[0].copy()
    for vector, similarity in zip(vectors[1:7], similarities, strict=True):
        if similarity > 0:
            total += similarity**alpha * vector
    found = expanded(*(one.astype(np.float32) for one in (vectors[0], vectors[1:7], similarities)), alpha)
    np.testing.assert_allclose(found, total / np.linalg.norm(total), atol=1e-6)
    assert found.dtype == np.float32


def test_alpha_query_expansion_searches_again() -> None:
    queries, references = photos(seed=1, of_each=3), photos()
    asked = []

    def search(moved: np.ndarray) -> np.ndarray:
        asked.append(moved)
        return np.where(np.arange(7) < 6, nearest(moved, references, 7).rows, -1)

    plain = nearest(queries, references, 9)
    found = reranked(queries, plain, AlphaQE(n=4, alpha=2), references.__getitem__, search)
    for query, near, similarities, moved in zip(queries, plain.rows, plain.similarities, asked[0], strict=True):
        np.testing.assert_array_equal(moved, expanded(query, references[near[:4]], similarities[:4], 2))
    np.testing.assert_array_equal(found.rows[:, :6], nearest(asked[0], references, 6).rows)
    cosines = (queries @ references.T)[np.arange(len(queries))[:, None], found.rows]
    np.testing.assert_allclose(found.similarities[:, :6], cosines[:, :6], atol=1e-6)
    assert (found.rows[:, 6] == -1).all() and (found.similarities[:, 6] == -np.inf).all()


def nothing(moved: np.ndarray) -> np.ndarray:
    raise AssertionError("nothing is searched again")


def test_the_first_candidates_change_places_and_the_others_stay_behind() -> None:
    queries, references = photos(seed=1, of_each=3), photos()
    plain, by = nearest(queries, references, 40), KReciprocal(k1=5, k2=3, candidates=25)
    found = reranked(queries, plain, by, references.__getitem__, nothing)
    assert (found.rows[:, :25] != plain.rows[:, :25]).any()
    np.testing.assert_array_equal(found.rows[:, 25:], plain.rows[:, 25:])
    for query, before, after, similarities in zip(queries, plain.rows, found.rows, found.similarities, strict=True):
        distances = naive_distances(query, references[before[:25]], 5, 3, 0.3)
        order = sorted(range(25), key=lambda place: (round(distances[place], 7), place))
        assert after[:25].tolist() == before[order].tolist()
        np.testing.assert_allclose(similarities, references[after] @ query, atol=1e-6)


@pytest.mark.parametrize("by", [AlphaQE(), KReciprocal(candidates=10)])
def test_an_order_does_not_depend_on_what_else_is_asked(by: AlphaQE | KReciprocal) -> None:
    queries, references = photos(seed=1), photos()

    def search(moved: np.ndarray) -> np.ndarray:
        return nearest(moved, references, 20).rows

    together = reranked(queries, nearest(queries, references, 20), by, references.__getitem__, search)
    for row, query in enumerate(queries):
        alone = reranked(query[None], nearest(query[None], references, 20), by, references.__getitem__, search)
        np.testing.assert_array_equal(alone.rows[0], together.rows[row])
        np.testing.assert_array_equal(alone.similarities[0], together.similarities[row])


def test_rounding_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerank, "k_reciprocal_distances", lambda *_: np.array([0.5 + 1e-12, 0.5, 0.4]))
    vectors = photos()
    found = reranked(vectors[:1], nearest(vectors[:1], vectors, 3), KReciprocal(), vectors.__getitem__, nothing)
    np.testing.assert_array_equal(found.rows[0], nearest(vectors[:1], vectors, 3).rows[0][[2, 0, 1]])


@pytest.mark.parametrize("by", [AlphaQE(), KReciprocal()])
def test_fewer_neighbours_than_it_would_look_at(by: AlphaQE | KReciprocal) -> None:
    vectors = photos()

    def read(rows: np.ndarray) -> np.ndarray:
        assert (rows >= 0).all()
        return vectors[rows]

    plain = Neighbours(np.array([[3, 1, -1]]), np.array([[0.5, 0.25, -np.inf]], np.float32))
    found = reranked(vectors[:1], plain, by, read, lambda moved: np.array([[1, 3, -1]]))
    assert sorted(found.rows[0].tolist()) == [-1, 1, 3]
    assert found.rows[0, 2] == -1 and found.similarities[0, 2] == -np.inf


def test_results_say_how_they_were_ranked_and_that_it_took_the_references() -> None:
    assert to_json(AlphaQE(n=5)) == {"method": "alpha-qe", "uses_reference_set": True, "n": 5, "alpha": 3.0}
    assert in_words(KReciprocal()) == (
        "re-ranked with the reference set by k-reciprocal (k1 20, k2 6, weight 0.3, candidates 200)"
    )
    assert {"none": None, "alpha-qe": AlphaQE(), "k-reciprocal": KReciprocal()} == METHODS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((AlphaQE, {"n": 0}), "n is 0"),
        ((AlphaQE, {"alpha": -1}), "alpha is -1"),
        ((KReciprocal, {"k1": 0}), "k1 is 0; it must be at least 1"),
        ((KReciprocal, {"k2": 0}), "k2 is 0"),
        ((KReciprocal, {"candidates": 0}), "candidates is 0"),
        ((KReciprocal, {"weight": 1.5}), r"weight is 1\.5; it must lie between 0 and 1"),
    ],
)
def test_parameters_that_make_no_sense(settings: tuple, message: str) -> None:
    kind, values = settings
    with pytest.raises(InputError, match=message):
        kind(**values)
