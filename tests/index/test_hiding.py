"""What a calibration may be asked for, and what it says it is not about."""

import json

import numpy as np
import pyarrow as pa
import pytest

from eval.calibration import leave_one_out_set
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.vote import Candidate
from index import Index
from index.add import main as add
from index.calibrate import describe
from index.calibrate import main as calibrate
from index.info import main as info
from index.query import main as query
from index.rebuild import main as rebuild
from index.remove import main as remove
from index.taxonomy import deepest
from tests.index.conftest import PHOTOS, made, unit


@pytest.fixture
def folder(tmp_path):
    return made(tmp_path / "a.index")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"coverage": 95}, "coverage is 95; it must be above 0 and below 1, such as 0.05 for 5 %"),
        ({"coverage": 0.0}, "coverage is 0.0"),
        ({"coverage": float("nan")}, "coverage is nan"),
        ({"false_accepts": -1.0}, "false_accepts is -1.0"),
        ({"false_accepts": 0.0}, "false_accepts is 0.0"),
        ({"false_accepts": 1.0}, "false_accepts is 1.0"),
        ({"seed": -1}, "seed is -1; it must be 0 or more"),
    ],
)
def test_what_cannot_be_asked_for(folder, asked, message):
    before = Index.open(folder).generation
    with pytest.raises(InputError, match=message):
        calibrate(folder, **asked)
    assert Index.open(folder).generation == before


def test_what_is_not_said_is_as_the_last_time(folder):
    calibrate(folder, by="both", coverage=0.8, sure=0.7, false_accepts=0.2)
    again = calibrate(folder)
    assert (again.by, again.coverage, again.sure, again.asked) == ("both", 0.8, 0.7, 0.2)
    assert calibrate(folder, coverage=0.95).sure == 0.7
    assert calibrate(folder, false_accepts="auto").asked is None
    assert calibrate(folder).coverage == 0.95


def test_nothing_is_promised_of_classes_of_one_reference(tmp_path):
    draw = np.random.default_rng(1)
    folder = made(tmp_path / "a.index")
    assert "classes of one reference" not in describe(calibrate(folder))
    table = pa.table(
        {
            "id": [f"f{row:031x}" for row in range(40)],
            "label": [f"lone-{row}" for row in range(40)],
            "path": [f"lone/{row}.jpg" for row in range(40)],
            "trained_on": [False] * 40,
            "class_trained_on": [False] * 40,
        }
    )
    EmbeddingSet(unit(draw.normal(size=(40, 16))), table, "tiny").save(
        tmp_path / "lone", made_from={}, images_root=None, left_out=[]
    )
    add(folder, str(tmp_path / "lone"))
    said = describe(calibrate(folder))
    assert said.endswith("nothing of this is about known photos of classes of one reference, which 40 of these are")


@pytest.mark.parametrize(
    ("classes_trained_on", "said"),
    [(True, "the embedder was trained on"), (None, "the embedder may have been trained on"), (False, None)],
)
def test_whether_the_classes_were_trained_on(tmp_path, classes_trained_on, said):
    column = pa.array([classes_trained_on] * 24 * PHOTOS, pa.bool_())
    found = calibrate(made(tmp_path / "a.index", class_trained_on=column))
    assert found.classes_trained_on is classes_trained_on
    assert (said or "the embedder") in describe(found) if said else "the embedder" not in describe(found)


def test_a_stale_calibration_is_said_to_be_stale(tmp_path, tiny_embedder, capsys):
    from index.build import main as build
    from tests.index.conftest import write_photo

    for number in range(240):
        write_photo(tmp_path / "photos" / f"class-{number % 20:02}" / f"{number:03}.png", number % 20, number)
    folder = build(tiny_embedder, str(tmp_path / "photos"), out=tmp_path / "a.index")
    photo = tmp_path / "photos" / "class-03" / "003.png"
    stale = "10% of the references have changed since it was calibrated; run index.calibrate"

    def told():
        capsys.readouterr()
        query(folder, photo, json=True)
        as_json = capsys.readouterr()
        query(folder, photo)
        texts = as_json.err, capsys.readouterr().out
        info(folder)
        info_text = capsys.readouterr().out
        return json.loads(as_json.out)[0]["calibration_stale"], [stale in text for text in texts], info_text

    remove(folder, path=str(tmp_path / "photos" / "class-01" / "001.png"))
    fresh, texts, info_text = told()
    assert (fresh, texts) == (False, [False, False])
    assert "0.4% of the references\n" in info_text
    remove(folder, label="class-00")
    remove(folder, label="class-01")
    is_stale, texts, info_text = told()
    assert (is_stale, texts) == (True, [True, True])
    assert "10.0% of the references: stale, run index.calibrate" in info_text
    assert Index.open(folder).query(photo).calibration_stale


