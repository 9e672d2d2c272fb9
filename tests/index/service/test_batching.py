"""Questions that wait are answered together, each as if it were alone."""

import asyncio
import threading

import numpy as np
import pytest

from eval.errors import InputError
from index import Index
from index.service.batching import Batcher, Question, answered
from index.service.current import Snapshot


@pytest.fixture(scope="module")
def snapshot(built):
    return Snapshot(Index.open(built))


@pytest.fixture
def pixels(snapshot, photos):
    prepare = snapshot.index.embedder.prepare
    return [prepare(photo) for photo in sorted(photos.rglob("*.png"))]


def question(snapshot, *pixels, **more):
    return Question(snapshot, pixels, frozenset(), **{"k": 5, **more})


def test_each_gets_what_it_would_get_alone(snapshot, pixels):
    questions = [
        question(snapshot, pixels[0]),
        question(snapshot, pixels[1], k=3),
        question(snapshot, *pixels[2:5], name="three"),
        question(snapshot, pixels[5], labels=("class-1",)),
        question(snapshot, pixels[6], quality=("blurred",)),
    ]
    together = answered(questions)
    for one, got in zip(questions, together, strict=True):
        (alone,) = answered([one])
        assert got == alone
        assert (got.query, got.quality, len(got.neighbours)) == (one.name, [*one.quality], one.k)
    vectors = snapshot.index.embedder.vectors(np.stack(pixels[2:5]))
    assert together[2].neighbours == snapshot.index.judge(vectors.mean(axis=0, dtype=np.float64), 5).neighbours


def test_one_that_fails_leaves_the_others_alone(snapshot, pixels, monkeypatch):
    network = snapshot.index.embedder.vectors

    def cancelled(batch):
        vectors = network(batch)
        vectors[1] = 0
        return vectors

    monkeypatch.setattr(snapshot.index.embedder, "vectors", cancelled)
    nowhere = question(snapshot, pixels[4], labels=("x",))
    got = answered([*(question(snapshot, one) for one in pixels[:3]), nowhere])
    assert [isinstance(one, InputError) for one in got] == [False, True, False, True]
    assert "cancel each other out" in str(got[1])
    assert [got[place].neighbours[0].row for place in (0, 2)] == [0, 2]


def in_a_loop(ask):
    """Run with a batcher; what it has done and the sizes of its batches."""

    async def run():
        sizes = []
        batcher = Batcher(lambda photos, _: sizes.append(photos))
        batcher.start()
        done = await ask(batcher)
        await batcher.stop()
        return done, sizes

    return asyncio.run(run())


def test_what_waits_goes_together_and_nothing_waits_for_more(snapshot, pixels, monkeypatch):
    open_gate, began = threading.Event(), threading.Event()
    network = snapshot.index.embedder.vectors

    def held(batch):
        began.set()
        assert open_gate.wait(10)
        return network(batch)

    monkeypatch.setattr(snapshot.index.embedder, "vectors", held)

    async def ask(batcher):
        first = asyncio.ensure_future(batcher.ask(question(snapshot, pixels[0])))
        while not began.is_set():
            await asyncio.sleep(0.001)
        others = [asyncio.ensure_future(batcher.ask(question(snapshot, one))) for one in pixels[1:8]]
        await asyncio.sleep(0.01)
        others[0].cancel()  # nobody waits for it any more
        first.cancel()  # nor for this one, on which the network is at work
        open_gate.set()
        return await asyncio.gather(*others[1:])

    answers, sizes = in_a_loop(ask)
    assert sizes == [1, 6]
    assert [one.neighbours[0].similarity for one in answers] == pytest.approx([1.0] * 6, abs=1e-5)


def test_no_batch_has_more_photos_than_are_worked_on_together(snapshot, pixels):
    async def ask(batcher):
        return await asyncio.gather(*(batcher.ask(question(snapshot, pixels[number % 20])) for number in range(100)))

    answers, sizes = in_a_loop(ask)
    assert len(answers) == sum(sizes) == 100
    assert max(sizes) == 32


def test_a_mistake_of_its_own_reaches_those_who_asked(snapshot, pixels, monkeypatch):
    def broken(batch):
        raise RuntimeError("oh")

    async def ask(batcher):
        monkeypatch.setattr(snapshot.index.embedder, "vectors", broken)
        with pytest.raises(RuntimeError, match=r"oh"):
            await batcher.ask(question(snapshot, pixels[0]))
        monkeypatch.undo()
        return await batcher.ask(question(snapshot, pixels[0]))

    assert in_a_loop(ask)[0].neighbours
