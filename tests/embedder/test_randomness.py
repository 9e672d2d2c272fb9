import itertools

from embedder.randomness import keyed_generator


def numbers(*key):
    return tuple(keyed_generator(*key).integers(0, 2**63, 4).tolist())


def test_a_key_gives_the_same_numbers_in_any_order_of_calls():
    keys = list(itertools.product(("view", "classes"), (-1, 0, 1), (0, 1, 2**40)))
    first = {key: numbers(*key) for key in keys}
    assert {key: numbers(*key) for key in reversed(keys)} == first
    assert len(set(first.values())) == len(keys)


def test_parts_of_a_key_do_not_run_together():
    assert len({numbers(1, 23), numbers(12, 3), numbers(1, 2, 3), numbers(123), numbers(123, 0), numbers(0, 123)}) == 6


def test_the_numbers_are_uniform():
    values = [keyed_generator("view", 0, 0, f"{photo:032x}", 0).random() for photo in range(2000)]
    for low in (0.0, 0.25, 0.5, 0.75):
        assert 400 < sum(low <= value < low + 0.25 for value in values) < 600