def test_rebuilding_renews_a_calibration_also_where_nothing_is_written_out(folder, tmp_path):
    calibrate(folder)
    vectors = Index.open(folder).vectors(np.arange(288))
    table = Index.open(folder).table.select(["path", "trained_on", "class_trained_on"])
    table = table.append_column("id", pa.array([f"f{row:031x}" for row in range(288)]))
    table = table.append_column("label", pa.array([f"new-{row // PHOTOS}" for row in range(288)]))
    EmbeddingSet(-vectors, table, "tiny").save(tmp_path / "more", made_from={}, images_root=None, left_out=[])
    add(folder, str(tmp_path / "more"))
    index = Index.open(folder)
    assert len(index.segments) == 1
    assert index.calibration.changed(index.manifest) == 1
    rebuild(folder)
    index = Index.open(folder)
    assert index.calibration.changed(index.manifest) == 0
    assert index.calibration.photos == 576


@pytest.mark.parametrize("k", [1, 10, 40])
@pytest.mark.parametrize("calibrated", [True, False])
def test_photos_that_are_asked_together_have_no_vote_however_many_they_are(folder, tmp_path, k, calibrated):
    """25 photos that look like class-05 and are labelled class-00."""
    index = Index.open(folder)
    centre = unit(index.vectors(np.arange(60, 72)).sum(axis=0)[None])[0]
    vectors = unit(centre + 0.02 * np.random.default_rng(0).normal(size=(25, 16)))
    ids = [f"f{row:031x}" for row in range(25)]
    table = pa.table({"id": ids, "label": ["class-00"] * 25, "path": ids})
    EmbeddingSet(vectors, table, "tiny").save(tmp_path / "t", made_from={}, images_root=None, left_out=[])
    add(folder, str(tmp_path / "t"))
    if calibrated:
        calibrate(folder)
    answer = Index.open(folder).judge(centre, k, own_ids={*ids})
    assert answer.candidates[0].label == "class-05"


def test_however_many_are_shown_as_many_vote(folder):
    calibrate(folder)
    index = Index.open(folder)
    vector = unit(index.vectors(np.array([3, 40])).sum(axis=0)[None])[0]
    answers = [index.judge(vector, k) for k in (1, 10, 288)]
    assert [len(answer.neighbours) for answer in answers] == [1, 10, 288]
    assert answers[0].candidates == answers[1].candidates == answers[2].candidates
    assert answers[0].label_set == answers[2].label_set


def test_a_vector_that_is_none(folder):
    with pytest.raises(InputError, match="the vector holds values that are not finite"):
        Index.open(folder).judge(np.full(16, np.nan, np.float32))


def test_no_photos(folder, tmp_path):
    with pytest.raises(InputError, match="there are no photos to answer"):
        query(folder, picture=tmp_path / "a.png")


def test_scores_that_differ_by_rounding_are_the_same():
    right = np.full(20, 0.1 + 0.2)
    candidates = np.full((20, 1), 0.3)
    assert (right > candidates[:, 0]).all()
    assert leave_one_out_set(right, candidates, 0.5).tolist() == [True]


def test_ten_tenths_are_sure():
    candidates = [Candidate(f"species-{place}", 0.1) for place in range(10)]
    taxa = {"genus": {one.label: "Passer" for one in candidates}}
    assert sum(one.share for one in candidates) < 1
    assert deepest(candidates, taxa, 1.0).name == "Passer"


def test_the_label_is_of_the_taxon_that_is_named(tmp_path):
    """One sparrow that is likelier than each of many crows, which together are likelier than it."""
    genus = ["Passer" if row < PHOTOS else "Corvus" for row in range(24 * PHOTOS)]
    folder = made(tmp_path / "a.index", genus=genus)
    calibrate(folder, sure=0.55)
    index = Index.open(folder)
    centres = [unit(index.vectors(np.arange(12 * code, 12 * code + 12)).sum(axis=0)[None])[0] for code in range(24)]
    draw, differing = np.random.default_rng(0), 0
    for _ in range(400):
        others = draw.permutation(np.arange(1, 24))[:4]
        vector = unit((centres[0] + draw.uniform(0.5, 1.1, 4) @ np.array([centres[one] for one in others]))[None])[0]
        answer = index.judge(vector)
        if answer.level != "genus":
            continue
        shares = {one.label: one.share for one in answer.candidates}
        assert index.taxa["genus"][answer.label] == answer.taxon
        assert answer.probability == shares[answer.label]
        assert answer.probability == max(shares[name] for name in shares if index.taxa["genus"][name] == answer.taxon)
        differing += answer.label != answer.candidates[0].label
    assert differing


def test_empty_names_are_none(folder, tmp_path):
    index = Index.open(folder)
    table = index.table.select(["label", "path", "trained_on", "class_trained_on"])
    table = table.append_column("id", pa.array([f"f{row:031x}" for row in range(288)]))
    for name in ("genus", "group"):
        table = table.append_column(name, pa.array([""] * 288))
    EmbeddingSet(-index.vectors(np.arange(288)), table, "tiny").save(
        tmp_path / "more", made_from={}, images_root=None, left_out=[]
    )
    add(folder, str(tmp_path / "more"))
    assert calibrate(folder).lone == 0
    index = Index.open(folder)
    assert index.table["genus"].null_count == 576
    assert index.judge(index.vectors(np.array([3]))[0]).taxon == "class-00"
