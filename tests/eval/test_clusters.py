from collections import Counter

import numpy as np
import pytest

from eval.clusters import cluster_scores, k_means, purity
from eval.errors import InputError
from tests.eval.test_evaluation import embeddings


def test_classes_that_lie_apart_are_found() -> None:
    vectors = np.repeat(np.eye(4), 5, axis=0) + 0.01 * np.random.default_rng(0).standard_normal((20, 4))
    assert cluster_scores(embeddings([*"aaaaabbbbbcccccddddd"], vectors)) == pytest.approx(
        {"nmi": 1.0, "ami": 1.0, "purity": 1.0}
    )


def test_chance_has_a_nmi_and_no_ami() -> None:
    vectors = np.random.default_rng(0).standard_normal((400, 8))
    scores = cluster_scores(embeddings([f"{row % 100}" for row in range(400)], vectors))
    assert scores["nmi"] > 0.6
    assert abs(scores["ami"]) < 0.06


def test_photos_without_a_label_take_no_part() -> None:
    labels = [*"aaaabbbb", None, None]
    vectors = np.random.default_rng(1).standard_normal((10, 8))
    assert cluster_scores(embeddings(labels, vectors)) == cluster_scores(embeddings(labels[:8], vectors[:8]))


def test_k_means_ends_where_no_mean_moves() -> None:
    vectors = np.random.default_rng(2).standard_normal((300, 5)).astype(np.float32)
    clusters = k_means(vectors, 4)
    means = np.stack([vectors[clusters == one].mean(axis=0) for one in range(4)])
    nearest = np.linalg.norm(vectors[:, None] - means, axis=2).argmin(axis=1)
    assert (nearest == clusters).mean() > 0.95
    assert np.array_equal(clusters, k_means(vectors, 4))


def test_purity_by_counting() -> None:
    draw = np.random.default_rng(3)
    codes, clusters = draw.integers(0, 6, 200), draw.integers(0, 9, 200)
    most = sum(Counter(codes[clusters == one].tolist()).most_common(1)[0][1] for one in set(clusters.tolist()))
    assert purity(codes, clusters) == pytest.approx(most / 200)
    assert purity(codes, codes) == purity(codes, np.arange(200)) == 1


def test_one_class_is_refused() -> None:
    with pytest.raises(InputError, match="1 class; clusters are compared with two at least"):
        cluster_scores(embeddings([*"aaa"]))
