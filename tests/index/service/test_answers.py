"""Photos are answered as ``index.query`` answers them."""

import io
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from eval.errors import InputError
from index.explain import explain
from index.remove import main as remove
from index.search import Index
from index.service import answers
from tests.index.service.conftest import files, jpeg, serving


def close(got, expected):
    """The same answer but for the rounding of the network, which sees other photos beside it."""
    assert got.keys() == expected.keys()
    for one, other in zip(got["neighbours"], expected["neighbours"], strict=True):
        assert one["similarity"] == pytest.approx(other["similarity"], abs=1e-5)
        assert {**one, "similarity": 0} == {**other, "similarity": 0}
    shares = [[one["share"] for one in answer["candidates"]] for answer in (got, expected)]
    assert shares[0] == pytest.approx(shares[1], abs=1e-4)
    free = {"neighbours", "candidates", "probability", "taxon_probability"}
    assert {name: got[name] for name in got.keys() - free} == {name: expected[name] for name in got.keys() - free}


def test_photos_are_answered_as_in_process(client, built, photos):
    chosen = [photos / "class-1" / "05.png", photos / "class-2" / "06.png"]
    told = client.post("/search", files=files(*chosen), data={"k": 3}).json()
    index = Index.open(built)
    assert (told["generation"], told["fingerprint"]) == (index.generation, index.fingerprint)
    for photo, answer in zip(chosen, told["answers"], strict=True):
        close(answer, {**index.query(photo, 3).to_json(), "query": photo.name})


def test_photos_of_one_subject_are_one_query(client, built, photos):
    chosen = [photos / "class-1" / "05.png", photos / "class-1" / "09.png"]
    (answer,) = client.post("/search", files=files(*chosen), data={"together": "true"}).json()["answers"]
    close(answer, {**Index.open(built).query_together(chosen).to_json(), "query": "05.png, 09.png"})


def test_a_box_is_what_is_asked_about(client, built, photos):
    photo = photos / "class-3" / "07.png"
    (answer,) = client.post("/search", files=files(photo), data={"box": "2,3,30,25"}).json()["answers"]
    close(answer, {**Index.open(built).query(photo, box=(2, 3, 30, 25)).to_json(), "query": "07.png"})


def test_many_at_once_get_their_own_answers(client, photos):
    chosen = sorted(photos.rglob("*.png"))

    def first(photo):
        answer = client.post("/search", files=files(photo), data={"k": 1})
        return answer.json()["answers"][0]["neighbours"][0]["path"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(first, chosen)) == [str(photo.relative_to(photos)) for photo in chosen]


def test_a_label_restricts_the_search_and_what_is_promised(client, photos):
    data = {"label": ["class-0", "class-3"], "k": 20}
    (answer,) = client.post("/search", files=files(photos / "class-1" / "05.png"), data=data).json()["answers"]
    assert {one["label"] for one in answer["neighbours"]} == {"class-0", "class-3"}
    assert len(answer["neighbours"]) == 10
    assert (answer["known"], answer["probability"], answer["label_set"]) == (None, None, None)


def test_of_several_photos_those_that_cannot_be_read_are_told(client, photos):
    good = files(photos / "class-1" / "05.png")
    told = client.post("/search", files=[("photo", ("a.pdf", b"%PDF-1.7")), *good]).json()
    assert told["answers"][0]["query"] == "a.pdf"
    assert told["answers"][0]["error"] == "is a PDF; export the page as JPEG or PNG"
    assert told["answers"][1]["neighbours"][0]["path"] == "class-1/05.png"
    alone = client.post("/search", files=[("photo", ("a.jpg", b"%PDF-1.7"))])
    assert alone.status_code == 415
    assert alone.json()["error"] == "a.jpg is a PDF; export the page as JPEG or PNG"


def test_photos_are_turned_upright(client):
    lying, exif = Image.new("RGB", (40, 80), (200, 30, 30)), Image.Exif()
    exif[0x0112] = 6
    lying.paste((30, 30, 200), (0, 40, 40, 80))
    contents = []
    for image, options in ((lying, {"exif": exif}), (lying.transpose(Image.Transpose.ROTATE_270), {})):
        buffer = io.BytesIO()
        image.save(buffer, "PNG", **options)
        contents.append(buffer.getvalue())
    told = client.post("/search", files=[("photo", ("a.png", content)) for content in contents]).json()["answers"]
    assert told[0]["neighbours"] == told[1]["neighbours"]


