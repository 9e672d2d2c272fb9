"""How long a connection may keep the service waiting outside of a request, which uvicorn leaves open."""

import asyncio
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol


class PatientConfig(Config):
    """uvicorn's settings, and how long the head of a request may take.

    Args:
        header_seconds: after which a connection is closed.
        settings: uvicorn's own.
    """

    def __init__(self, *, header_seconds: float, **settings: Any) -> None:
        super().__init__(http=Patient, **settings)
        self.header_seconds = header_seconds


class Patient(H11Protocol):
    """HTTP/1.1 over a connection that does not wait for ever for the head of a request.

    Nor for the rest of a body that nobody wants any more. What is idle between two requests is closed by uvicorn
    itself; bodies that are wanted have their limit in ``index.service.guard``.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A client is there, and has to say something."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Something has come; once it is a request, that has limits of its own."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Run the clock while the client owes a request."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.config.header_seconds, self.transport.abort)  # type: ignore[attr-defined]

    def _forget(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
