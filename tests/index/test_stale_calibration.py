"""What a change of the index does to its calibration."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from index import Index
from index.add import main as add
from index.calibrate import main
from index.calibration import STALE, Calibration
from index.commit import staging, writing
from index.hiding import calibrate
from index.journal import Change
from index.merge import main as merge
from index.relabel import main as relabel
from index.remove import main as remove
from index.undo import main as undo
from tests.index.conftest import made, unit


@pytest.fixture
def folder(tmp_path):
    return made(tmp_path / "a.index")


def test_a_calibration_goes_stale(folder, capsys):
    main(folder)
    calibration = Index.open(folder).calibration
    assert calibration == Calibration.of(Index.open(folder).manifest.calibration)
    remove(folder, path="3.jpg")
    relabel(folder, path="17.jpg", to="other")
    assert Index.open(folder).calibration.changed(Index.open(folder).manifest) == pytest.approx(2 / 288)
    remove(folder, label="class-05")
    remove(folder, label="class-06")
    assert Index.open(folder).calibration.changed(Index.open(folder).manifest) > STALE
    main(folder)
    assert Index.open(folder).calibration.changed(Index.open(folder).manifest) == 0


@pytest.mark.parametrize("how", ["remove", "relabel", "add"])
def test_a_change_and_its_calibration_are_one_step(folder, tmp_path, how, capsys):
    main(folder, false_accepts=0.07, coverage=0.8)
    generation = Index.open(folder).generation
    if how == "add":
        row = Index.open(folder).table.slice(0, 1)
        table = pa.table({name: row[name] for name in ("label", "path", "trained_on", "class_trained_on")})
        one = EmbeddingSet(unit(np.ones((1, 16))), table.append_column("id", pa.array(["f" * 32])), "tiny")
        one.save(tmp_path / "one", made_from={}, images_root=None, left_out=[])
        add(folder, str(tmp_path / "one"), recalibrate=True)
    elif how == "remove":
        remove(folder, label="class-05", recalibrate=True)
    else:
        relabel(folder, label="class-05", to="class-06", recalibrate=True)
    index = Index.open(folder)
    assert index.generation == generation + 1
    assert index.calibration.changed(index.manifest) == 0
    assert (index.calibration.asked, index.calibration.coverage) == (0.07, 0.8)
    expected, _ = calibrate(index, index.calibration.file, false_accepts=0.07, coverage=0.8)
    assert index.calibration == expected
    assert "calibrated on" in capsys.readouterr().err
    undo(folder)
    assert Index.open(folder).calibration.changed(Index.open(folder).manifest) == 0


def test_a_calibration_is_not_lost_to_damage(folder, monkeypatch):
    main(folder)

    def damaged(*_: object) -> None:
        raise InputError("its vectors are damaged")

    monkeypatch.setattr("index.calibrate.check_vectors", damaged)
    with pytest.raises(InputError, match="its vectors are damaged"):
        remove(folder, label="class-05", recalibrate=True)
    assert "class-05" in Index.open(folder).labels
    assert Index.open(folder).calibration is not None


def test_what_was_asked_for_outlives_an_index_that_is_too_small(folder, tmp_path):
    asked = {"by": "prototypes", "false_accepts": 0.07, "coverage": 0.8, "sure": 0.7}
    main(folder, **asked)
    for label in [f"class-{code:02}" for code in range(8)]:
        remove(folder, label=label, recalibrate=label == "class-07")
    assert Index.open(folder).calibration is None
    remove(folder, path="280.jpg", recalibrate=True)
    again = made(tmp_path / "again.index", seed=1)
    merge(folder, again, recalibrate=True)
    found = Index.open(folder).calibration
    assert {"by": found.by, "false_accepts": found.asked, "coverage": found.coverage, "sure": found.sure} == asked
    assert Index.open(folder).manifest.asked == {}


def test_what_a_build_asked_for_counts_at_first(tmp_path):
    folder = made(tmp_path / "a.index")
    with staging(folder) as new_files, writing(folder) as writer:
        writer.commit(replace(writer.before, made_from={"by": "both"}), Change("test"), new_files)
    main(folder)
    assert Index.open(folder).calibration.by == "both"


def test_where_nothing_changes_it_is_told_how_to_calibrate(folder, capsys):
    relabel(folder, label="class-05", to="class-05", recalibrate=True)
    assert f"so nothing is measured anew; python -m index.calibrate {folder} does" in capsys.readouterr().err


def test_labels_that_change_again_count_again(folder):
    relabel(folder, label="class-05", to="x")
    main(folder)
    relabel(folder, label="x", to="y")
    index = Index.open(folder)
    assert index.calibration.changed(index.manifest) == pytest.approx(12 / 288)


def test_an_open_index_goes_on_answering_and_is_let_go(folder):
    import gc
    import weakref

    main(folder)
    opened = Index.open(folder)
    main(folder)
    main(folder)
    vector = opened.vectors(np.array([0]))[0]
    assert opened.judge(vector).label_set is not None
    gone = weakref.ref(opened)
    del opened
    gc.collect()
    assert gone() is None