@pytest.mark.parametrize(
    ("data", "status", "sentence"),
    [
        ({"k": "0"}, 422, "k: "),
        ({"k": "101"}, 422, "at most 100"),
        ({"k": "many"}, 422, "k: "),
        ({"label": "class-9"}, 404, "no reference has the label 'class-9'"),
        ({"box": "1,2,3"}, 422, "four numbers"),
        ({"box": "5,5,5,9"}, 422, "left < right"),
        ({"box": "nan,0,5,9"}, 422, "left < right"),
        ({"box": "900,900,950,950"}, 415, "has nothing in box"),
        ({"together": "perhaps"}, 422, "together: "),
    ],
)
def test_wrong_values_are_told_in_a_sentence(client, photos, data, status, sentence):
    answer = client.post("/search", files=files(photos / "class-1" / "05.png"), data=data)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


def test_requests_without_photos_or_with_too_many_are_refused(client, built):
    assert client.post("/search").json() == {"error": "photo: Field required"}
    assert client.post("/search", data={"photo": "text"}).status_code == 422
    two = [("photo", ("a.jpg", jpeg()))] * 2
    assert "box is of one photo" in client.post("/search", files=two, data={"box": "1,2,3,4"}).json()["error"]
    with serving(built, photos=1) as client:
        answer = client.post("/search", files=two)
        assert (answer.status_code, "Too many files" in answer.json()["error"]) == (400, True)


def test_photos_with_too_many_pixels_are_refused_before_they_are_decoded(built):
    with serving(built, megapixels=0.001) as client:
        answer = client.post("/search", files=[("photo", ("a.jpg", jpeg(size=(40, 40))))])
    assert answer.status_code == 415
    assert "has 40 x 40 pixels, more than 0.001 million" in answer.json()["error"]


def test_an_index_without_references_says_so(own, photos):
    for label in range(4):
        remove(own, label=f"class-{label}")
    with serving(own) as client:
        answer = client.post("/search", files=files(photos / "class-1" / "05.png"))
        assert (answer.status_code, answer.json()["error"]) == (409, "the index holds no references; add some")
        assert client.get("/labels").json()["labels"] == []
        assert client.get("/references").json()["references"] == []
        assert client.get("/review").status_code == 409


def test_an_explanation_is_that_of_its_room(client, built, photos):
    index = Index.open(built)
    ids = index.table["id"].to_pylist()
    photo = photos / "class-1" / "05.png"
    form = {"reference": ids[3], "rival": ids[7], "box": "1,2,30,20"}
    given = client.post("/explain", files=files(photo), data=form).json()
    made = explain(index, photo.read_bytes(), 3, rival=7, box=(1.0, 2.0, 30.0, 20.0)).to_json()
    assert given == json.loads(json.dumps(made))
    assert client.post("/explain", files=files(photo), data={"reference": "0"}).status_code == 404
    for wrong in ({"label": "another"}, {"rival": ids[7], "rival_label": "another"}):
        refused = client.post("/explain", files=files(photo), data={"reference": ids[3], **wrong})
        assert "under this label" in refused.json()["error"]
    bad = client.post("/explain", files=[("photo", ("a.svg", b"<svg/>"))], data={"reference": ids[3]})
    assert (bad.status_code, bad.json()["error"]) == (415, "a.svg is an SVG drawing; export it as PNG")


def test_what_cannot_be_explained_is_told(client, built, photos, monkeypatch):
    def refuse(*_, **__):
        raise InputError("the embedder has no feature map")

    monkeypatch.setattr(answers, "explain_photo", refuse)
    name = Index.open(built).table["id"][0].as_py()
    answer = client.post("/explain", files=files(photos / "class-1" / "05.png"), data={"reference": name})
    assert (answer.status_code, answer.json()["error"]) == (422, "the embedder has no feature map")
