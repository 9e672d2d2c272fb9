"""What the routes of a service share while it runs."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

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
        self._long, self._writing = ThreadPoolExecutor(1, "long"), ThreadPoolExecutor(1, "writing")
        self._preparing = 0

        def changed(snapshot: Snapshot) -> None:
            self.monitor.generation(snapshot.generation, snapshot.index.count)

        self.current = Current(settings.folder, self._cores, changed)

    async def stop(self) -> None:
        """Finish what has begun."""
        await self.batcher.stop()
        for threads in (self._decoding, self._writing):
            threads.shutdown()
        self._long.shutdown(wait=False, cancel_futures=True)
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
        """Do what may take minutes, one such thing at a time; it goes on when nobody waits for it any more."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._long, work, *values))


async def service_of(request: Request) -> Service:
    """The service that a request has come to."""
    service: Service = request.app.state.service
    return service


async def taken(request: Request) -> Snapshot:
    """The generation that answers a request, which its answer names."""
    snapshot = (await service_of(request)).current.now()
    request.scope[TOLD].generation = snapshot.generation
    return snapshot


async def noted(request: Request) -> None:
    """Tell the log and the numbers which route a request has taken."""
    request.scope[TOLD].route = request.scope["route"].path
