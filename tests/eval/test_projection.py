import numpy as np
import pytest

from eval.projection import project


def grouped(groups: int, each: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Groups of vectors that lie close together, and which group each is of."""
    random = np.random.default_rng(seed)
    codes = np.repeat(np.arange(groups), each)
    vectors = random.standard_normal((groups, 24))[codes] + 0.2 * random.standard_normal((groups * each, 24))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), codes


def test_what_is_near_stays_near_and_each_time_the_same() -> None:
    vectors, codes = grouped(6, 25)
    places = project(vectors)
    assert places.shape == (150, 2) and places.dtype == np.float32 and np.isfinite(places).all()
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (codes[distances.argmin(axis=1)] == codes).mean() > 0.98
    assert np.array_equal(project(vectors), places)
    assert not np.array_equal(project(vectors, seed=1), places)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_are_laid_out_by_their_principal_directions(count: int, random_vectors) -> None:
    vectors = random_vectors(count)
    places = project(vectors)
    assert places.shape == (count, 2) and np.isfinite(places).all()
    if count == 3:  # a triangle lies in a plane, so its sides keep their proportions
        sides = [
            [np.linalg.norm(of[one] - of[two]) for one, two in ((0, 1), (1, 2), (2, 0))] for of in (places, vectors)
        ]
        assert np.divide(*sides) == pytest.approx(np.full(3, sides[0][0] / sides[1][0]), rel=1e-4)


@pytest.mark.parametrize("vectors", [np.ones((8, 1), np.float32), np.eye(9, dtype=np.float32)[[0] * 20]])
def test_vectors_that_are_all_alike_get_places_too(vectors: np.ndarray) -> None:
    assert np.isfinite(project(vectors)).all()


def test_fewer_photos_than_the_neighbours_that_are_kept_near() -> None:
    vectors, codes = grouped(2, 5)
    distances = np.linalg.norm(project(vectors)[:, None] - project(vectors), axis=2)
    assert distances[codes[:, None] == codes].max() < distances[codes[:, None] != codes].min()
