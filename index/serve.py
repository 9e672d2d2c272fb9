"""The command ``python -m index.serve NAME.index``: an index answers over HTTP."""

import logging.config
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from eval.command import run
from eval.errors import InputError
from index.search import Index
from index.service.app import make_app
from index.service.guard import HOST, Guard
from index.service.monitor import LOGGING, SHARED
from index.service.protocol import PatientConfig
from index.service.settings import Limits, Settings, read_token

BACKLOG = 1024
"""Connections that wait to be accepted."""


def main(
    index: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    hosts: tuple[str, ...] = (),
    workers: int = 1,
    allow_edit: bool = False,
    token_file: Path | None = None,
    taught: Path | None = None,
    limits: Limits = Limits(),  # noqa: B008 - it is frozen
) -> None:
    """Serve an index over HTTP until it is told to stop: a page, and the routes that /docs lists.

    Only this machine reaches it unless --host says otherwise, and nobody changes the index unless --allow-edit is
    given with a token. docs/security.md says what is promised.

    Args:
        index: an index folder.
        host: the address to listen at; 0.0.0.0 for all of this machine's.
        port: where to listen; 0 for any that is free.
        hosts: names that the service goes by beside localhost and its addresses, such as '[birds.example.org]'.
        workers: processes that share the work, and the cores.
        allow_edit: let those who show the token add and remove references.
        token_file: a file with that token; otherwise it is taken from the environment, FIELDMARK_TOKEN.
        taught: the folder for photos that are taught; by default NAME.taught beside the index.
        limits: what a request may be.
    """
    if not host.strip():
        raise InputError("host is empty, which would be all of this machine's addresses; write 127.0.0.1, or 0.0.0.0")
    if not 0 <= port < 1 << 16:
        raise InputError(f"port is {port}; it must be at least 0 and at most 65535")
    if workers < 1:
        raise InputError(f"workers is {workers}; it must be at least 1")
    for name in hosts:
        found = HOST.fullmatch(name.lower())
        if not found or found[2]:
            raise InputError(f"hosts has {name!r}; write names alone, such as --hosts '[birds.example.org]'")
    if token_file and not allow_edit:
        raise InputError("--token-file is given without --allow-edit, which is what the token is for; give both")
    if taught and not allow_edit:
        raise InputError("--taught is given without --allow-edit, and nothing is taught without it; give both")
    token = read_token(token_file) if allow_edit else None
    serve(Settings(index, host, port, workers, hosts, token, taught, limits))


def serve(settings: Settings) -> None:
    """Serve until a signal says to stop; what is under way is finished first."""
    logging.config.dictConfig(LOGGING)
    options: dict[str, Any] = {
        "header_seconds": settings.limits.header_seconds,
        "connections": settings.limits.connections,
        "log_config": LOGGING,
        "access_log": False,
        "ws": "none",
        "proxy_headers": False,
        "server_header": False,
        "timeout_graceful_shutdown": settings.limits.shutdown_seconds,
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # once uvicorn has finished, it sends the signal once more
    with _listening(settings) as listener:
        if settings.workers == 1:
            app = make_app(settings)
            _announce(settings, listener, app.service.current.snapshot.index)
            uvicorn.Server(PatientConfig(app=app, **options)).run([listener])
            return
        opened = Index.open(settings.folder)
        opened.embedder  # noqa: B018 - what cannot be opened here cannot be by any worker
        with tempfile.TemporaryDirectory(prefix="fieldmark-") as shared:
            os.environ[SHARED] = shared
            _announce(settings, listener, opened)
            del opened
            make = partial(_worker, settings, os.getpid())
            Multiprocess(PatientConfig(app=make, factory=True, workers=settings.workers, **options), [listener]).run()


def _worker(settings: Settings, parent: int) -> Guard:
    """The application of a worker process, which ends when the process is gone that has started it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
    return make_app(settings)


def _listening(settings: Settings) -> socket.socket:
    """The socket that a service listens at.

    Raises:
        InputError: the address is not to be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle on
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        where = f"{settings.host}:{settings.port}"
        raise InputError(f"cannot listen at {where} ({error.strerror}); choose another --port or --host") from None
    listener.set_inheritable(True)
    return listener


def _announce(settings: Settings, listener: socket.socket, index: Index) -> None:
    """Say on standard output where the service is to be found."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{listener.getsockname()[1]}"
    edit = f"; taught photos go into {settings.taught_folder}" if settings.token else ""
    told = f"{index.count} references, generation {index.generation}"
    print(f"{settings.folder}: {told}, at {address} ({address}/docs){edit}", flush=True)


if __name__ == "__main__":
    run(main)
