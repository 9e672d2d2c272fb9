"""Each miner against its rule, written as loops."""

import pytest
import torch
import torch.nn.functional as F

from embedder.miners import MINERS, build_miner
from eval.errors import InputError

LABELS = [0, 0, 0, 1, 1, 2, 2, 3]
VECTORS = F.normalize(torch.randn(8, 3, generator=torch.Generator().manual_seed(4)) + 0.6)
S = (VECTORS @ VECTORS.T).tolist()
MARGIN = 0.15
ALL = {
    (a, p, n)
    for a in range(8)
    for p in range(8)
    for n in range(8)
    if a != p and LABELS[a] == LABELS[p] and LABELS[a] != LABELS[n]
}


def mined(name: str) -> list[tuple[int, ...]]:
    indices = build_miner(name, MARGIN)(VECTORS, torch.tensor(LABELS))
    if len(indices) == 4:
        indices = (indices[0], indices[1], indices[3])
    return list(zip(*(index.tolist() for index in indices), strict=True))


def test_margin_miners_take_the_triplets_they_say() -> None:
    violating = {(a, p, n) for a, p, n in ALL if S[a][p] - S[a][n] <= MARGIN}
    semi_hard = {(a, p, n) for a, p, n in violating if S[a][n] < S[a][p]}
    assert set(mined("all")) == violating
    assert set(mined("semi-hard")) == semi_hard
    assert ALL > violating > semi_hard > set()


def test_hard_takes_each_photo_s_farthest_positive_and_nearest_negative() -> None:
    wanted = set()
    for a in range(7):  # photo 7 is alone in its class
        positives = [p for p in range(8) if p != a and LABELS[p] == LABELS[a]]
        negatives = [n for n in range(8) if LABELS[n] != LABELS[a]]
        wanted.add((a, min(positives, key=S[a].__getitem__), max(negatives, key=S[a].__getitem__)))
    assert set(mined("hard")) == wanted


def test_easy_positive_takes_the_nearest_positive_and_the_nearest_negative_beyond_it() -> None:
    wanted = set()
    for a in range(7):
        positive = max((p for p in range(8) if p != a and LABELS[p] == LABELS[a]), key=S[a].__getitem__)
        beyond = [n for n in range(8) if LABELS[n] != LABELS[a] and S[a][n] < S[a][positive]]
        if beyond:
            wanted.add((a, positive, max(beyond, key=S[a].__getitem__)))
    assert set(mined("easy-positive")) == wanted


def test_multi_similarity_takes_pairs_that_are_hard_against_the_other_kind() -> None:
    a1, p, a2, n = build_miner("multi-similarity", MARGIN)(VECTORS, torch.tensor(LABELS))
    positives, negatives = set(), set()
    for a in range(8):
        near = [S[a][i] for i in range(8) if i != a and LABELS[i] == LABELS[a]]
        far = [S[a][i] for i in range(8) if LABELS[i] != LABELS[a]]
        for i in range(8):
            if i != a and LABELS[i] == LABELS[a] and S[a][i] - MARGIN < max(far):
                positives.add((a, i))
            if LABELS[i] != LABELS[a] and near and S[a][i] + MARGIN > min(near):
                negatives.add((a, i))
    assert set(zip(a1.tolist(), p.tolist(), strict=True)) == positives
    assert {(a, i) for a, i in zip(a2.tolist(), n.tolist(), strict=True) if a != 7} == negatives


@pytest.mark.parametrize("dimension", [3, 256, 1280])
def test_distance_weighted_draws_for_every_photo_by_the_weights_of_its_own_negatives(dimension: int) -> None:
    """Also beside two photos that look alike; in few dimensions by the paper's formula."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) // 4
    vectors = F.normalize(torch.randn(64, dimension, generator=generator) + 1.0)
    vectors[0] = F.normalize(vectors[60] + 0.1 * F.normalize(vectors[1], dim=0), dim=0)
    torch.manual_seed(0)
    miner = build_miner("distance-weighted", MARGIN)
    counts = torch.zeros(64, 64)
    for _ in range(1000 if dimension == 3 else 1):
        anchors, positives, negatives = miner(vectors, labels)
        assert (labels[anchors] == labels[positives]).all()
        counts.index_put_((anchors, negatives), torch.ones(len(anchors)), accumulate=True)
    assert {*anchors.tolist()} == {*range(64)}
    if dimension == 3:
        distances = torch.cdist(vectors, vectors).clamp(min=0.5)
        wanted = distances.pow(-1) * ((labels[:, None] != labels) & (distances < 1.4))
        shares, expected = (one / one.sum(1, keepdim=True) for one in (counts, wanted))
        assert (shares - expected).abs().max() < 0.03


def test_distance_weighted_leaves_it_to_the_loss_to_tell_of_vectors_that_are_no_numbers() -> None:
    assert [
        len(one) for one in build_miner("distance-weighted", MARGIN)(VECTORS * torch.nan, torch.tensor(LABELS))
    ] == [0] * 3


def test_distance_weighted_draws_real_triplets_by_the_seed() -> None:
    torch.manual_seed(0)
    first = mined("distance-weighted")
    torch.manual_seed(0)
    assert mined("distance-weighted") == first
    assert set(first) <= ALL
    assert len(first) > 5


def test_none_is_no_miner_and_a_wrong_name_is_told() -> None:
    assert build_miner("none", MARGIN) is None
    assert set(MINERS) >= {"none", "all", "semi-hard", "hard", "easy-positive", "distance-weighted", "multi-similarity"}
    with pytest.raises(InputError, match="unknown miner 'semihard'; did you mean 'semi-hard'"):
        build_miner("semihard", MARGIN)
