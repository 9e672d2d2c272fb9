"""What is refused before it is read, and what every answer carries."""

import asyncio
import json
import re
import shlex

import pytest
from starlette.responses import PlainTextResponse

from eval.command import parse
from index.serve import main
from index.service.guard import SECURITY, Guard
from index.service.monitor import Monitor
from index.service.settings import Limits, Settings
from tests.index.service.conftest import SHOWN, TOKEN, files, jpeg, serving


class Stand:
    """A service that has settings and nothing else."""

    def __init__(self, tmp_path, token=None, hosts=(), **limits):
        self.settings = Settings(tmp_path, token=token, hosts=hosts, limits=Limits(**limits))
        self.monitor = Monitor()


def asked(guard, *chunks, method="POST", path="/search", headers=(), query=b"", pause=0.0):
    """Ask a guard, with a body that comes in chunks: status, headers, JSON or text."""

    async def ask():
        left, sent = list(chunks), []

        async def receive():
            await asyncio.sleep(pause)
            return {"type": "http.request", "body": left.pop(0) if left else b"", "more_body": bool(left)}

        async def send(message):
            sent.append(message)

        given = [(b"host", b"localhost"), *headers]
        scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query}
        await guard({**scope, "headers": given, "http_version": "1.1"}, receive, send)
        return sent

    first, *rest = asyncio.run(ask())
    body = b"".join(message.get("body", b"") for message in rest)
    told = {name.decode(): value.decode() for name, value in first["headers"]}
    return first["status"], told, json.loads(body) if body.startswith(b"{") else body.decode()


