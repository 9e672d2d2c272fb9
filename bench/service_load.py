"""Is each answer right for the generation that it names, while the index changes under it and many ask too fast?

    python -m bench.service_load EMBEDDER PHOTOS [--minutes 10] [--clients 32] [--workers 1]

EMBEDDER embeds PHOTOS, one folder a kind: of each kind the first ten are references of an index, the others are asked
about. Clients ask as fast as they are answered, which is more than the service can do, and are told 503 where it says
so. Meanwhile photos are taught, renamed, removed and brought back over HTTP, and ``index.rebuild`` writes the index
anew.

Every generation is kept as it was committed (its files are linked), and afterwards every answer is compared with the
one that the generation that it names gives in process. It fails, with exit status 1, where one differs or none could be
compared, where a status is neither 200 nor 503, and where a connection or a rebuild breaks. Memory is that of the
service without mapped files.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.serving import SECRET, Client, form, memory, serving, together
from index import Index
from index.build import main as build

REFERENCES, KINDS, CLOSE = 10, 40, 2e-5
SHOWN = {"Authorization": f"Bearer {SECRET}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embedder", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, asked = prepared(options.embedder, options.photos, Path(place))
        with serving(folder, "--workers", str(options.workers), "--limits.waiting", "24") as (process, host, port):
            load = Load(folder, asked, host, port, Path(place) / "kept")
            load.run(process, options.clients, options.minutes * 60)
        right, wrong = load.judge()
    sys.exit(bool(wrong or not right or load.failed()))


def prepared(embedder: Path, photos: Path, place: Path) -> tuple[Path, list[tuple[str, bytes]]]:
    """An index of some photos of each kind, and the other photos with their kinds."""
    asked = []
    for kind in sorted(path for path in photos.iterdir() if path.is_dir())[:KINDS]:
        files = sorted(kind.iterdir())
        (place / "photos" / kind.name).mkdir(parents=True)
        for file in files[:REFERENCES]:
            shutil.copy(file, place / "photos" / kind.name)
        asked += [(kind.name, file.read_bytes()) for file in files[REFERENCES:]]
    random.Random(0).shuffle(asked)
    return build(embedder, str(place / "photos"), out=place / "a.index"), asked


class Load:
    """Many who ask and one who changes, and what they have been told."""

    def __init__(self, folder: Path, asked: list[tuple[str, bytes]], host: str, port: int, kept: Path) -> None:
        self.folder, self.asked, self.address, self.kept = folder, asked, (host, port), kept
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self.statuses: Counter[str] = Counter()
        self.megabytes: list[float] = []
        self.stop = threading.Event()

    def run(self, process: subprocess.Popen, clients: int, seconds: float) -> None:
        """Ask and change for so long."""
        self.keep()
        changer = threading.Thread(target=self.change)
        keeper = threading.Thread(target=self.watch, args=[process, seconds])
        for thread in (keeper, changer):
            thread.start()
        began = time.monotonic()
        together(self.ask, clients)
        for thread in (keeper, changer):
            thread.join()
        print(
            f"{seconds / 60:.1f} minutes, {clients} clients: {dict(self.statuses)}, "
            f"{len(self.answers) / (time.monotonic() - began):.1f} answers a second"
        )

    def ask(self, number: int) -> None:
        """Ask about one photo after another."""
        client, place = Client(*self.address), number
        while not self.stop.is_set():
            body, head = form([self.asked[place % len(self.asked)][1]], k="5")
            try:
                status, told = client.json("POST", "/search", body, **head)
            except Exception as error:
                self.statuses[f"search: {type(error).__name__}"] += 1
                continue
            self.statuses[f"search: {status}"] += 1
            if status == 200:
                self.answers.append((place % len(self.asked), told))
            elif status == 503:
                time.sleep(0.05)  # sooner than it is asked to
            place += 7
        client.close()

    def change(self) -> None:
        """Teach, rename, remove, bring back, and write the index anew, one after another."""
        client, draw, number = Client(*self.address), random.Random(1), 0
        while not self.stop.is_set():
            number += 1
            if number % 8 == 0:
                words = [sys.executable, "-m", "index.rebuild", str(self.folder)]
                done = subprocess.run(words, capture_output=True, text=True, check=False)
                self.statuses[f"rebuild: {done.returncode}"] += 1
            else:
                self.teach(client, draw)
            self.keep()
            time.sleep(0.3)
        client.close()

    def teach(self, client: Client, draw: random.Random) -> None:
        """Teach a photo, and then do something else with it."""
        kind, photo = draw.choice(self.asked)
        body, head = form([photo], label=kind, relabel="true")
        status, told = self.changed("teach", client, "POST", "/references", body, **head)
        if status != 200:
            return
        self.keep()
        what, (name,) = draw.choice(("leave", "rename", "remove", "undo")), told["ids"]
        if what == "rename":
            body, head = form([], to="Another kind")
            self.changed(what, client, "PATCH", f"/references/{name}", body, **head)
        elif what == "remove":
            self.changed(what, client, "DELETE", f"/references/{name}")
        elif what == "undo" and told["added"]:
            body, head = form([], generation=str(told["generation"]))
            self.changed(what, client, "POST", "/undo", body, **head)

    def changed(
        self, what: str, client: Client, method: str, path: str, body: bytes = b"", **head: str
    ) -> tuple[int, Any]:
        """Ask for a change."""
        status, told = 503, None
        while status == 503 and not self.stop.is_set():
            try:
                status, told = client.json(method, path, body, **{**head, **SHOWN})
            except Exception as error:
                status, told = 0, str(error)
            self.statuses[f"{what}: {status}"] += 1
        if status not in (200, 503):
            print(what, status, told)
        return status, told

    def keep(self) -> None:
        """Keep the generation that is current, by links to its files."""
        for _ in range(3):
            try:
                index = Index.open(self.folder)
                place = self.kept / f"{index.generation}.index"
                if place.exists():
                    return
                beside = place.with_suffix(".part")
                shutil.rmtree(beside, ignore_errors=True)
                beside.mkdir(parents=True)
                for name in ("manifest.json", *index.manifest.names()):
                    os.link(self.folder / name, beside / name)
                if Index.open(beside).generation == index.generation:
                    beside.rename(place)
                    return
            except (OSError, ValueError):
                continue

    def watch(self, process: subprocess.Popen, seconds: float) -> None:
        """Note the memory, and say when it is over."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.keep()
            self.megabytes.append(memory(process))
            time.sleep(min(left, 0.2))
        self.stop.set()

    def failed(self) -> dict[str, int]:
        """What was answered as it should not be, and how often."""
        fine = (": 200", ": 503", "rebuild: 0")
        return {told: count for told, count in self.statuses.items() if not told.endswith(fine)}

    def judge(self) -> tuple[int, int]:
        """Compare every answer with that of the generation that it names: how many are right, and wrong."""
        wrong = unknown = 0
        indexes: dict[int, Index | None] = {}
        vectors: dict[int, Any] = {}
        generations = Counter(told["generation"] for _, told in self.answers)
        for place, told in sorted(self.answers, key=lambda one: one[1]["generation"]):
            generation = told["generation"]
            if generation not in indexes:
                indexes.clear()
                folder = self.kept / f"{generation}.index"
                indexes[generation] = Index.open(folder) if folder.exists() else None
            index = indexes[generation]
            if index is None:
                unknown += 1
                continue
            if place not in vectors:
                (vectors[place],) = index.embedder.embed([self.asked[place][1]])
            wrong += not alike(told["answers"][0], index.judge(vectors[place], 5).to_json())
        print(
            f"{len(self.answers)} answers by {len(generations)} generations: {wrong} wrong, {unknown} by generations "
            f"that were not kept"
        )
        tenth = max(1, len(self.megabytes) // 10)
        tenths = [self.megabytes[start : start + tenth] for start in range(0, len(self.megabytes), tenth)]
        print(f"memory in MB, the most in each tenth: {[round(max(some)) for some in tenths]}")
        return len(self.answers) - wrong - unknown, wrong


def alike(got: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Whether two answers are the same but for rounding: neighbours by id, label and similarity, and the label."""
    pairs = list(zip(got["neighbours"], expected["neighbours"], strict=False))
    same = len(got["neighbours"]) == len(expected["neighbours"]) and all(
        abs(one["similarity"] - other["similarity"]) < CLOSE for one, other in pairs
    )
    swapped = all(
        (one["id"], one["label"]) == (other["id"], other["label"])
        or any(
            (one["id"], one["label"]) == (third["id"], third["label"])
            and abs(one["similarity"] - third["similarity"]) < CLOSE
            for third in expected["neighbours"]
        )
        for one, other in pairs
    )
    return same and swapped and got["generation"] == expected["generation"]


if __name__ == "__main__":
    main()
