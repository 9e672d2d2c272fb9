from dataclasses import replace

import pytest

from embedder.data.drawing.field_guide import LOOK_ALIKES, SPECIES, TEST, TRAINING, VALIDATION
from embedder.data.drawing.species import MARKS, PALETTE, differences


def test_every_species_has_its_own_marks():
    assert len(SPECIES) == 48
    assert len({replace(species, name="") for species in SPECIES.values()}) == 48
    assert all(name == species.name for name, species in SPECIES.items())


def test_colours_are_in_the_palette():
    colours = [mark for mark in MARKS if mark not in {"wing_bars", "tail", "tail_length", "bill", "bill_length"}]
    for species in SPECIES.values():
        assert {getattr(species, mark) for mark in colours} <= {*PALETTE, None}


@pytest.mark.parametrize(("first", "second", "mark"), LOOK_ALIKES)
def test_look_alikes_differ_in_the_one_mark_that_is_told(first, second, mark):
    assert differences(SPECIES[first], SPECIES[second]) == [mark]


def test_no_pair_of_look_alikes_is_left_untold():
    told = {frozenset(pair[:2]) for pair in LOOK_ALIKES}
    assert len(told) == len(LOOK_ALIKES) >= 8
    names = list(SPECIES)
    pairs = [(a, b) for number, a in enumerate(names) for b in names[:number]]
    assert {frozenset(pair) for pair in pairs if len(differences(*map(SPECIES.get, pair))) == 1} == told


def test_classes_are_split_without_parting_look_alikes_or_genera():
    assert (len(TRAINING), len(VALIDATION), len(TEST)) == (26, 6, 16)
    assert [*TRAINING, *VALIDATION, *TEST] == list(SPECIES)
    sides = [{SPECIES[name].genus for name in side} for side in (TRAINING, VALIDATION, TEST)]
    assert sum(map(len, sides)) == len(set.union(*sides))
    for side in (TRAINING, VALIDATION, TEST):
        assert any(set(pair[:2]) <= set(side) for pair in LOOK_ALIKES)
    assert all(len({name in TEST for name in pair[:2]}) == 1 for pair in LOOK_ALIKES)
