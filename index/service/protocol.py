"""What is asked of a connection, before and between requests, which uvicorn leaves open or answers in its own way."""

import asyncio
from typing import Any

from starlette.responses import JSONResponse
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from index.service.guard import SECURITY
from index.service.running import BUSY

CLOSED = {**SECURITY, "cache-control": "no-store", "connection": "close"}
"""Headers of an answer after which a connection is closed."""

CROWDED = JSONResponse({"error": "too many connections are open; try again in a second"}, 503, {**BUSY, **CLOSED})


class PatientConfig(Config):
    """uvicorn's settings, and those that it has not.

    Args:
        header_seconds: how long the head of a request may take; then its connection is closed.
        connections: that may be open; what is asked over others is answered with 503.
        settings: uvicorn's own.
    """

    def __init__(self, *, header_seconds: float, connections: int, **settings: Any) -> None:
        super().__init__(http=Patient, **settings)
        self.header_seconds, self.connections = header_seconds, connections


class Patient(H11Protocol):
    """HTTP/1.1 over a connection that does not wait for ever for the head of a request.

    Nor for the rest of a body that nobody wants any more. What is idle between two requests is closed by uvicorn
    itself; bodies that are wanted have their limit in ``index.service.guard``.
    """

    config: PatientConfig
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A client is there, and has to say something."""
        super().connection_made(transport)
        if len(self.connections) > self.config.connections:
            self.app = CROWDED
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Something has come; once it is a request, that has limits of its own."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._forget()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """An answer has been given; it has to be read, too."""
        super().on_response_complete()
        if left := self.transport.get_write_buffer_size():
            self.loop.call_later(self.config.header_seconds, self._give_up, left)

    def _give_up(self, before: int) -> None:
        """Close a connection over which nothing has been read for a while, and keep nothing for it."""
        left = self.transport.get_write_buffer_size()
        if left and left >= before:
            self.transport.abort()
        elif left:
            self.loop.call_later(self.config.header_seconds, self._give_up, left)

    def send_400_response(self, msg: str) -> None:
        """Say that this is no request, as everything else is said."""
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            answer = JSONResponse({"error": f"this is no HTTP request ({msg})"}, 400, CLOSED)
            head = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n%s\r\n%s" % (head, answer.body))
        self.transport.close()

    def _watch(self) -> None:
        """Run the clock while the client owes a request."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.config.header_seconds, self.transport.abort)

    def _forget(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