async def reader(scope, receive, send):
    """An application that reads the body and says how long it was."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message["body"]), message["more_body"]
    await PlainTextResponse(str(size))(scope, receive, send)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "192.168.0.7", "[::1]:8000", "birds.org"]
)
def test_own_names_and_addresses_are_answered(built, host):
    with serving(built, hosts=("Birds.org",)) as client:
        assert client.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "birds.org:80:80", "", "a b"]
)
def test_other_names_are_refused(client, host):
    answer = client.get("/healthz", headers={"host": host})
    assert answer.status_code in (400, 403)
    assert "name" in answer.json()["error"]


def test_what_would_let_a_name_in_can_be_typed(client):
    told = client.get("/healthz", headers={"host": "birds.org"}).json()["error"]
    _, options = parse(main, shlex.split("a.index " + re.search(r"--hosts .*", told)[0]))
    assert options["hosts"] == ("birds.org",)


def test_a_form_has_no_more_than_it_may(client):
    photo, field = ("photo", ("a.jpg", jpeg())), ("label", (None, b"class-1"))
    for parts, most in (([photo] * 17, "files is 16"), ([photo] + [field] * 65, "fields is 64")):
        assert client.post("/search", files=parts[:-1]).status_code == 200
        answer = client.post("/search", files=parts)
        assert (answer.status_code, most in answer.text) == (400, True)
    answer = client.post("/search", files=[photo, ("label", (None, b"x" * 65_537))])
    assert (answer.status_code, "64KB" in answer.text) == (400, True)


def test_one_host_must_be_named(tmp_path):
    guard = Guard(reader, Stand(tmp_path))
    assert asked(guard, headers=[(b"host", b"evil.example")])[0] == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_other_sites_cannot_ask(client, photos, headers):
    answer = client.post("/search", files=files(photos / "class-1" / "05.png"), headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.json()["error"]


def test_the_own_page_can_ask(client, photos):
    headers = {"origin": "http://localhost", "sec-fetch-site": "same-origin"}
    assert client.post("/search", files=files(photos / "class-1" / "05.png"), headers=headers).status_code == 200


@pytest.mark.parametrize(
    "change", [("POST", "/references"), ("DELETE", "/references/0"), ("PATCH", "/references/0"), ("POST", "/undo")]
)
def test_changes_need_permission_and_the_token(client, editor, change):
    refused = client.request(*change, headers=SHOWN)
    assert (refused.status_code, "--allow-edit" in refused.json()["error"]) == (403, True)
    missing = editor.request(*change)
    assert (missing.status_code, missing.headers["www-authenticate"]) == (401, "Bearer")
    assert "token is missing" in missing.json()["error"]
    for wrong in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer", "Bearer \xff"):
        answer = editor.request(*change, headers={"authorization": wrong.encode("latin-1")})
        assert (answer.status_code, "token is wrong" in answer.json()["error"]) == (401, True)
    assert editor.request(*change, headers=SHOWN).status_code in (404, 422)


def test_whatever_is_not_known_to_read_needs_the_token(client):
    for method, path in (("PUT", "/search"), ("POST", "/labels"), ("POST", "/search/"), ("POST", "/nothing")):
        assert client.request(method, path).status_code in (403, 405)


def test_every_answer_carries_the_headers(client, photos):
    for answer in (
        client.get("/healthz"),
        client.get("/nothing"),
        client.get("/docs"),
        client.post("/search", files=files(photos / "class-1" / "05.png")),
        client.post("/undo"),
        client.get("/healthz", headers={"host": "evil.example"}),
    ):
        assert {name: answer.headers[name] for name in SECURITY} == SECURITY
        assert answer.headers["cache-control"]
        assert len(answer.headers["x-request-id"]) == 16
    assert client.get("/labels").headers["fieldmark-generation"] == "1"


@pytest.mark.parametrize("path", ["/healthz", "/info", "/labels", "/"])
def test_head_is_answered_as_get_is(client, path):
    assert client.head(path).status_code == client.get(path).status_code == 200


def test_a_body_that_says_that_it_is_too_large_is_not_read(tmp_path):
    guard = Guard(reader, Stand(tmp_path, megabytes=0.001))
    status, _, told = asked(guard, b"x", headers=[(b"content-length", b"1001")])
    assert (status, told) == (413, {"error": "the request has more than 0.001 MB; send fewer photos, or smaller ones"})


def test_a_body_that_does_not_say_so_is_read_no_further(tmp_path):
    guard = Guard(reader, Stand(tmp_path, megabytes=0.001))
    assert asked(guard, b"x" * 600, b"x" * 400)[::2] == (200, "1000")
    assert asked(guard, b"x" * 600, b"x" * 401, b"x" * 600)[0] == 413


def test_a_body_that_comes_slowly_is_given_up(tmp_path):
    guard = Guard(reader, Stand(tmp_path, body_seconds=0.1))
    status, _, told = asked(guard, *[b"x"] * 20, pause=0.03)
    assert (status, told["error"][:40]) == (408, "the request did not come within 0.1 seco")


def test_an_answer_that_takes_too_long_is_given_up(tmp_path):
    async def slow(scope, receive, send):
        await asyncio.sleep(5)

    status, headers, told = asked(Guard(slow, Stand(tmp_path, seconds=0.05)))
    assert (status, headers["retry-after"], "0.05 seconds" in told["error"]) == (503, "1", True)


def test_a_change_is_waited_for(tmp_path):
    async def slow(scope, receive, send):
        await asyncio.sleep(0.2)
        await reader(scope, receive, send)

    guard = Guard(slow, Stand(tmp_path, TOKEN, seconds=0.05))
    shown = [(name.encode(), value.encode()) for name, value in SHOWN.items()]
    assert asked(guard, path="/undo", headers=shown)[0] == 200


def test_a_mistake_of_its_own_is_told_and_logged(tmp_path, caplog):
    async def broken(scope, receive, send):
        raise KeyError("oh")

    status, headers, told = asked(Guard(broken, Stand(tmp_path)))
    assert status == 500
    assert headers["x-request-id"] in told["error"]
    assert "oh" not in told["error"]
    assert "KeyError: 'oh'" in caplog.text


def test_a_mistake_of_a_route_is_found_in_the_log_by_its_answer(client, monkeypatch, caplog):
    monkeypatch.setattr(client.service.current, "now", lambda: 1 / 0)
    answer = client.get("/info")
    assert answer.status_code == 500
    (logged,) = [record for record in caplog.records if record.exc_info]
    assert "ZeroDivisionError" in caplog.text
    assert answer.json()["error"].endswith(f"the log has it as {logged.request}")
    assert answer.headers["x-request-id"] == logged.request


def test_long_addresses_are_refused(tmp_path):
    guard = Guard(reader, Stand(tmp_path))
    assert asked(guard, path="/" + "a" * 5000, method="GET")[0] == 414
    assert asked(guard, query=b"a" * 5000, method="GET", path="/labels")[0] == 414


def in_a_crowd(guard, count, **request):
    """The statuses of requests that come at the same time."""

    async def ask():
        async def one():
            sent = []

            async def receive():
                await asyncio.sleep(0.02)
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message):
                sent.append(message)

            headers = [(b"host", b"localhost"), *request.get("headers", [])]
            path = request.get("path", "/search")
            scope = {"type": "http", "method": "POST", "path": path, "raw_path": b"/", "query_string": b""}
            await guard({**scope, "headers": headers, "http_version": "1.1"}, receive, send)
            return sent[0]["status"], dict(sent[0]["headers"])

        return await asyncio.gather(*(one() for _ in range(count)))

    return asyncio.run(ask())


def test_a_full_queue_says_so_at_once(tmp_path):
    guard = Guard(reader, Stand(tmp_path, waiting=3))
    statuses = in_a_crowd(guard, 5, headers=[(b"content-length", b"0")])
    assert sorted(status for status, _ in statuses) == [200, 200, 200, 503, 503]
    assert all(headers[b"retry-after"] == b"1" for status, headers in statuses if status == 503)
    assert asked(guard)[0] == 200


def test_those_who_ask_do_not_keep_those_out_who_may_change(tmp_path):
    guard = Guard(reader, Stand(tmp_path, TOKEN, waiting=1))
    shown = [(name.encode(), value.encode()) for name, value in SHOWN.items()]

    guard._count[False] = 1
    assert in_a_crowd(guard, 1)[0][0] == 503
    assert asked(guard, path="/undo", headers=shown)[0] == 200
    guard._count[False], guard._bytes[False] = 0, int(guard._limits.waiting_megabytes * 1e6)
    assert in_a_crowd(guard, 1)[0][0] == 503
    assert asked(guard, path="/undo", headers=shown)[0] == 200


def test_bodies_that_wait_are_bounded_together(tmp_path):
    guard = Guard(reader, Stand(tmp_path, megabytes=1, waiting_megabytes=2.5))
    photos = [(b"content-type", b"multipart/form-data; boundary=x")]
    assert sorted(status for status, _ in in_a_crowd(guard, 4, headers=photos)) == [200, 200, 503, 503]
    small = in_a_crowd(guard, 4, headers=[*photos, (b"content-length", b"1000")])
    assert [status for status, _ in small] == [200] * 4


def test_a_form_without_photos_is_small(tmp_path):
    guard = Guard(reader, Stand(tmp_path))
    plain, mixed = (
        [(b"content-type", kind)] for kind in (b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x")
    )
    assert asked(guard, b"&" * (1 << 16), headers=plain)[0] == 200
    status, _, told = asked(guard, b"&" * (1 << 16), b"&", headers=plain)
    advice = "send photos as the field photo of a form, multipart/form-data, which may be larger"
    assert (status, told["error"]) == (413, f"the request has more than 0.065536 MB; {advice}")
    assert asked(guard, headers=[*plain, (b"content-length", b"70000")])[0] == 413
    assert asked(guard, b"&" * (1 << 17), headers=mixed)[0] == 200
    assert asked(guard, b"&" * (1 << 17), headers=[(b"content-type", b"Multipart/Form-Data; boundary=x")])[0] == 200


def test_a_client_that_is_gone_has_no_status(tmp_path, monkeypatch):
    statuses = []
    stand = Stand(tmp_path)
    monkeypatch.setattr(stand.monitor, "answered", lambda method, told, seconds: statuses.append(told.status))

    async def refuses(scope, receive, send):
        message = await receive()
        await PlainTextResponse("", 400 if message["type"] == "http.disconnect" else 200)(scope, receive, send)

    async def ask(kind):
        async def receive():
            return {"type": kind, "body": b""}

        async def send(_):
            return None

        scope = {"type": "http", "method": "POST", "path": "/search", "raw_path": b"/search", "query_string": b""}
        await Guard(refuses, stand)({**scope, "headers": [(b"host", b"localhost")]}, receive, send)

    for kind in ("http.request", "http.disconnect"):
        asyncio.run(ask(kind))
    assert statuses == [200, 0]


def test_health_is_told_in_a_crowd(tmp_path):
    guard = Guard(reader, Stand(tmp_path, waiting=1))
    assert [status for status, _ in in_a_crowd(guard, 3, path="/healthz")] == [403] * 3
    stand = Stand(tmp_path, TOKEN, waiting=1)
    shown = [(name.encode(), value.encode()) for name, value in SHOWN.items()]
    assert [status for status, _ in in_a_crowd(Guard(reader, stand), 3, path="/healthz", headers=shown)] == [200] * 3


def test_the_log_names_routes_and_never_paths_photos_or_tokens(editor, photos, caplog):
    caplog.set_level("INFO", "fieldmark.service")
    editor.get("/thumbnails/secret-name?secret=query")
    editor.post("/search", files=[("photo", ("secret-photo.jpg", jpeg()))])
    editor.post("/undo", headers={"authorization": "Bearer secret-token-1234567"})
    said = [{**vars(record)} for record in caplog.records if record.message == "answered"]
    assert [(one["route"], one["status"]) for one in said] == [
        ("/thumbnails/{id}", 404),
        ("/search", 200),
        ("other", 401),
    ]
    assert said[1]["generation"] == 1
    assert "secret" not in str(said)
    assert "secret" not in editor.get("/metrics").text
