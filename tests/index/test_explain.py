import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from embedder.places import PlaceShares
from eval.errors import InputError
from eval.images import BadImage
from eval.vote import Candidate
from index import Index, best_rival, explain
from index.answer import Answer, Neighbour
from index.build import main as build
from index.explain import explain_answer, explain_each
from index.remove import main as remove

GREY = 127
RED, GREEN, PINK = (250, 100, 110), (90, 240, 120), (240, 90, 200)


def spotted(path, colour, row, column, cells=4, side=32):
    """A grey photo with one cell in another colour."""
    pixels = np.full((side, side, 3), GREY, np.uint8)
    cell = side // cells
    pixels[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = colour
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def spots(tmp_path_factory):
    """Photos of red, green and pink spots."""
    root = tmp_path_factory.mktemp("spots")
    for label, colour in (("red", RED), ("green", GREEN), ("pink", PINK)):
        for place in range(3):
            spotted(root / label / f"{place}.png", colour, place, 3 - place)
    return root


@pytest.fixture(scope="module")
def index(mean_embedder, spots, tmp_path_factory):
    """An index of them whose vectors are sums over places."""
    return Index.open(build(mean_embedder, str(spots), out=tmp_path_factory.mktemp("explained") / "spots.index"))


@pytest.fixture
def query(tmp_path):
    return spotted(tmp_path / "query.png", (245, 105, 112), 2, 0)


def at(index, path):
    return index.table["path"].to_pylist().index(path)


def test_shares_and_pairs_add_up_to_the_similarity_of_the_answer(index, query) -> None:
    for neighbour in index.query(query).neighbours:
        found = explain(index, query, neighbour.row)
        assert (found.exact, found.reference_seen) == (True, "photo")
        assert (found.row, found.id, found.label) == (neighbour.row, neighbour.id, neighbour.label)
        assert found.similarity == pytest.approx(neighbour.similarity, abs=1e-5)
        for shares in (found.pairs, found.query.shares, found.reference.shares):
            assert shares.sum() == pytest.approx(found.similarity, abs=1e-5)
        np.testing.assert_allclose(found.pairs.sum((2, 3)), found.query.shares, atol=1e-5)
        np.testing.assert_allclose(found.pairs.sum((0, 1)), found.reference.shares, atol=1e-5)


def test_what_is_alike_is_where_the_spots_are(index, query) -> None:
    found = explain(index, query, at(index, "red/1.png"))
    assert np.unravel_index(found.pairs.argmax(), found.pairs.shape) == (2, 0, 1, 2)
    assert found.pairs.max() > 0.9
    assert found.query.region == found.reference.region == (0, 0, 1)


def test_shares_are_those_of_the_mean_colour(index, query) -> None:
    """By its formula: the colours of cells, times the reference's vector, divided by the length of their sum."""
    row = at(index, "pink/0.png")
    cells = np.asarray(Image.open(query), np.float64).reshape(4, 8, 4, 8, 3).mean((1, 3)) - 127.4
    expected = cells @ index.vectors(np.array([row]))[0] / np.linalg.norm(cells.sum((0, 1)))
    np.testing.assert_allclose(explain(index, query, row).query.shares, expected, atol=1e-5)


def test_what_speaks_for_a_reference_and_what_for_its_rival(index, tmp_path) -> None:
    photo = spotted(tmp_path / "two.png", RED, 0, 0)
    pixels = np.array(Image.open(photo))
    pixels[24:, 24:] = PINK
    Image.fromarray(pixels).save(photo)
    red, pink = at(index, "red/0.png"), at(index, "pink/0.png")
    found = explain(index, photo, red, rival=pink)
    alone = explain(index, photo, pink)
    assert (found.rival.row, found.rival.rival, alone.difference) == (pink, None, None)
    np.testing.assert_array_equal(found.rival.query.shares, alone.query.shares)
    np.testing.assert_allclose(found.difference, found.query.shares - alone.query.shares)
    assert found.difference[0, 0] > 0.01 > -0.01 > found.difference[3, 3]
    each = explain_each(index, photo, [pink, red], rival=pink)
    np.testing.assert_array_equal(each[1].difference, found.difference)
    assert not each[0].difference.any()


def test_without_its_photo_a_reference_is_explained_by_its_thumbnail(mean_embedder, spots, query, tmp_path) -> None:
    shutil.copytree(spots, tmp_path / "spots")
    index = Index.open(build(mean_embedder, str(tmp_path / "spots"), out=tmp_path / "a.index"))
    row, other = at(index, "red/1.png"), at(index, "green/1.png")
    (tmp_path / "spots" / "red" / "1.png").unlink()
    shutil.copy(query, tmp_path / "spots" / "green" / "1.png")  # another photo by now
    for found in explain_each(index, query, [row, other]):
        assert (found.exact, found.reference_seen) == (False, "thumbnail")
        for shares in (found.pairs, found.query.shares, found.reference.shares):
            assert shares.sum() == pytest.approx(found.similarity, abs=1e-6)
    assert explain(index, query, row, images_root=spots).reference_seen == "photo"
    index.thumbnail = lambda row: (spots / "red" / "1.png").read_bytes()  # as good as the photo, but who knows that
    assert not explain(index, query, row).exact
    index.thumbnail = lambda row: b""
    found = explain(index, query, row)
    assert (found.reference_seen, found.reference, found.pairs) == ("none", None, None)
    assert found.query.shares.sum() == pytest.approx(found.similarity, abs=1e-6)
    assert json.loads(json.dumps(found.to_json()))["reference"] == {"id": found.id, "label": "red"}


def test_a_vector_that_is_not_the_photos_makes_it_approximate(index, query, monkeypatch) -> None:
    row = at(index, "red/1.png")
    right = index.vectors(np.array([row]))
    turned = right + 0.01 * np.roll(right, 1, axis=1)
    monkeypatch.setattr(index, "vectors", lambda rows: turned / np.linalg.norm(turned))
    found = explain(index, query, row)
    assert not found.exact
    assert found.pairs.sum() == pytest.approx(found.similarity, abs=1e-6)


@pytest.mark.parametrize("photo", [0, 1])
def test_both_photos_must_be_exact(index, query, monkeypatch, photo) -> None:
    whole, seen = PlaceShares.of, []

    def of(self, pixels):
        seen.append(pixels)
        return replace(whole(self, pixels), exact=len(seen) != photo + 1)

    monkeypatch.setattr(PlaceShares, "of", of)
    assert not explain(index, query, 0).exact
    assert len(seen) == 2


def test_an_embedder_that_is_no_sum_over_places_says_so(built, photos) -> None:
    index, photo = Index.open(built), photos / "class-1" / "05.png"
    nearest = index.query(photo).neighbours[3]
    found = explain(index, photo, nearest.row)
    assert not found.exact
    assert found.similarity == pytest.approx(nearest.similarity, abs=1e-5)
    assert found.pairs.sum() == pytest.approx(found.similarity, abs=1e-6)


def test_boxes_of_the_photo_and_of_the_reference(mean_embedder, tmp_path) -> None:
    spotted(tmp_path / "scene.png", RED, 0, 0)
    wide = Image.new("RGB", (96, 64), (GREY,) * 3)
    wide.paste(Image.open(tmp_path / "scene.png"), (40, 20))
    wide.save(tmp_path / "wide.png")
    (tmp_path / "table.csv").write_text("path,label,box\nwide.png,red,40 20 72 52\nscene.png,other,\n")
    index = Index.open(build(mean_embedder, str(tmp_path / "table.csv"), out=tmp_path / "a.index"))
    found = explain(index, tmp_path / "wide.png", at(index, "wide.png"), box=(36, 20, 68, 52))
    assert (found.exact, found.reference_seen) == (True, "photo")
    assert found.reference.image.size == found.query.image.size == (32, 32)
    assert np.unravel_index(found.pairs.argmax(), found.pairs.shape)[2:] == (0, 0)
    with pytest.raises(BadImage):
        explain(index, tmp_path / "wide.png", 0, box=(500, 500, 600, 600))


def test_the_square_that_the_network_sees(index, tmp_path, monkeypatch) -> None:
    Image.new("RGB", (80, 40), "red").save(tmp_path / "wide.png")
    assert explain(index, tmp_path / "wide.png", 0).query.square == (0, 0, 1, 1)
    monkeypatch.setattr(index.embedder, "preprocessing", replace(index.embedder.preprocessing, fit="crop"))
    square = explain(index, tmp_path / "wide.png", 0).query.square
    share = 32 / round(32 / 0.875)
    assert square == pytest.approx([0.5 - share / 4, 0.5 - share / 2, 0.5 + share / 4, 0.5 + share / 2])


def test_json_holds_all_but_the_photos(index, query) -> None:
    red, green = at(index, "red/0.png"), at(index, "green/0.png")
    found = explain(index, query.read_bytes(), red, rival=green)
    told = json.loads(json.dumps(found.to_json()))
    assert [*told] == [
        *("generation", "similarity", "exact", "reference_seen"),
        *("query", "reference", "pairs", "rival", "difference"),
    ]
    assert (told["generation"], told["exact"], told["reference_seen"]) == (1, True, "photo")
    assert told["query"] == {
        "height": 4,
        "width": 4,
        "shares": np.round(found.query.shares, 7).tolist(),
        "square": [0, 0, 1, 1],
        "region": [0, 0, 1],
        "parts": None,
    }
    assert (told["reference"]["id"], told["reference"]["label"]) == (found.id, "red")
    np.testing.assert_allclose(told["pairs"], found.pairs, atol=1e-7)
    assert (told["rival"]["reference"]["label"], told["rival"]["rival"]) == ("green", None)
    np.testing.assert_allclose(told["difference"], found.difference, atol=1e-7)


def test_rows_that_are_no_references_are_refused(index, query, tmp_path) -> None:
    for row in (-1, 9):
        with pytest.raises(InputError, match=rf"row {row} is no reference of .*spots\.index"):
            explain(index, query, 0, rival=row)
    shutil.copytree(index.folder, tmp_path / "a.index")
    remove(tmp_path / "a.index", path="red/1.png")
    with pytest.raises(InputError, match="is no reference"):
        explain(Index.open(tmp_path / "a.index"), query, at(index, "red/1.png"))


def answer(*neighbours, label=None):
    """An answer whose neighbours have some labels and similarities, the photo itself where it is marked."""
    found = [
        Neighbour(rank, f"{rank}", name.rstrip("!"), "", similarity, name.endswith("!"), rank)
        for rank, (name, similarity) in enumerate(neighbours, 1)
    ]
    first = [Candidate("wren", 0.6), Candidate("robin", 0.4)]
    return Answer(label=label, candidates=first, neighbours=found, generation=1, fingerprint="", calibration_stale=None)


def test_the_best_rival_is_the_nearest_of_another_label() -> None:
    near = [("wren", 0.9), ("robin!", 1.0), ("robin", 0.8), ("finch", 0.85)]
    assert best_rival(answer(*near)).rank == 4
    assert best_rival(answer(*near, label="finch")).rank == 1
    assert best_rival(answer(("wren", 0.9), ("robin!", 1.0))) is None


def test_an_answer_is_explained_by_its_label_and_a_rival_that_it_does_not_show(index, spots, query) -> None:
    shown = index.query(query, k=1)
    assert best_rival(shown) is None
    found = explain_answer(index, query, shown)
    assert [one.label for one in found] == ["red"] * len(found)
    assert found[0].rival.label == "pink"
    own = spots / "red" / "1.png"
    found = explain_answer(index, own, index.query(own, k=10))
    assert [(one.label, one.row == at(index, "red/1.png")) for one in found] == [("red", False)] * 2
