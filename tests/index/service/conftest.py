"""A service over the tiny index, in this process and as a program of its own."""

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from PIL import Image
from starlette.testclient import TestClient

from index.service.app import make_app
from index.service.settings import Limits, Settings
from tests.index.conftest import *  # noqa: F403 - the tiny index

ROOT = Path(__file__).parents[3]
TOKEN = "a token that nobody guesses"
SHOWN = {"authorization": f"Bearer {TOKEN}"}


@contextmanager
def serving(folder, token=None, hosts=(), taught=None, **limits):
    """A client of a service in this process."""
    app = make_app(Settings(folder, token=token, hosts=hosts, taught=taught, limits=Limits(**limits)))
    with TestClient(app, base_url="http://localhost") as client:
        client.service = app.service
        yield client


@pytest.fixture(scope="module")
def client(built):
    """A service over the twenty photos that changes nothing."""
    with serving(built) as client:
        yield client


@pytest.fixture
def own(built, tmp_path):
    """A copy of the index that tests may change."""
    return Path(shutil.copytree(built, tmp_path / "own.index"))


@pytest.fixture
def editor(own):
    """A service that changes its index."""
    with serving(own, TOKEN) as client:
        yield client


def files(*photos):
    """Photos as a form sends them."""
    return [("photo", (Path(photo).name, Path(photo).read_bytes())) for photo in photos]


def jpeg(colour=(200, 30, 30), size=(60, 40), **options):
    """The bytes of a photo of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@contextmanager
def program(folder, *options, environment=None):
    """``python -m index.serve`` as it is typed, on a free port: its process, and a client."""
    words = [sys.executable, "-m", "index.serve", str(folder), "--port", "0", *options]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(environment or {})}
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=variables,
        start_new_session=True,
    )
    try:
        line = process.stdout.readline()
        found = re.search(r"at (http://\S+) ", line)
        assert found, process.stderr.read()
        with httpx.Client(base_url=found[1], timeout=30) as client:
            yield process, client
    finally:
        with suppress(ProcessLookupError):  # its workers too
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def connected(client):
    connection = socket.create_connection((client.base_url.host, client.base_url.port))
    connection.settimeout(10)
    return connection


def until_closed(connection):
    """What comes until the other side closes, and after how many seconds that is."""
    began, content = time.monotonic(), b""
    try:
        while more := connection.recv(65536):
            content += more
    except ConnectionResetError:
        pass
    return content, time.monotonic() - began
