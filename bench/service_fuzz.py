"""Does the service stay well whatever it is sent?

    python -m bench.service_fuzz INDEX PHOTO [--requests 20000] [--examples 100]

A copy of INDEX is served with changes allowed, to those who show a token that the requests do not have. First
``schemathesis`` asks by the OpenAPI description, so many examples a route; then come requests of ``bench/hostile.py``
(PHOTO is the honest one that they are made of), eight at a time, and a few bodies that never end.

It fails, with exit status 1, where an answer is a 500 or says what it should not, a connection breaks without an answer
to a well-formed request or stays open without one, anything is written, a file is served that is no reference, the log
has a mistake, the service is not ready at the end, or the memory grows: the most in the second half is more than a
quarter above the most in the first.
"""

import argparse
import http.client
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.hostile import Hostile
from bench.serving import Client, memory, serving, together

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
GROWTH, PATIENCE = 1.25, 40
FINE = {200, 307, 400, 401, 403, 404, 405, 408, 409, 413, 414, 415, 422, 431, 501, 503}
HEADLONG = {"X-Long", "X-0", "Content-Length", "Host"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(options.index, Path(place) / "a.index"))
        before, log = state(Path(place)), Path(place).with_suffix(".log")
        with serving(folder, "--limits.body_seconds", "3", "--limits.seconds", "20", log=log) as (process, host, port):
            wrong: dict[str, Any] = {"description": options.examples and not described(host, port, options.examples)}
            told, megabytes, wrong["answers"] = fuzzed(process, host, port, options)
            wrong["slow"] = not slow(host, port)
            status, ready = Client(host, port).json("GET", "/readyz")
        wrong["log"] = [line for line in log.read_text().splitlines() if '"error"' in line.partition('"message"')[0]]
        log.unlink()
        wrong["ready"] = status != 200 or ready["problem"]
        wrong["written"] = sorted(state(Path(place)) ^ before)
    half = len(megabytes) // 2
    wrong["memory"] = max(megabytes[half:]) > GROWTH * max(megabytes[:half] or megabytes)
    found = {what: one[:5] if isinstance(one, list) else one for what, one in wrong.items() if one}
    print(f"{options.requests} hostile requests: {dict(sorted(told.items(), key=str))}")
    print(f"memory in MB, after each tenth: {[round(one) for one in megabytes]}")
    print(f"wrong: {found or 'nothing'}")
    sys.exit(bool(found))


def state(place: Path) -> set[tuple[str, int, int]]:
    """Every file, with its size and when it was changed."""
    files = [path for path in place.rglob("*") if path.is_file() and path.name != "index.lock"]
    return {(str(path.relative_to(place)), path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def described(host: str, port: int, examples: int) -> bool:
    """Ask by the description, as schemathesis does: whether all was answered by it."""
    words = [
        str(Path(sys.executable).parent / "schemathesis"),
        "run",
        f"http://{host}:{port}/openapi.json",
        "--checks",
        CHECKS,
    ]
    words += ["--max-examples", str(examples), "--phases", "examples,coverage,fuzzing", "--seed", "1", "--no-color"]
    done = subprocess.run([*words, "--continue-on-failure"], capture_output=True, text=True, check=False)
    print(done.stdout[-3000:] if done.returncode else "\n".join(done.stdout.splitlines()[-12:]))
    return done.returncode == 0


def fuzzed(
    process: subprocess.Popen, host: str, port: int, options: argparse.Namespace
) -> tuple[Counter, list[float], list[str]]:
    """Send hostile requests: what was answered, the memory after each tenth, and what should not have been."""
    _, there = Client(host, port).json("GET", "/references?limit=100")
    references = [one["id"] for one in there["references"]]
    hostile, lock = Hostile(options.photo.read_bytes(), references, options.seed), threading.Lock()
    told: Counter[int | str] = Counter()
    megabytes: list[float] = []
    problems: list[str] = []
    left = iter(range(options.requests))

    def ask(_number: int) -> None:
        client = Client(host, port)
        while True:
            with lock:
                number = next(left, None)
                if number is None:
                    break
                method, path, head, body = hostile.next()
                if number and number % max(1, options.requests // 10) == 0:
                    megabytes.append(memory(process))
            status: int | str
            try:
                status, _, content = client.ask(method, path, body, **head)
            except (OSError, http.client.HTTPException, UnicodeEncodeError, ValueError) as error:
                client.close()
                status, content = type(error).__name__, b""
                if not HEADLONG & {*head} and status not in ("UnicodeEncodeError", "InvalidURL", "ValueError"):
                    problems.append(f"{method} {path[:60]} {str(head)[:100]}: {error!r}")
            told[status] += 1
            served = b"root:" in content or b"import " in content
            if (isinstance(status, int) and status not in FINE) or served:
                problems.append(f"{method} {path[:60]} {str(head)[:100]}: {status} {content[:200]!r}")
        client.close()

    together(ask, 8)
    megabytes.append(memory(process))
    return told, megabytes, problems


def slow(host: str, port: int) -> bool:
    """Whether bodies and heads that come a byte at a time keep a connection for no longer than they may."""
    seconds = []
    for said in (b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n", b"GET / HTTP/1.1\r\nX: "):
        connection = socket.create_connection((host, port))
        began = time.monotonic()
        try:
            connection.sendall(said)
            while time.monotonic() - began < PATIENCE:
                connection.sendall(b"a")
                time.sleep(0.2)
        except OSError:
            pass
        seconds.append(time.monotonic() - began)
        print(f"a byte at a time: over after {seconds[-1]:.0f} s")
    return max(seconds) < PATIENCE


if __name__ == "__main__":
    main()
