"""What HTTP adds to the answer to a photo, and how long people wait when many ask.

    python -m bench.service INDEX PHOTOS [--seconds 20] [--clients 8]

INDEX is an index folder, of which a copy is served; PHOTOS a folder of photos, of which the first 200 are asked about.

- one at a time: ``Index.query`` in a process that has the index open, against ``POST /search`` over a connection that
  stays open; the two take turns.
- the highest rate: clients that ask again as soon as they have their answer.
- at 70 % of it: requests that come at random times (exponential gaps), each timed from when it was due.
"""

import argparse
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from bench.serving import Client, form, serving, together
from index import Index

PHOTOS, CALLS = 200, 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    photos = [path.read_bytes() for path in sorted(options.photos.rglob("*.jpg"))[:PHOTOS]]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(options.index, Path(place) / "a.index"))
        with serving(folder, "--workers", str(options.workers)) as (_, host, port):
            one_at_a_time(folder, photos, host, port)
            rate = highest(photos, host, port, options.clients, options.seconds)
            at_random(photos, host, port, 0.7 * rate, options.seconds)


def one_at_a_time(folder: Path, photos: Sequence[bytes], host: str, port: int) -> None:
    """Compare an answer in process with one over HTTP."""
    index, client = Index.open(folder), Client(host, port)
    ways: dict[str, list[float]] = {"in process": [], "over HTTP": []}
    for number in range(CALLS + 20):
        photo = photos[number % len(photos)]
        body, head = form([photo])
        began = time.perf_counter()
        index.query(photo)
        between = time.perf_counter()
        status, _, _ = client.ask("POST", "/search", body, **head)
        ended = time.perf_counter()
        assert status == 200
        if number >= 20:
            ways["in process"].append(between - began)
            ways["over HTTP"].append(ended - between)
    client.close()
    medians = {name: statistics.median(times) for name, times in ways.items()}
    for name, times in ways.items():
        share = medians[name] / medians["in process"]
        print(f"| {name} | {1000 * medians[name]:.1f} | {1000 * quantile(times, 0.99):.1f} | {share:.2f} |")


def highest(photos: Sequence[bytes], host: str, port: int, clients: int, seconds: float) -> float:
    """The rate at which clients are answered that ask again at once."""
    times: list[float] = []
    stop = time.perf_counter() + seconds

    def ask(number: int) -> None:
        client, place = Client(host, port), number
        while time.perf_counter() < stop:
            body, head = form([photos[place % len(photos)]])
            began = time.perf_counter()
            status, _, _ = client.ask("POST", "/search", body, **head)
            if status == 200:
                times.append(time.perf_counter() - began)
            place += clients
        client.close()

    together(ask, clients)
    rate = len(times) / seconds
    print(
        f"| {clients} clients at once: {rate:.1f} a second | {1000 * statistics.median(times):.1f} | "
        f"{1000 * quantile(times, 0.99):.1f} | |"
    )
    return rate


def at_random(photos: Sequence[bytes], host: str, port: int, rate: float, seconds: float) -> None:
    """How long answers take to requests that come at random, so many a second in the mean."""
    draw, now = random.Random(0), 0.0
    due: list[float] = []
    while now < seconds:
        now += draw.expovariate(rate)
        due.append(now)
    times: list[float] = []
    failed: list[float] = []
    left, lock, start = iter(enumerate(due)), threading.Lock(), time.perf_counter() + 0.5

    def ask(_number: int) -> None:
        client = Client(host, port)
        while True:
            with lock:
                request = next(left, None)
            if request is None:
                break
            number, moment = request
            body, head = form([photos[number % len(photos)]])
            time.sleep(max(0.0, start + moment - time.perf_counter()))
            status = client.ask("POST", "/search", body, **head)[0]
            (times if status == 200 else failed).append(time.perf_counter() - start - moment)
        client.close()

    together(ask, 48)
    median, slow = statistics.median(times), quantile(times, 0.99)
    head = f"at random, {len(due) / seconds:.1f} a second, {len(failed)} failed"
    print(f"| {head} | {1000 * median:.1f} | {1000 * slow:.1f} | {slow / median:.1f} times the median |")


def quantile(times: Sequence[float], share: float) -> float:
    """The time within which a share of all is done."""
    return sorted(times)[int(share * (len(times) - 1))]


if __name__ == "__main__":
    main()
