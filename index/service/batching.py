"""Photos that come at the same time go through the network together."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from embedder.runtime import BATCH
from eval.errors import InputError
from index.among import judge_among
from index.answer import Answer
from index.service.current import Snapshot


@dataclass(frozen=True)
class Question:
    """What is asked about one photo, or several of one subject.

    Attributes:
        snapshot: the generation that answers.
        pixels: of each photo, as the network sees it: uint8 ``[S, S, 3]`` or 4.
        own_ids: of the photos.
        k: neighbours to show.
        labels: of the references that are looked at; all where there are none.
        name: what the answer says that was asked.
        quality: what is wrong with the photos themselves.
    """

    snapshot: Snapshot
    pixels: Sequence[NDArray[np.uint8]]
    own_ids: frozenset[str]
    k: int
    labels: tuple[str, ...] = ()
    name: str | None = None
    quality: tuple[str, ...] = ()


Outcome = Answer | Exception
Waiting = tuple[Question, asyncio.Future[Answer]]


class Batcher:
    """Answers questions, all that wait whenever the network is free. It never waits for more to come.

    Args:
        on_batch: is told the photos of each batch, and the seconds that it took.
    """

    def __init__(self, on_batch: Callable[[int, float], None] = lambda *_: None) -> None:
        self._waiting: asyncio.Queue[Waiting] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "network")
        self._on_batch = on_batch
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to answer, in the event loop that is running."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Take up what is waiting, and then no more; what the network has in hand then is given up."""
        while not self._waiting.empty():
            await asyncio.sleep(0.01)
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._thread.shutdown()

    async def ask(self, question: Question) -> Answer:
        """The answer to a question.

        Raises:
            InputError: the index is empty, no reference has the labels, or the photos cancel each other out.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((question, future))
        return await future

    async def _work(self) -> None:
        """Answer batch after batch."""
        loop = asyncio.get_running_loop()
        while True:
            batch = self._next([await self._waiting.get()])
            if not batch:
                continue
            began = time.perf_counter()
            work = loop.run_in_executor(self._thread, answered, [question for question, _ in batch])
            try:
                outcomes: list[Outcome] = await asyncio.shield(work)
            except Exception as error:
                outcomes = [error] * len(batch)
            self._on_batch(sum(len(question.pixels) for question, _ in batch), time.perf_counter() - began)
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if future.done():  # nobody waits any more
                    continue
                if isinstance(outcome, Exception):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)

    def _next(self, batch: list[Waiting]) -> list[Waiting]:
        """What waits besides some that have been taken, as many photos as are worked on together."""
        photos = len(batch[0][0].pixels)
        while photos < BATCH and not self._waiting.empty():
            batch.append(self._waiting.get_nowait())
            photos += len(batch[-1][0].pixels)
        return [(question, future) for question, future in batch if not future.done()]


def answered(questions: Sequence[Question]) -> list[Outcome]:
    """The answers to some questions: one run of each network that they need, and one search of each generation."""
    outcomes: dict[int, Outcome] = {}
    by_network = defaultdict(list)
    for place, question in enumerate(questions):
        by_network[id(question.snapshot.index.embedder)].append(place)
    vectors: dict[int, NDArray[np.floating]] = {}
    for places in by_network.values():
        embedder = questions[places[0]].snapshot.index.embedder
        found = embedder.vectors(np.stack([pixels for place in places for pixels in questions[place].pixels]))
        for place in places:
            count = len(questions[place].pixels)
            vectors[place] = found[0] if count == 1 else found[:count].mean(axis=0, dtype=np.float64)
            found = found[count:]
    alike = defaultdict(list)
    for place, one in enumerate(questions):
        alike[(id(one.snapshot), one.k, one.labels)].append(place)
    for places in alike.values():
        judged = _judged([questions[place] for place in places], [vectors[place] for place in places])
        outcomes |= dict(zip(places, judged, strict=True))
    return [outcomes[place] for place in range(len(questions))]


def _judged(questions: list[Question], vectors: list[NDArray[np.floating]]) -> list[Outcome]:
    """The answers to questions of one generation that want the same; one by one where together they fail."""
    first = questions[0]
    index, ids = first.snapshot.index, [question.own_ids for question in questions]
    try:
        if first.labels:
            pairs = zip(vectors, ids, strict=True)
            answers = [judge_among(index, vector, first.labels, first.k, own) for vector, own in pairs]
        else:
            answers = index.judge_all(np.stack(vectors), ids, first.k)
    except InputError as error:
        if len(questions) == 1:
            return [error]
        return [_judged([one], [vector])[0] for one, vector in zip(questions, vectors, strict=True)]
    both = zip(questions, answers, strict=True)
    return [replace(answer, query=one.name, quality=[*one.quality]) for one, answer in both]
