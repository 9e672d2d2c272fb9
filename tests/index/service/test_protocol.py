"""Connections, over real sockets: what comes late, what is no request, and those over which nothing is read."""

import asyncio
import json
import re
import time

import pytest

from index.service.guard import SECURITY
from index.service.protocol import Patient, PatientConfig
from tests.index.service.conftest import connected, program, until_closed


@pytest.fixture(scope="module")
def patient(built):
    """A service whose limits of time are short."""
    options = ["--limits.header_seconds", "0.5", "--limits.body_seconds", "1", "--limits.connections", "40"]
    with program(built, *options) as (_, client):
        yield client


def test_answers_are_not_held_back_for_the_next_packet(patient):
    """Without TCP_NODELAY the second half of each waits 40 ms for the client to confirm the first."""
    connection, times = connected(patient), []
    for _ in range(15):
        began = time.monotonic()
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        content = b""
        while not content.endswith(b"}"):
            content += connection.recv(65536)
        times.append(time.monotonic() - began)
    assert sorted(times)[5] < 0.03


def test_the_head_of_a_request_must_come_in_time(patient):
    for said in (b"", b"GET /healthz HTTP/1.1\r\nHost: "):
        connection = connected(patient)
        connection.sendall(said)
        content, seconds = until_closed(connection)
        assert content == b""
        assert 0.3 < seconds < 3


def is_whole(content):
    """Whether an answer says in JSON what is wrong, with the headers that every one has."""
    head, _, body = content.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    return {name.encode() for name in SECURITY} <= headers.keys() and bool(json.loads(body)["error"])


def seconds_of_drops(connection):
    """How long a connection takes byte after byte, until it is closed."""
    began = time.monotonic()
    with pytest.raises(OSError, match=r"reset|Broken"):
        for _ in range(100):
            connection.sendall(b"X")
            time.sleep(0.05)
    return time.monotonic() - began


def test_drops_do_not_keep_a_connection_open(patient):
    assert seconds_of_drops(connected(patient)) < 3


def test_nor_do_they_after_an_answer(patient):
    connection = connected(patient)
    connection.sendall(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
    assert b" 403 " in connection.recv(65536)
    assert seconds_of_drops(connection) < 3


def test_a_body_must_come_in_time(patient):
    connection = connected(patient)
    head = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    connection.sendall(head + b"Content-Length: 100000\r\n\r\n--x\r\n")
    content = b""
    for _ in range(60):
        connection.sendall(b"X")
        time.sleep(0.05)
        connection.setblocking(False)
        try:
            content += connection.recv(65536)
        except BlockingIOError:
            continue
        finally:
            connection.settimeout(10)
        break
    assert b" 408 " in content
    assert b"did not come within 1 seconds" in content


def test_a_slow_request_may_follow_an_answer_only_in_time(patient):
    connection = connected(patient)
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    content = b""
    while not content.endswith(b'{"alive":true}'):
        content += connection.recv(65536)
    connection.sendall(b"GET /healthz HTTP/1.1\r\n")
    content, seconds = until_closed(connection)
    assert content == b""
    assert seconds < 3


def test_connections_beyond_those_that_may_be_open_are_told_so_and_closed(built):
    with program(built, "--limits.connections", "3") as (_, client):
        open_ones = [connected(client) for _ in range(4)]
        for connection in open_ones:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        *answered, refused = open_ones
        assert all(b" 200 " in one.recv(65536) for one in answered)
        content, _ = until_closed(refused)
        assert content.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in content
        assert is_whole(content)
        answered[0].close()
        for _ in range(50):
            again = connected(client)
            again.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if b" 200 " in again.recv(65536):
                return
            time.sleep(0.1)
        pytest.fail("a place that is free again is not given to anybody")


@pytest.mark.parametrize(
    "request_text",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(patient, request_text):
    connection = connected(patient)
    try:
        connection.sendall(request_text)
        content, _ = until_closed(connection)
    except (BrokenPipeError, ConnectionResetError):
        content = b" 400 "
    assert re.match(rb"HTTP/1.1 4\d\d | 400 ", content), content
    if content != b" 400 ":
        assert is_whole(content)
    assert patient.get("/healthz").status_code == 200


def test_a_body_that_is_too_large_is_told_so(built):
    with program(built, "--limits.megabytes", "0.1") as (_, client):
        answer = client.post("/search", files=[("photo", ("a.jpg", b"x" * 3_000_000))])
        assert answer.status_code == 413

        def chunks():
            yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
            for _ in range(300):
                yield b"x" * 10_000

        head = {"content-type": "multipart/form-data; boundary=x"}
        assert client.post("/search", content=chunks(), headers=head).status_code == 413
        assert client.get("/healthz").status_code == 200


class Transport:
    """One whose client has read so much by each look."""

    def __init__(self, *left):
        self.left, self.aborted = list(left), False

    def get_write_buffer_size(self):
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]

    def abort(self):
        self.aborted = True


@pytest.mark.parametrize(
    ("left", "aborted"), [((900, 900), True), ((900, 500, 500), True), ((900, 500, 0), False), ((0,), False)]
)
def test_who_reads_nothing_is_given_up(monkeypatch, left, aborted):
    monkeypatch.setattr("uvicorn.protocols.http.h11_impl.H11Protocol.on_response_complete", lambda _: None)

    async def wait():
        connection = Patient.__new__(Patient)
        connection.config = PatientConfig(app=None, header_seconds=0.01, connections=1)
        connection.loop, connection.transport = asyncio.get_running_loop(), Transport(*left)
        connection.on_response_complete()
        await asyncio.sleep(0.1)
        return connection.transport.aborted

    assert asyncio.run(wait()) is aborted
