"""Names above the label."""

import json

import numpy as np
import pyarrow as pa
import pytest

from eval.contact_sheet import contact_sheet
from eval.errors import InputError
from eval.vote import Candidate
from index import Index
from index import query as commands
from index.build import main as build
from index.calibrate import main as calibrate
from index.query import main as query
from index.relabel import main as relabel
from index.taxonomy import Taxon, deepest, taxonomy
from tests.index.conftest import PHOTOS, made, unit, write_photo

LABELS = ["house sparrow", "tree sparrow", "robin", "mystery"]
CODES = np.array([0, 0, 0, 1, 1, 2, 2, 3, -1])
GENUS = ["Passer", None, "Passer", "Passer", "Paser", "Erithacus", "Erithacus", None, "Turdus"]
FAMILY = ["Passeridae"] * 5 + ["Muscicapidae", "Turdidae", "Turdidae", None]


def test_a_label_is_of_the_taxon_that_more_than_half_of_its_references_are_of():
    table = pa.table({"order": pa.nulls(9, pa.string()), "family": FAMILY, "genus": GENUS})
    assert taxonomy(table, LABELS, CODES) == {
        "genus": {"house sparrow": "Passer", "robin": "Erithacus"},  # of the tree sparrows one of two says so
        "family": {"house sparrow": "Passeridae", "tree sparrow": "Passeridae", "mystery": "Turdidae"},
        "order": {},
    }
    assert [*taxonomy(table, LABELS, CODES)] == ["genus", "family", "order"]


def test_only_columns_that_are_there_are_levels():
    assert taxonomy(pa.table({"id": ["a"], "species": ["b"]}), ["c"], np.array([0])) == {}
    assert [*taxonomy(pa.table({"order": ["a"], "genus": ["b"]}), ["c"], np.array([0]))] == ["genus", "order"]


TAXA = {
    "genus": {"house": "Passer", "tree": "Passer", "robin": "Erithacus"},
    "family": {"house": "Passeridae", "tree": "Passeridae", "snow": "Passeridae", "robin": "Muscicapidae"},
}


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({"house": 0.9, "tree": 0.1}, Taxon("label", "house", 0.9)),
        ({"house": 0.5, "tree": 0.45, "robin": 0.05}, Taxon("genus", "Passer", 0.95)),
        ({"house": 0.5, "tree": 0.3, "snow": 0.15, "robin": 0.05}, Taxon("family", "Passeridae", 0.95)),
        ({"robin": 0.4, "house": 0.3, "tree": 0.3}, None),
        ({"robin": 0.11, "house": 0.45, "tree": 0.44}, None),
        ({"unheard of": 0.6, "house": 0.4}, None),
    ],
)
def test_the_deepest_level_that_is_sure_enough(shares, expected):
    candidates = [Candidate(label, share) for label, share in shares.items()]
    found = deepest(candidates, TAXA, 0.9)
    if expected is None:
        assert found is None
    else:
        assert (found.level, found.name) == (expected.level, expected.name)
        assert found.probability == pytest.approx(expected.probability)
    assert deepest([], TAXA, 0.9) is None


@pytest.mark.parametrize("sure", [0.49, 1.01, float("nan")])
def test_what_cannot_be_sure(tmp_path, sure):
    with pytest.raises(InputError, match=f"sure is {sure}; it must be from 0.5 to 1"):
        calibrate(made(tmp_path / "a.index"), sure=sure)


@pytest.mark.parametrize("by", ["neighbours", "prototypes", "both"])
def test_an_answer_between_two_species_of_a_genus_names_the_genus(tmp_path, by, capsys):
    genera = [f"genus-{row // PHOTOS // 2}" for row in range(288)]
    folder = made(tmp_path / "a.index", genus=genera)
    calibrate(folder, by=by)
    index = Index.open(folder)
    between = unit(index.vectors(np.arange(24, 48)).sum(axis=0)[None])[0]  # class-02 and class-03
    answer = index.judge(between)
    shares = {one.label: one.share for one in answer.candidates}
    assert answer.known
    assert answer.probability < 0.9
    assert (answer.level, answer.taxon) == ("genus", "genus-1")
    assert answer.taxon_probability == pytest.approx(shares["class-02"] + shares["class-03"])
    clear = index.judge(index.vectors(np.array([3]))[0])
    assert (clear.level, clear.taxon, clear.taxon_probability) == ("label", "class-00", clear.probability)
    unknown = index.judge(unit(np.ones((1, 16)))[0])
    assert (unknown.known, unknown.level, unknown.taxon, unknown.taxon_probability) == (False, None, None, None)
    calibrate(folder, by=by, sure=0.5)
    assert Index.open(folder).judge(between).level == "label"
    relabel(folder, label="class-03", to="class-10")  # most of class-10 is now of two genera alike
    assert Index.open(folder).judge(between).taxon != "genus-1"


def test_people_and_programs_are_told(tiny_embedder, tmp_path, capsys, monkeypatch):
    rows = []
    for number in range(240):
        name = f"{number:03}.png"
        write_photo(tmp_path / name, number % 20, number)
        rows.append(f"{name},class-{number % 20:02},genus-{number % 20 // 2}")
    for number in (240, 241, 242, 243, 244, 245):  # six photos of one look under two names
        write_photo(tmp_path / f"{number}.png", 50, number)
        rows.append(f"{number}.png,{'old' if number % 2 else 'young'},sparrow")
    (tmp_path / "birds.csv").write_text("path,label,genus\n" + "\n".join(rows) + "\n")
    folder = build(tiny_embedder, str(tmp_path / "birds.csv"), out=tmp_path / "a.index")
    write_photo(tmp_path / "new.png", 50, 999)
    capsys.readouterr()
    drawn = []
    monkeypatch.setattr(
        commands, "contact_sheet", lambda rows, **more: drawn.extend(rows) or contact_sheet(rows, **more)
    )
    (answer,) = query(folder, tmp_path / "new.png", k=9, picture=tmp_path / "answer.png")
    assert (drawn[0].title, drawn[0].subtitle.split(",")[0]) == ("genus sparrow", "100%")
    frames = [(tile.caption, tile.frame) for tile in drawn[0].tiles]
    assert {frame for caption, frame in frames if caption in ("old", "young")} == {"same"}  # both speak for the genus
    assert {frame for caption, frame in frames if caption.startswith("class")} == {"other"}
    told = capsys.readouterr().out.splitlines()
    assert answer.label in ("old", "young")
    doubt = [f"{one.label} {one.share:.0%}" for one in answer.candidates[:2]]
    assert told[3] == f"  genus sparrow, 100% (in doubt: {', '.join(doubt)})"
    query(folder, tmp_path / "new.png", k=2, json=True)
    (printed,) = json.loads(capsys.readouterr().out)
    assert (printed["level"], printed["taxon"]) == ("genus", "sparrow")
    assert printed["taxon_probability"] == pytest.approx(1)
