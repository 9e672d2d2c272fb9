"""Connections: those over which nothing is read are given up."""

import asyncio

import pytest

from index.service.protocol import Patient, PatientConfig


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
