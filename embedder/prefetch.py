"""Working ahead in threads: photos are decoded while the network runs."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol, TypeVar

from eval.stages import waiting as waiting_for_threads

Item = TypeVar("Item")
Result = TypeVar("Result")


class Progress(Protocol):
    """Whoever is told how far the work is, such as a bar."""

    def update(self, photos: int, /) -> object:
        """So many more photos are done."""


def prefetched(function: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int) -> Iterator[Result]:
    """Yield ``function(item)`` of every item, in order, computed in threads before it is asked for.

    Pillow and ONNX Runtime release Python's lock, so threads are enough. Memory stays flat: no more than ``ahead``
    results wait or are under way. An error of ``function`` is raised at its item's turn, and ends the work.

    Args:
        function: called in several threads at once.
        items: taken one by one as the work goes on, so that they may be without end.
        threads: how many items are worked on at once, at least 1.
        ahead: how many items beyond the one that is asked for are begun.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield _waited_for(waiting.popleft())
        while waiting:
            yield _waited_for(waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _waited_for(future: Future[Result]) -> Result:
    """The result that a thread is at work on."""
    with waiting_for_threads():
        return future.result()


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of ``size``; the last one may be shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
