"""Random sequences of changes, on every kind of search, against a dictionary of what the index should hold."""

import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eval.errors import InputError
from index import Index
from index.check import main as check
from index.rebuild import main as rebuild
from index.relabel import main as relabel
from index.remove import main as remove
from index.undo import main as undo
from tests.index.forty import LABELS, NAMES, VECTORS, held, put

KINDS = ["flat", "sq", "hnsw", "ivf", "ivfpq", "IVF4,Flat"]
FEWEST = {"ivfpq": 16, "IVF4,Flat": 4}
"""References that a structure is trained on at least."""

ENOUGH = 0.9
"""The share of the nearest that are found, whatever the kind: of so few references next to all are candidates."""

steps = st.one_of(
    st.tuples(
        st.just("add"),
        st.lists(st.tuples(st.integers(0, 39), st.sampled_from(LABELS)), min_size=1, max_size=30),
        st.sampled_from(["first", "both", "relabel"]),
    ),
    st.tuples(st.just("remove"), st.sampled_from(LABELS)),
    st.tuples(st.just("drop"), st.integers(0, 39)),
    st.tuples(st.just("relabel"), st.integers(0, 39), st.sampled_from(LABELS)),
    st.tuples(st.just("undo")),
    st.tuples(st.just("rebuild"), st.sampled_from(KINDS)),
)


def filled(given):
    """A sequence that begins with all of the forty photos and a kind of search."""
    kind, sequence = given
    return [("add", [(row, LABELS[row % 3]) for row in range(40)], "first"), ("rebuild", kind), *sequence]


def expected_after_adding(photos, how, model):
    """What an addition makes of a model."""
    firsts = {}
    for row, label in photos:
        firsts.setdefault(NAMES[row], label)
    after = set(model)
    for name, label in firsts.items():
        there = {known for known_name, known in model if known_name == name}
        if not there or (how == "both" and label not in there):
            after.add((name, label))
        elif how == "relabel" and label not in there:
            after = {pair for pair in after if pair[0] != name} | {(name, label)}
    return after


def expected_after(step, model, before):
    """What a step makes of a model, a set of (id, label); None where it is refused."""
    match step:
        case ("add", photos, how):
            return expected_after_adding(photos, how, model)
        case ("remove", label):
            after = {pair for pair in model if pair[1] != label}
            return after if after != model else None
        case ("drop", row):
            after = {pair for pair in model if pair[0] != NAMES[row]}
            return after if after != model else None
        case ("relabel", row, label):
            there = {pair for pair in model if pair[0] == NAMES[row]}
            return (model - there) | {(NAMES[row], label)} if there else None
        case ("undo",):
            return before
        case ("rebuild", kind):
            return model if len(model) >= FEWEST.get(kind, 1) else None


def carry_out(step, folder):
    """Do a step to an index."""
    match step:
        case ("add", photos, how):
            options = {"relabel": True} if how == "relabel" else {"on_conflict": how}
            rows, labels = zip(*photos, strict=True)
            put(folder, list(rows), list(labels), **options)
        case ("remove", label):
            remove(folder, label=label)
        case ("drop", row):
            remove(folder, id=NAMES[row])
        case ("relabel", row, label):
            relabel(folder, id=NAMES[row], to=label)
        case ("undo",):
            undo(folder)
        case ("rebuild", kind):
            rebuild(folder, kind=kind)


def found_of_the_nearest(folder, model):
    """The share of the three nearest that are found of each of the forty photos, by what the model says is there."""
    if not model:
        return 1
    k = min(3, len(model))
    there = VECTORS[[NAMES.index(name) for name, _ in model if name in NAMES]]
    right = -np.sort(-(VECTORS @ there.T), axis=1)[:, k - 1 : k]
    return (Index.open(folder).search(VECTORS, k).similarities >= right - 1e-5).mean()


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    sequence=st.one_of(
        st.lists(steps, max_size=12), st.tuples(st.sampled_from(KINDS), st.lists(steps, max_size=8)).map(filled)
    )
)
def test_any_sequence_of_changes_is_that_of_a_dictionary(sequence, empty, tmp_path):
    folder = tmp_path / "b.index"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(empty, folder)
    model, before = set(), {(f"{0:032x}", "x")}
    for step in sequence:
        after = expected_after(step, model, before)
        generation = Index.open(folder).generation
        if after is None:
            with pytest.raises(InputError):
                carry_out(step, folder)
        else:
            carry_out(step, folder)
            if Index.open(folder).generation > generation:
                model, before = after, model
            assert model == after
        assert held(folder) == model
        assert found_of_the_nearest(folder, model) >= ENOUGH
    check(folder)
    index = Index.open(folder)
    assert index.count == len(model)
    if model:
        rows = index.search(VECTORS, 200).rows
        ids = np.array(index.table["id"].to_pylist())
        for place, row in enumerate(rows):
            found = [(ids[one], index.label(one)) for one in row]
            assert set(found) == model
            similarities = [float(VECTORS[place] @ VECTORS[NAMES.index(name)]) for name, _ in found]
            assert similarities == sorted(similarities, reverse=True)
