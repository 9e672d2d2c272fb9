from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedder.data.sampler import ClassBalancedSampler
from eval.errors import InputError

sizes = st.lists(st.integers(1, 9), min_size=2, max_size=12)
shapes = st.tuples(st.integers(2, 40), st.integers(1, 6)).filter(lambda shape: shape[0] // shape[1] >= 2)


def make(counts, shape, seed=0):
    """A sampler over classes of so many photos, whose rows are mixed."""
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.random.default_rng(1).permutation(labels)
    return labels, ClassBalancedSampler(labels, *shape, seed)


def spread(counter, keys):
    """Difference between the most and the least often drawn."""
    drawn = [counter[key] for key in keys]
    return max(drawn) - min(drawn)


@settings(deadline=None, max_examples=100)
@given(sizes, shapes, st.integers(0, 3))
def test_every_batch_holds_several_photos_of_distinct_classes(counts, shape, epoch):
    labels, sampler = make(counts, shape)
    batches = sampler.batches(epoch)
    assert len(batches) == sampler.steps
    for batch in batches:
        drawn = Counter(labels[draw.row] for draw in batch)
        assert len(drawn) == min(shape[0] // shape[1], len(counts)) == sampler.classes_per_batch
        assert set(drawn.values()) == {shape[1]}
        for label in drawn:
            rows = Counter(draw.row for draw in batch if labels[draw.row] == label)
            assert max(rows.values()) == -(-shape[1] // counts[label])


@settings(deadline=None, max_examples=100)
@given(sizes, shapes, st.integers(0, 3))
def test_an_epoch_is_one_pass_and_covers_every_class_equally_often(counts, shape, epoch):
    labels, sampler = make(counts, shape)
    drawn = Counter(labels[draw.row] for batch in sampler.batches(epoch) for draw in batch)
    assert set(drawn) == set(range(len(counts)))
    assert spread(drawn, range(len(counts))) <= shape[1]
    size = sampler.classes_per_batch * shape[1]
    assert abs(drawn.total() - max(sum(counts), len(counts) * shape[1])) <= size


@settings(deadline=None, max_examples=50)
@given(sizes, shapes)
def test_over_epochs_classes_and_photos_take_equal_turns(counts, shape):
    labels, sampler = make(counts, shape)
    seen = Counter()
    for epoch in range(7):
        seen.update(draw.row for batch in sampler.batches(epoch) for draw in batch)
        by_class = Counter()
        for row, count in seen.items():
            by_class[labels[row]] += count
        assert spread(by_class, range(len(counts))) <= shape[1]
        for label in range(len(counts)):
            assert spread(seen, np.flatnonzero(labels == label).tolist()) <= 1


@settings(deadline=None, max_examples=50)
@given(sizes, shapes)
def test_views_count_the_earlier_draws_of_a_row_in_the_epoch(counts, shape):
    _, sampler = make(counts, shape)
    seen = Counter()
    for batch in sampler.batches(2):
        for row, view in batch:
            assert view == seen[row]
            seen[row] += 1


def test_nothing_depends_on_what_was_asked_for_before():
    _, one = make([5, 3, 8, 1], (8, 2))
    _, other = make([5, 3, 8, 1], (8, 2))
    epochs = [one.batches(epoch) for epoch in range(4)]
    assert [other.batches(epoch) for epoch in (3, 1, 0, 2)] == [epochs[3], epochs[1], epochs[0], epochs[2]]


def test_seeds_and_epochs_differ():
    _, sampler = make([20] * 10, (16, 4))
    _, other = make([20] * 10, (16, 4), seed=1)
    assert sampler.batches(0) != other.batches(0)
    assert sampler.batches(0) != sampler.batches(1)


def test_a_walk_is_shuffled_again():
    """The photos that a batch shows together are not the same for ever."""
    labels, sampler = make([8, 8], (8, 4))
    groups = set()
    for epoch in range(12):
        for batch in sampler.batches(epoch):
            groups.add(frozenset(draw.row for draw in batch if labels[draw.row] == 0))
    assert len(groups) > 12


def test_classes_meet_in_changing_company():
    labels, sampler = make([4] * 12, (8, 4))
    pairs = {frozenset(labels[draw.row] for draw in batch) for epoch in range(100) for batch in sampler.batches(epoch)}
    assert len(pairs) == 12 * 11 / 2


def test_classes_with_one_photo_show_it_in_several_views():
    labels, sampler = make([1, 1, 1], (12, 4))
    assert sampler.steps == 1
    for label in range(3):
        views = [draw.view for draw in sampler.batches(0)[0] if labels[draw.row] == label]
        assert sorted(views) == [0, 1, 2, 3]


def test_small_classes_do_not_shorten_large_ones():
    """A class gives as many photos as any other, whatever its size; no label is dropped."""
    labels, sampler = make([1, 2, 60], (9, 3))
    drawn = Counter(labels[draw.row] for batch in sampler.batches(0) for draw in batch)
    assert drawn == {0: 21, 1: 21, 2: 21}


def test_consecutive_epochs_go_on_where_the_last_one_ended():
    labels, sampler = make([10, 10], (4, 2))
    rows = [
        draw.row for epoch in range(2) for batch in sampler.batches(epoch) for draw in batch if not labels[draw.row]
    ]
    for start, end in pairwise(range(0, len(rows) + 1, 10)):
        assert len(set(rows[start:end])) == 10


@pytest.mark.parametrize(
    ("counts", "shape", "message"),
    [
        ([5, 5], (4, 4), "train.batch_size 4 with train.photos_per_class 4 leaves room for 1 classes"),
        ([5, 5], (8, 0), "train.photos_per_class 0"),
        ([5], (8, 4), "1 classes to train on; two at least are needed"),
        ([], (8, 4), "0 classes to train on"),
    ],
)
def test_what_is_refused(counts, shape, message):
    with pytest.raises(InputError, match=message):
        make(counts, shape)


def test_the_time_of_an_epoch_does_not_grow_with_the_epoch():
    """An epoch far away is as near as the first: no walk is retraced from its beginning."""
    _, sampler = make([5] * 20, (16, 4))
    assert len(sampler.batches(10**9)) == sampler.steps
