"""What the routes of a service share while it runs."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated, TypeVar

from fastapi import Depends
from starlette.requests import Request

from eval.cores import available_cores
from eval.images import Box
from index.service.batching import Batcher
from index.service.current import Current, Snapshot
from index.service.monitor import Monitor
from index.service.settings import Settings
from index.service.uploads import Prepared, Upload, prepared

Result = TypeVar("Result")

TOLD = "fieldmark"
"""Where in a request's scope it is kept what is told of it."""

BUSY = {"retry-after": "1"}
"""The header of a refusal that may be an answer in a second."""

GENERATION = "fieldmark-generation"
"""The header of an answer with the generation that gave it, and of a request with the oldest that may."""


class Service:
    """An index that is served by one process.

    Attributes:
        settings: limits and permissions.
        monitor: its numbers.
        current: the generation that answers.
        batcher: photos on their way through the network.

    Args:
        settings: likewise.

    Raises:
        InputError: there is no index, or it is damaged.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.monitor = settings, Monitor()
        self._cores = max(1, available_cores() // settings.workers)
        self.batcher = Batcher(self.monitor.batch)
        self._decoding = ThreadPoolExecutor(self._cores, "decoding")
        self._writing, self._long = ThreadPoolExecutor(1, "writing"), threading.Lock()
        self._preparing = 0

        def changed(snapshot: Snapshot) -> None:
            self.monitor.generation(snapshot.generation, snapshot.index.count)

        self.current = Current(settings.folder, self._cores, changed)

    async def stop(self) -> None:
        """Finish what has begun."""
        await self.batcher.stop()
        for threads in (self._decoding, self._writing):
            await asyncio.to_thread(threads.shutdown)
        self.current.close()

    async def prepare(self, snapshot: Snapshot, upload: Upload, box: Box | None) -> Prepared:
        """Take a photo to what the network sees; one that comes alone is worked on by all cores.

        Raises:
            BadImage: it cannot be used.
        """
        self._preparing += 1
        cores = self._cores if self._preparing == 1 else 1
        try:
            return await self.decode(prepared, snapshot, upload, box, self.settings.limits, cores)
        finally:
            self._preparing -= 1

    async def decode(self, work: Callable[..., Result], *values: object) -> Result:
        """Do what takes a core, when one is free for it: no more photos are decoded at once than there are cores."""
        return await asyncio.get_running_loop().run_in_executor(self._decoding, work, *values)

    async def write(self, work: Callable[..., Result], *values: object) -> Result:
        """Change the index, one change after another; what has begun is finished, whoever waits for it."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._writing, work, *values))

    async def take_long(self, work: Callable[..., Result], *values: object) -> Result:
        """Do what may take minutes, one such thing at a time; it goes on when nobody waits for it any more.

        It keeps nobody from stopping the service.
        """
        done: Future[Result] = Future()

        def run() -> None:
            with self._long:
                try:
                    done.set_result(work(*values))
                except BaseException as error:
                    done.set_exception(error)

        threading.Thread(target=run, name="long", daemon=True).start()
        return await asyncio.shield(asyncio.wrap_future(done))


async def service_of(request: Request) -> Service:
    """The service that a request has come to."""
    service: Service = request.app.state.service
    return service


async def taken(request: Request) -> Snapshot:
    """The generation that answers a request, which its answer names.

    It is no older than one that the request names: who has changed the index in one worker process, and then asks
    another one, finds what he has changed.
    """
    snapshot, least = (await service_of(request)).current.now(), request.headers.get(GENERATION, "")[:18]
    if least.isdecimal() and int(least) > snapshot.generation:
        return await newest(request)
    return _answering(request, snapshot)


SnapshotTaken = Annotated[Snapshot, Depends(taken)]
Running = Annotated[Service, Depends(service_of)]


async def newest(request: Request) -> Snapshot:
    """The generation that is current now; it answers the request."""
    return _answering(request, await asyncio.to_thread((await service_of(request)).current.newest))


def _answering(request: Request, snapshot: Snapshot) -> Snapshot:
    """Note which generation it is that answers."""
    told = request.scope[TOLD]
    told.generation, told.embedder = snapshot.generation, snapshot.index.fingerprint[:16]
    return snapshot


async def noted(request: Request) -> None:
    """Tell the log and the numbers which route a request has taken."""
    request.scope[TOLD].route = request.scope["route"].path_format
