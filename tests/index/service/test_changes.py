"""The index is changed over HTTP, by those who show the token."""

import io
import json
import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from eval.errors import InputError
from index import Index
from index.add import main as add
from index.check import main as check
from index.commit import writing
from index.rebuild import main as rebuild
from index.relabel import main as relabel
from index.service import teaching
from tests.index.conftest import write_photo
from tests.index.service.conftest import SHOWN, TOKEN, files, jpeg, serving


def teach(client, *photos, label="new kind", **data):
    sent = [("photo", photo) for photo in photos]
    return client.post("/references", files=sent, data={"label": label, **data}, headers=SHOWN)


def noise(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((640, 480)).save(buffer, "JPEG", quality=97)
    return buffer.getvalue()


def search(client, photo):
    return client.post("/search", files=[("photo", photo)]).json()["answers"][0]


def kept(client):
    """The photos that are kept."""
    folder = client.service.settings.taught_folder
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def listed(client, **wanted):
    return client.get("/references", params=wanted).json()["references"]


def test_what_is_taught_is_found_kept_and_built_again(editor, own, tiny_embedder):
    told = teach(editor, ("a.jpg", jpeg()), ("b.jpg", jpeg((30, 200, 30)))).json()
    ids = told["ids"]
    assert told == {"generation": 2, "added": 2, "already_there": 0, "relabelled": 0, "ids": ids}
    assert kept(editor) == sorted(f"{name}.jpg" for name in ids)
    assert [one["id"] for one in listed(editor, label="new kind")] == ids[::-1]
    (answer,) = editor.post("/search", files=[("photo", ("q.jpg", jpeg()))]).json()["answers"]
    assert (answer["generation"], answer["neighbours"][0]["id"]) == (2, ids[0])
    assert editor.get(f"/thumbnails/{ids[0]}").status_code == 200
    assert editor.get(f"/images/{ids[0]}").headers["content-type"] == "image/jpeg"
    check(own)
    rebuild(own, embedder=tiny_embedder)
    index = Index.open(own)
    assert {*ids} <= {*index.table["id"].to_pylist()}
    assert not index.manifest.left_out


def test_a_taught_photo_has_no_vote_on_itself(editor):
    """It is written anew when it is kept, so that its file is not the one that is asked about."""
    photo, other = noise(1), noise(2)
    (name,) = teach(editor, ("a.jpg", photo)).json()["ids"]
    teach(editor, ("b.jpg", other), label="other kind")
    nearest = search(editor, photo)["neighbours"][0]
    assert (nearest["id"], nearest["same_photo"]) == (name, True)
    assert "new kind" not in {one["label"] for one in search(editor, photo)["candidates"]}
    together = editor.post("/search", files=[("photo", photo), ("photo", other)], data={"together": "true"}).json()
    same = [one["label"] for one in together["answers"][0]["neighbours"] if one["same_photo"]]
    assert sorted(same) == ["new kind", "other kind"]


@pytest.mark.parametrize("k", [1, 10])
def test_many_that_were_taught_have_no_vote_on_themselves(editor, k):
    """Nor those that are not among the ``k`` that are shown."""
    photos = [noise(number) for number in range(12)]
    teach(editor, *((f"{number}.jpg", photo) for number, photo in enumerate(photos)))
    asked = {"files": [("photo", photo) for photo in photos], "data": {"together": "true", "k": str(k)}}
    (answer,) = editor.post("/search", **asked).json()["answers"]
    assert len(answer["neighbours"]) == k
    assert "new kind" not in {one["label"] for one in answer["candidates"]}


def test_nor_have_those_that_are_there_as_their_files_too(editor, own, tmp_path):
    photos = [noise(number) for number in range(12)]
    teach(editor, *((f"{number}.jpg", photo) for number, photo in enumerate(photos)))
    (tmp_path / "more" / "old kind").mkdir(parents=True)
    for number, photo in enumerate(photos):
        (tmp_path / "more" / "old kind" / f"{number}.jpg").write_bytes(photo)
    add(own, str(tmp_path / "more"))
    asked = {"files": [("photo", photo) for photo in photos], "data": {"together": "true"}}
    (answer,) = editor.post("/search", **asked).json()["answers"]
    assert {one["label"] for one in answer["candidates"]}.isdisjoint({"new kind", "old kind"})


def test_nothing_but_the_picture_is_kept(editor):
    exif = Image.Exif()
    exif[0x010F] = "SECRET CAMERA"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    (name,) = teach(editor, ("SECRET NAME.jpg", jpeg(exif=exif))).json()["ids"]
    (path,) = editor.service.settings.taught_folder.iterdir()
    assert b"SECRET" not in path.read_bytes()
    for file in (*editor.service.settings.folder.iterdir(), path):
        assert b"SECRET" not in file.read_bytes()
    assert path.name == f"{name}.jpg"
    assert not Image.open(io.BytesIO(path.read_bytes())).getexif()


def test_taught_twice_it_is_there_once(editor):
    teach(editor, ("a.jpg", jpeg()))
    again = teach(editor, ("b.jpg", jpeg()), ("c.jpg", jpeg((9, 9, 9))), ("d.jpg", jpeg((9, 9, 9)))).json()
    assert (again["generation"], again["added"], again["already_there"]) == (3, 1, 2)
    assert teach(editor, ("b.jpg", jpeg())).json()["generation"] == 3
    assert len(kept(editor)) == 2


def test_the_file_of_a_reference_is_there_already(editor, photos):
    photo = photos / "class-1" / "05.png"
    name = Index.open(editor.service.settings.folder).table["id"].to_pylist()
    same = teach(editor, files(photo)[0][1], label="class-1").json()
    assert (same["added"], same["already_there"], same["generation"]) == (0, 1, 1)
    assert same["ids"][0] in name
    other = teach(editor, files(photo)[0][1], label="class-2", relabel="true")
    assert (other.status_code, "there already as 'class-1'" in other.json()["error"]) == (409, True)
    assert kept(editor) == []


def test_another_label_is_a_conflict_unless_it_is_meant(editor):
    (name,) = teach(editor, ("a.jpg", jpeg())).json()["ids"]
    other = teach(editor, ("a.jpg", jpeg()), label="other")
    assert (other.status_code, other.json()["error"][:40]) == (409, "a photo is there already as 'new kind'; ")
    told = teach(editor, ("a.jpg", jpeg()), label="other", relabel="true").json()
    assert (told["relabelled"], told["added"], told["ids"]) == (1, 0, [name])
    assert [one["id"] for one in listed(editor, label="other")] == [name]
    assert kept(editor) == [f"{name}.jpg"]


def test_a_box_is_part_of_what_is_taught(editor):
    half = Image.new("RGB", (80, 40), (200, 30, 30))
    half.paste((30, 30, 200), (40, 0, 80, 40))
    buffer = io.BytesIO()
    half.save(buffer, "PNG")
    (name,) = teach(editor, ("a.png", buffer.getvalue()), box="40,0,80,40").json()["ids"]
    shown = np.asarray(Image.open(io.BytesIO(editor.get(f"/images/{name}").content)))
    assert shown.shape[:2] == (40, 40)
    assert shown[..., 2].mean() > 150 > shown[..., 0].mean()
    assert len(kept(editor)) == 1


def test_a_photo_that_is_none_teaches_nothing(editor):
    answer = teach(editor, ("a.jpg", jpeg()), ("b.jpg", b"<svg/>"))
    assert (answer.status_code, "cannot be taught" in answer.json()["error"]) == (415, True)
    assert kept(editor) == []
    assert editor.get("/readyz").json()["generation"] == 1


def test_what_cannot_be_committed_is_not_kept(editor, monkeypatch):
    def broken(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(teaching, "add", broken)
    answer = teach(editor, ("a.jpg", jpeg()))
    assert (answer.status_code, "No space left" in answer.json()["error"]) == (507, True)
    assert kept(editor) == []


def test_nor_is_what_is_taught_to_an_index_that_cannot_be_opened(editor, own, monkeypatch):
    def broken(*_, **__):
        (own / "manifest.json").write_text("{")
        raise InputError("it is damaged")

    monkeypatch.setattr(teaching, "add", broken)
    answer = teach(editor, ("a.jpg", jpeg()))
    assert (answer.status_code, answer.json()["error"]) == (409, "it is damaged")
    assert kept(editor) == []


def test_another_writer_is_waited_for_only_so_long(own):
    with serving(own, TOKEN, seconds=0.2) as client, writing(own):
        answer = teach(client, ("a.jpg", jpeg()))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert f"process {os.getpid()} on" in answer.json()["error"]
        assert "for 0.2 seconds" in answer.json()["error"]
        assert kept(client) == []


@pytest.mark.parametrize("label", ["", "  ", "\u200b", "a\u200b", "\ufeffa", "\u202egnp", "\u200d", "a\nb"])
def test_a_label_that_is_not_seen_is_refused(editor, label):
    assert teach(editor, ("a.jpg", jpeg()), label=label).status_code == 422


def test_a_label_is_found_in_each_form_of_unicode(editor):
    teach(editor, ("a.jpg", jpeg()), label="Cafe\u0301")
    for form in ("Cafe\u0301", "Caf\u00e9"):
        assert [one["label"] for one in listed(editor, label=form)] == ["Caf\u00e9"]
        asked = editor.post("/search", files=[("photo", jpeg())], data={"label": form})
        assert asked.json()["answers"][0]["neighbours"][0]["label"] == "Caf\u00e9"


def test_a_label_that_is_there_in_another_form_is_that_label(own):
    """As photos from a Mac have it, whose folders are named in Unicode's decomposed form."""
    decomposed, composed = "Mo\u0308nch", "M\u00f6nch"
    relabel(own, label="class-0", to=decomposed)
    with serving(own, TOKEN) as editor:
        assert teach(editor, ("a.jpg", jpeg()), label=composed).status_code == 200
        (other,) = [one["id"] for one in listed(editor, label="class-1")[:1]]
        assert editor.patch(f"/references/{other}", data={"to": f" {composed}"}, headers=SHOWN).status_code == 200
        found = editor.get("/labels", params={"search": composed.upper()}).json()["labels"]
    assert found == [{"label": decomposed, "references": 7}]


@pytest.mark.parametrize("there", ["Re\u0301my \u00c4sch", "R\u00e9my \u212bsch", "Re\u0301my A\u030asch"])
def test_a_label_is_found_however_its_characters_are_made(own, there):
    relabel(own, label="class-0", to=there)
    with serving(own, TOKEN) as editor:
        assert teach(editor, ("a.jpg", jpeg()), label=unicodedata.normalize("NFC", there)).status_code == 200
        assert [one["label"] for one in listed(editor, label=unicodedata.normalize("NFD", there))] == [there] * 6


def test_a_label_is_as_the_newest_generation_has_it(own):
    """Not as one that answered before a command changed the index."""
    decomposed, composed = "Mo\u0308nch", "M\u00f6nch"
    with serving(own, TOKEN) as editor:
        relabel(own, label="class-0", to=decomposed)
        assert teach(editor, ("a.jpg", jpeg()), label=composed).status_code == 200
        assert len(listed(editor, label=decomposed)) == 6
        relabel(own, label=decomposed, to=composed)
        (other,) = [one["id"] for one in listed(editor, label="class-1")[:1]]
        relabel(own, label=composed, to=decomposed)
        assert editor.patch(f"/references/{other}", data={"to": composed}, headers=SHOWN).status_code == 200
        found = editor.get("/labels", params={"search": composed}).json()["labels"]
        form = {"reference": other, "label": composed}
        assert editor.post("/explain", files=[("photo", jpeg())], data=form).status_code == 200
        gone = editor.delete(f"/references/{other}", params={"label": composed}, headers=SHOWN)
        assert gone.json()["removed"] == 1
    assert found == [{"label": decomposed, "references": 7}]


@pytest.mark.parametrize("label", ["../../etc/passwd", "/tmp/x", "<script>alert(1)</script>", "a" * 200, "\u2603 b"])
def test_labels_are_text_everywhere(editor, own, label):
    (name,) = teach(editor, ("a.jpg", jpeg()), label=label).json()["ids"]
    assert kept(editor) == [f"{name}.jpg"]
    assert listed(editor, label=label)[0]["label"] == label
    assert {path.name for path in own.parent.iterdir()} == {"own.index", "own.taught"}


def test_a_label_of_ten_thousand_characters_is_refused(editor):
    answer = teach(editor, ("a.jpg", jpeg()), label="x" * 10_000)
    assert (answer.status_code, "has 10000 characters" in answer.json()["error"]) == (422, True)


def test_removed_and_brought_back(editor):
    (name,) = teach(editor, ("a.jpg", jpeg())).json()["ids"]
    assert editor.delete(f"/references/{name}", headers=SHOWN).json() == {"generation": 3, "removed": 1}
    assert editor.get(f"/thumbnails/{name}").status_code == 404
    assert editor.get(f"/images/{name}").status_code == 404
    gone = editor.delete(f"/references/{name}", headers=SHOWN)
    assert (gone.status_code, "unknown id" in gone.json()["error"]) == (404, True)
    other = editor.post("/undo", data={"generation": 2}, headers=SHOWN)
    assert (other.status_code, "generation 3 is current, not 2" in other.json()["error"]) == (409, True)
    assert editor.post("/undo", data={"generation": 3}, headers=SHOWN).json() == {"generation": 4}
    assert listed(editor, label="new kind")[0]["id"] == name


def test_relabelled(editor):
    (name,) = teach(editor, ("a.jpg", jpeg())).json()["ids"]
    told = editor.patch(f"/references/{name}", data={"to": "class-2"}, headers=SHOWN)
    assert told.json() == {"generation": 3, "relabelled": 1}
    assert listed(editor, label="class-2")[0]["id"] == name
    again = editor.patch(f"/references/{name}", data={"to": "class-2"}, headers=SHOWN)
    assert again.json() == {"generation": 3, "relabelled": 0}
    assert editor.patch("/references/0", data={"to": "class-2"}, headers=SHOWN).status_code == 404
    assert editor.patch(f"/references/{name}", data={"to": " "}, headers=SHOWN).status_code == 422


def test_others_write_between(editor, own, tmp_path):
    teach(editor, ("a.jpg", jpeg()))
    write_photo(tmp_path / "more" / "class-9" / "1.png", 9, 99)
    add(own, str(tmp_path / "more"))
    told = teach(editor, ("b.jpg", jpeg((1, 2, 3)))).json()
    assert (told["generation"], told["added"]) == (4, 1)
    assert Index.open(own).count == 23


def test_the_journal_tells_of_it_without_names_of_photos(editor, own):
    teach(editor, ("SECRET.jpg", jpeg()))
    (*_, entry) = map(json.loads, (own / "journal.jsonl").read_text().splitlines())
    assert (entry["command"], entry["added"]) == ("teach", 1)
    shown = editor.get("/info").json()["journal"][-1]
    assert (shown["command"], shown["added"], "by" in shown) == ("teach", 1, False)


def test_nothing_is_printed(editor, capfd):
    (name,) = teach(editor, ("a.jpg", jpeg())).json()["ids"]
    editor.delete(f"/references/{name}", headers=SHOWN)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert all(line.startswith("{") for line in printed.err.splitlines())


def test_photos_are_kept_where_it_is_said(own, tmp_path):
    with serving(own, TOKEN, taught=tmp_path / "elsewhere") as client:
        (name,) = teach(client, ("a.jpg", jpeg())).json()["ids"]
        assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == [f"{name}.jpg"]
        assert client.get(f"/images/{name}").status_code == 200
