"""The command: listening, stopping, worker processes; over real sockets."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from eval.command import parse
from eval.errors import InputError
from index.remove import main as remove
from index.serve import main
from index.service.settings import TOKEN as VARIABLE
from index.service.settings import Limits
from tests.index.service.conftest import ROOT, SHOWN, TOKEN, connected, files, jpeg, program, until_closed

HEAVY = {"torch", "torchvision", "umap", "numba", "matplotlib"}


def test_it_answers_and_ends_with_status_0_when_told_to(built, photos):
    with program(built) as (process, client):
        assert client.get("/readyz").json()["generation"] == 1
        answer = client.post("/search", files=files(photos / "class-1" / "05.png"))
        assert answer.json()["answers"][0]["neighbours"][0]["path"] == "class-1/05.png"
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
        assert process.returncode == 0
        lines = [json.loads(line) for line in log.splitlines()]
    assert [(one["route"], one["status"]) for one in lines if one["message"] == "answered"] == [
        ("/readyz", 200),
        ("/search", 200),
    ]


def test_ctrl_c_ends_it(built):
    with program(built) as (process, client):
        client.get("/healthz")
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=20)
        assert process.returncode == 130
        assert log.splitlines()[-1] == "interrupted"
        assert "Traceback" not in log


def test_what_has_begun_is_finished(own):
    """A photo that is half sent when the service is told to stop is taught and answered."""
    with program(own, "--allow-edit", environment={VARIABLE: TOKEN}) as (process, client):
        request = client.build_request(
            "POST",
            "/references",
            files=[("photo", ("a.jpg", jpeg(size=(900, 900))))],
            data={"label": "x"},
            headers=SHOWN,
        )
        assert client.get("/readyz").status_code == 200  # the signal is the service's from now on
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        body = request.read()
        connection = connected(client)
        connection.sendall(f"POST /references HTTP/1.1\r\n{head}\r\n".encode() + body[:500])
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.sendall(body[500:])
        content, _ = until_closed(connection)
        assert b"200 OK" in content
        assert b'"added":1' in content
        process.communicate(timeout=20)
        assert process.returncode == 0
    with pytest.raises(OSError, match=r"refused"):
        connected(client)


def test_several_processes_serve_one_index(own, photos):
    options = ["--workers", "2", "--allow-edit"]
    with program(own, *options, environment={VARIABLE: TOKEN}) as (process, client):

        def asked(generation):
            """Whether every process has come to a generation."""
            seen = set()
            for _ in range(40):
                with connected(client) as connection:
                    connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    content, _ = until_closed(connection)
                    seen.add(json.loads(content.partition(b"\r\n\r\n")[2])["generation"])
            return seen == {generation}

        end = time.monotonic() + 30
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < end
        taught = client.post("/references", files=[("photo", ("a.jpg", jpeg()))], data={"label": "x"}, headers=SHOWN)
        assert taught.json()["generation"] == 2
        while not asked(2):
            assert time.monotonic() < end
        statuses = []

        def search():
            answer = client.post("/search", files=files(photos / "class-1" / "05.png"))
            statuses.append(answer.status_code)

        threads = [threading.Thread(target=search) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 12
        numbers = client.get("/metrics").text
        assert 'fieldmark_requests_total{method="POST",route="/search",status="200"} 12.0' in numbers
        while not re.search(r"^fieldmark_generation 2.0", client.get("/metrics").text, re.MULTILINE):
            assert time.monotonic() < end  # one that is asked nothing takes up nothing
            asked(2)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0


def test_processes_do_not_outlive_the_one_that_has_started_them(own):
    with program(own, "--workers", "2") as (process, client):
        while client.get("/readyz").status_code != 200:
            pass
        process.kill()
        process.wait()
        end = time.monotonic() + 20
        with pytest.raises(OSError, match=r"refused"):
            while time.monotonic() < end:
                connected(client).close()
                time.sleep(0.1)


def test_a_new_generation_is_taken_up_without_a_failed_request(own, photos):
    statuses, generations, stop = [], set(), threading.Event()
    with program(own) as (_, client):

        def ask():
            while not stop.is_set():
                answer = client.post("/search", files=files(photos / "class-1" / "05.png"))
                statuses.append(answer.status_code)
                generations.add(answer.json()["generation"])

        thread = threading.Thread(target=ask)
        thread.start()
        for label in range(2, 4):
            remove(own, label=f"class-{label}")
            time.sleep(0.5)
        until = time.monotonic() + 20
        while 3 not in generations and time.monotonic() < until:
            time.sleep(0.05)
        stop.set()
        thread.join()
    assert {*statuses} == {200}
    assert 3 in generations


def test_mistakes_are_told_in_a_sentence(built, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InputError, match=r"--allow-edit needs a token"):
        main(built, allow_edit=True)
    with pytest.raises(InputError, match=r"without --allow-edit"):
        main(built, token_file=tmp_path / "token")
    with pytest.raises(InputError, match=r"--taught is given without --allow-edit"):
        main(built, taught=tmp_path / "taught")
    with pytest.raises(InputError, match=r"port is 70000"):
        main(built, port=70_000)
    with pytest.raises(InputError, match=r"workers is 0"):
        main(built, workers=0)
    with pytest.raises(InputError, match=r"host is empty, .* write 127.0.0.1"):
        main(tmp_path / "none.index", host="", port=0)
    with pytest.raises(InputError, match=r"does not exist"):
        main(tmp_path / "none.index", port=0)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match=r"choose another --port"):
        main(built, port=taken.getsockname()[1])


@pytest.mark.parametrize("name", ["birds.org:8000", "http://birds.org", "birds.org/", " birds.org", "bird s.org", ""])
def test_names_that_no_request_can_have_are_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"write names alone, such as --hosts '\[birds.example.org\]'"):
        main(tmp_path / "none.index", hosts=("birds.org", name))


def test_names_that_a_request_can_have_are_not(tmp_path):
    with pytest.raises(InputError, match=r"does not exist"):
        main(tmp_path / "none.index", port=0, hosts=("Birds.org", "birds", "birds_2.example.org", "192.168.0.7"))


def test_the_command_line_is_read(tmp_path):
    words = ["a.index", "--hosts", "[birds.example.org,other]", "--limits.megapixels", "12", "--allow-edit"]
    given, options = parse(main, words)
    assert given == [Path("a.index")]
    assert options["hosts"] == ("birds.example.org", "other")
    assert options["limits"] == Limits(megapixels=12)
    assert options["allow_edit"] is True
    with pytest.raises(InputError, match=r"limits.photos is 0"):
        parse(main, ["a.index", "--limits.photos", "0"])


def test_serving_needs_no_torch(built, photos):
    script = f"""
import sys
from pathlib import Path
from starlette.testclient import TestClient
from index import serve
from index.service.app import make_app
from index.service.settings import Settings
with TestClient(make_app(Settings(Path({str(built)!r}), token="x" * 20)), base_url="http://localhost") as client:
    photo = [("photo", ("a.png", Path({str(photos / "class-1" / "05.png")!r}).read_bytes()))]
    assert client.post("/search", files=photo).status_code == 200
    assert client.get("/review").status_code == 200
    assert client.get("/info").status_code == 200
print(sorted({HEAVY!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"
