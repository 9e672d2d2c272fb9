"""Labels, references and their pictures."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index import Index
from index.relabel import main as relabel
from index.remove import main as remove
from tests.index.conftest import commit_vectors, write_photo
from tests.index.service.conftest import SHOWN, TOKEN, serving


@pytest.fixture
def moved(built, photos, tmp_path):
    """An index whose photos may be moved and changed: its folder, and theirs."""
    from index.build import main as build

    root = Path(shutil.copytree(photos, tmp_path / "photos"))
    folder = build(built / next(built.glob("embedder-*")).name, str(root), out=tmp_path / "moved.index")
    return folder, root


def test_labels_are_listed_a_page_at_a_time(own):
    remove(own, id=Index.open(own).table["id"][0].as_py())
    with serving(own) as client:
        told = client.get("/labels", params={"limit": 3}).json()
        assert told["labels"] == [
            {"label": "class-0", "references": 4},
            {"label": "class-1", "references": 5},
            {"label": "class-2", "references": 5},
        ]
        assert (told["generation"], told["count"], told["next"]) == (2, 4, "class-2")
        rest = client.get("/labels", params={"limit": 3, "after": told["next"]}).json()
        assert ([one["label"] for one in rest["labels"]], rest["next"]) == (["class-3"], None)
        assert [one["label"] for one in client.get("/labels?search=SS-2").json()["labels"]] == ["class-2"]


def test_the_label_that_is_searched_for_is_told_wherever_it_stands(own):
    relabel(own, label="class-3", to="ss")
    with serving(own) as client:
        told = client.get("/labels", params={"search": "ss", "limit": 1}).json()
        assert told["labels"] == [{"label": "class-0", "references": 5}]
        assert told["exact"] == {"label": "ss", "references": 5}
        assert client.get("/labels", params={"search": "s"}).json()["exact"] is None
        assert client.get("/labels").json()["exact"] is None


def test_references_are_listed_the_newest_first(own):
    index = Index.open(own)
    remove(own, id=index.table["id"][18].as_py())
    relabel(own, id=index.table["id"][2].as_py(), to="class-3")
    expected = [row for row in reversed(range(20)) if row != 18]
    with serving(own) as client:
        found, after = [], None
        while True:
            page = client.get(
                "/references", params={"limit": 4} | ({"after": after} if after is not None else {})
            ).json()
            found += page["references"]
            after = page["next"]
            if after is None:
                break
        assert [one["path"] for one in found] == [index.table["path"][row].as_py() for row in expected]
        assert page["count"] == 19
        third = client.get("/references", params={"label": "class-3"}).json()
        assert [one["path"] for one in third["references"]] == [
            index.table["path"][row].as_py() for row in (19, 17, 16, 15, 2)
        ]
        assert client.get("/references", params={"label": "class-9"}).status_code == 404


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "after=-1", f"after={2**63}", "label=" + "x" * 1001]
)
def test_wrong_values_are_refused(client, query):
    assert client.get(f"/references?{query}").status_code == 422


def test_thumbnails_are_those_of_the_index(client, built):
    index = Index.open(built)
    for row in (0, 7, 19):
        answer = client.get(f"/thumbnails/{index.table['id'][row].as_py()}")
        assert answer.content == index.thumbnail(row)
        assert answer.headers["content-type"] == "image/jpeg"
        assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "name", ["0", "..%2f..%2fetc%2fpasswd", "%2e%2e", "class-1%2f05.png", "%00", "x" * 900, "-1", "*", "%ff%fe"]
)
@pytest.mark.parametrize("route", ["images", "thumbnails"])
def test_only_references_are_served(client, route, name):
    answer = client.get(f"/{route}/{name}")
    assert answer.status_code == 404
    assert "error" in answer.json()


def test_photos_are_shown_upright_without_what_else_they_tell(moved):
    folder, root = moved
    image, exif = Image.effect_noise((3000, 1500), 50).convert("RGB"), Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "SECRET CAMERA"
    (root / "more" / "new").mkdir(parents=True)
    image.save(root / "more" / "new" / "1.jpg", exif=exif)
    from index.add import main as add

    add(folder, str(root / "more"))
    with serving(folder) as client:
        name = client.get("/references?limit=1").json()["references"][0]["id"]
        content = client.get(f"/images/{name}").content
    shown = Image.open(io.BytesIO(content))
    assert shown.size == (800, 1600)
    assert not shown.getexif()
    assert b"SECRET" not in content


def test_a_photo_that_has_moved_or_changed_is_shown_small(moved):
    folder, root = moved
    index = Index.open(folder)
    rows = {path: row for row, path in enumerate(index.table["path"].to_pylist())}
    (root / "class-1" / "05.png").unlink()
    write_photo(root / "class-1" / "09.png", 3, 77)
    (root / "class-2" / "06.png").write_text("no photo")
    (root / "class-2" / "10.png").unlink()
    (root / "class-2" / "10.png").symlink_to("/etc/passwd")
    with serving(folder) as client:
        for path in ("class-1/05.png", "class-1/09.png", "class-2/06.png", "class-2/10.png"):
            answer = client.get(f"/images/{index.table['id'][rows[path]].as_py()}")
            assert (answer.status_code, answer.content) == (200, index.thumbnail(rows[path])), path
        whole = client.get(f"/images/{index.table['id'][rows['class-1/13.png']].as_py()}")
        assert "immutable" not in answer.headers["cache-control"]
    assert "immutable" in whole.headers["cache-control"]
    assert whole.content != index.thumbnail(rows["class-1/13.png"])
    assert Image.open(io.BytesIO(whole.content)).size == (40, 30)


def test_a_key_that_names_no_contents_shows_no_file(tmp_path, tiny_embedder):
    """Whoever made the index may have written any path."""
    Image.new("RGB", (50, 50)).save(tmp_path / "0.jpg")
    vectors = np.eye(48, dtype=np.float32)[:2]
    folder = commit_vectors(tmp_path / "a.index", vectors, thumbnail=b"", images_root=str(tmp_path))
    from index.service.references import photo_of
    from index.service.settings import Limits

    assert photo_of(Index.open(folder), 0, Limits()) is None


def test_ids_may_be_any_text(own, tmp_path):
    import pyarrow as pa

    from eval.embeddings import EmbeddingSet
    from index.add import main as add

    table = pa.table({"id": ["a/b 59?#"], "label": ["new"], "path": pa.array([None], pa.string())})
    vectors = np.eye(48, dtype=np.float32)[:1]
    EmbeddingSet(vectors, table, "tiny").save(tmp_path / "v", made_from={}, images_root=None, left_out=[])
    add(own, str(tmp_path / "v"))
    with serving(own, TOKEN) as client:
        assert "no picture" in client.get("/images/a%2Fb%2059%3F%23").json()["error"]
        assert client.delete("/references/a%2Fb%2059%3F%23", headers=SHOWN).json()["removed"] == 1


def test_what_another_process_has_just_added_is_shown(own, photos, tmp_path):
    with serving(own) as client:
        client.service.current.now = lambda: client.service.current.snapshot  # nobody has looked yet
        Image.effect_noise((60, 50), 80).convert("RGB").save(tmp_path / "a.png")
        (name,) = add_one(own, tmp_path / "a.png")
        assert client.get("/info").json()["generation"] == 1
        assert client.get("/info", headers={"fieldmark-generation": "2"}).json()["generation"] == 2
        Image.effect_noise((60, 50), 70).convert("RGB").save(tmp_path / "b.png")
        (name,) = add_one(own, tmp_path / "b.png")
        answer = client.get(f"/thumbnails/{name}")
        assert (answer.status_code, answer.headers["fieldmark-generation"]) == (200, "3")
        for odd in ("x", "\u00b2", "9" * 5000, "-1", ""):
            assert client.get("/info", headers={"fieldmark-generation": odd.encode("latin-1")}).status_code == 200


def add_one(folder, photo):
    """Add one photo; its id."""
    from index.add import main as add

    (photo.parent / photo.stem / "new").mkdir(parents=True)
    shutil.copy(photo, photo.parent / photo.stem / "new")
    before = {*Index.open(folder).table["id"].to_pylist()}
    add(folder, str(photo.parent / photo.stem))
    return {*Index.open(folder).table["id"].to_pylist()} - before


def test_a_reference_without_a_picture_says_so(own, tmp_path):
    import pyarrow as pa

    from eval.embeddings import EmbeddingSet
    from index.add import main as add

    table = pa.table({"id": ["f" * 32], "label": ["new"], "path": pa.array([None], pa.string())})
    vectors = np.eye(48, dtype=np.float32)[:1]
    EmbeddingSet(vectors, table, "tiny").save(tmp_path / "v", made_from={}, images_root=None, left_out=[])
    add(own, str(tmp_path / "v"))
    with serving(own) as client:
        for route in ("images", "thumbnails"):
            answer = client.get(f"/{route}/{'f' * 32}")
            assert (answer.status_code, "no picture" in answer.json()["error"]) == (404, True)
