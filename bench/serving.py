"""What the measurements of the service share: starting it, and a client that costs little."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.process_memory import process_memory
from index.service.settings import TOKEN

SECRET = "a token for a measurement"


@contextmanager
def serving(folder: Path, *options: str, log: Path | None = None) -> Iterator[tuple[subprocess.Popen, str, int]]:
    """``python -m index.serve`` on a free port: its process, host and port. Without a file the log goes nowhere."""
    words = [sys.executable, "-m", "index.serve", str(folder), "--port", "0", "--allow-edit", *options]
    environment = {**os.environ, TOKEN: SECRET}
    with (log or Path(os.devnull)).open("w") as file:
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=file, text=True, env=environment, start_new_session=True
        )
    try:
        assert process.stdout is not None
        found = re.search(r"at http://([\d.]+):(\d+) ", process.stdout.readline())
        assert found, "the service has not started"
        yield process, found[1], int(found[2])
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, "the service has not ended as it should"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


class Client:
    """One connection that stays open. A request is the same bytes each time, so that asking costs next to nothing."""

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=60)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer; a connection that was closed while idle is opened once more."""
        try:
            return self._ask(method, path, body, headers)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self._connection.close()
            return self._ask(method, path, body, headers)

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        self._connection.request(method, path, body or None, headers)
        answer = self._connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def json(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        status, _, content = self.ask(method, path, body, **headers)
        return status, json.loads(content)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


def form(photos: Sequence[bytes], **fields: str) -> tuple[bytes, dict[str, str]]:
    """The body of a form with photos, and its header."""
    parts = [
        f'--EDGE\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    ]
    body = "".join(parts).encode()
    for photo in photos:
        head = b'--EDGE\r\nContent-Disposition: form-data; name="photo"; filename="photo"\r\n\r\n'
        body += head + photo + b"\r\n"
    return body + b"--EDGE--\r\n", {"Content-Type": "multipart/form-data; boundary=EDGE"}


def memory(process: subprocess.Popen) -> float:
    """Megabytes that a process and its workers hold, without what is mapped from files."""
    pids = [process.pid]
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(entry.read_text().rpartition(")")[2].split()[1]) == process.pid:
                pids.append(int(entry.parent.name))
        except (OSError, ValueError):
            continue
    return sum(process_memory("RssAnon", pid) for pid in pids) / 2**20


def together(work: Any, count: int) -> None:
    """Run ``work(number)`` in so many threads, until all are done."""
    threads = [threading.Thread(target=work, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
