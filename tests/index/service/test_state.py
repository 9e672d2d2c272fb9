"""What a service says of itself, and what is worth a person's look."""

import re

from PIL import Image

from index import Index
from index.add import main as add
from index.remove import main as remove
from index.review import main as review
from tests.index.service.conftest import files, serving


def test_what_an_index_holds_is_told_without_what_is_private(client, built, photos):
    told = client.get("/info").json()
    assert (told["references"], told["classes"], told["generation"], told["dimension"]) == (20, 4, 1, 48)
    assert told["embedder"]["fingerprint"] == "tiny"
    assert told["service"]["edit"] is False
    assert told["journal"][0]["command"] == "build"
    assert str(photos) not in str(told)
    assert "by" not in told["journal"][0]


def test_photos_are_answered_while_the_folder_is_away(own, photos):
    with serving(own) as client:
        own.rename(own.with_name("elsewhere"))
        assert client.post("/search", files=files(photos / "class-1" / "05.png")).status_code == 200
        told = client.get("/info").json()
        assert (told["references"], told["journal"]) == (20, [])


def test_health(client):
    assert client.get("/healthz").json() == {"alive": True}
    assert client.get("/readyz").json() == {"ready": True, "generation": 1, "problem": None}


def test_the_log_is_told_where_the_index_lies_and_clients_are_not(own, caplog):
    manifest = own / "manifest.json"
    whole = manifest.read_text()
    with serving(own) as client:
        manifest.write_text(whole.replace('"generation": 1', '"generation": 7'))
        client.service.current.newest()
        told = client.get("/readyz").json()["problem"]
        assert "generation 1 goes on answering: own.index/manifest.json is damaged" in told
        assert str(own.parent) not in told
        assert [str(manifest) in one.reason for one in caplog.records if one.levelname == "ERROR"] == [True]
        manifest.write_text(whole)
    for number in range(4):
        remove(own, label=f"class-{number}")
    with serving(own) as client:
        refused = client.get("/review")
    assert refused.json()["error"].startswith("own.index holds no references")


def test_numbers_count_what_is_asked(built, photos):
    with serving(built) as client:
        for _ in range(3):
            client.post("/search", files=files(photos / "class-1" / "05.png"))
        client.post("/search")
        client.get("/thumbnails/one")
        client.get("/thumbnails/two")
        client.get("/anything")
        client.request("INVENTED", "/labels")
        text = client.get("/metrics").text
    value = dict(re.findall(r"^(fieldmark_\S+) (\S+)$", text, re.MULTILINE))
    counted = 'fieldmark_requests_total{method="%s",route="%s",status="%d"}'
    assert value[counted % ("POST", "/search", 200)] == "3.0"
    assert value[counted % ("POST", "/search", 422)] == "1.0"
    assert value[counted % ("GET", "/thumbnails/{id}", 404)] == "2.0"
    assert value[counted % ("GET", "/{file}", 404)] == "1.0"
    assert any('method="other"' in name for name in value)
    assert value["fieldmark_batch_photos_count"] == "3.0"
    assert (value["fieldmark_generation"], value["fieldmark_references"]) == ("1.0", "20.0")
    assert "anything" not in text


def test_near_copies_of_one_group_are_on_one_page(own, photos):
    for name in ("a", "b"):
        Image.open(photos / "class-1" / "05.png").resize((60 if name == "a" else 50, 45)).save(
            own.parent / f"{name}.png"
        )
    table = own.parent / "copies.csv"
    table.write_text("path,label\na.png,class-1\nb.png,class-1\n")
    add(own, str(table))
    with serving(own) as client:
        told = client.get("/review?kind=copies&limit=1").json()
    assert len({one["group"] for one in told["found"]}) == 1
    assert len(told["found"]) >= 2


def test_findings_are_those_of_the_review(client, built, capsys):
    found = review(built)
    told = client.get("/review").json()
    assert told["doubts"] == len(found.doubts)
    assert (told["references"], told["looked_at"], told["generation"]) == (20, len(found.looked_at), 1)
    thin = client.get("/review?kind=thin&limit=2").json()
    assert (thin["kind"], thin["thin"], len(thin["found"])) == ("thin", len(found.thin), min(2, len(found.thin)))
    pages, after = [], 0
    while after is not None:
        page = client.get(f"/review?kind=misleading&limit=1&after={after}").json()
        pages += page["found"]
        after = page["next"]
    assert [one["row"] for one in pages] == [one.row for one in found.misleading]
    assert {one["label"] for one in pages} <= {*Index.open(built).labels}
    assert client.get("/review?kind=other").status_code == 422
