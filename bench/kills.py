"""Is an index whole whatever happens? Writers are killed at random moments while readers ask all the while.

    python -m bench.kills [--kills 300] [--readers 1]

A process adds, removes, relabels and merges references, rebuilds the index as another kind and undoes, one command
after the other, each by a rule that depends on the generation alone; so it is known what every generation holds. It is
killed (SIGKILL) after a random time, again and again. After each kill the index must open, hold exactly what its
generation holds, pass index.check, and answer as a plain search does. Readers open and search it all the time; none may
fail, or find anything but what its generation holds.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa

from eval.embeddings import EmbeddingSet
from index import Index
from index.add import add
from index.check import main as check
from index.commit import staging, writing
from index.journal import Change
from index.manifest import Manifest
from index.merge import main as merge
from index.rebuild import main as rebuild
from index.relabel import main as relabel
from index.remove import main as remove
from index.segment import SegmentWriter
from index.source import photos_source
from index.undo import main as undo

PHOTOS, DIMENSION, LABELS = 400, 32, 12
DRAWN = np.random.default_rng(0).normal(size=(PHOTOS, DIMENSION))
VECTORS = (DRAWN / np.linalg.norm(DRAWN, axis=1, keepdims=True)).astype(np.float32)
KINDS = ["flat", "hnsw", "ivf", "sq"]
OTHER = range(380, 390)
"""The photos of the index that is merged in."""

Held = dict[int, str]
"""What a generation holds: labels by photo."""


class Script:
    """What is done to each generation, and what every generation holds."""

    def __init__(self) -> None:
        self.states: list[Held] = [{}, first_state()]
        self.steps: list[tuple[str, tuple]] = [("", ()), ("build", ())]

    def reach(self, generation: int) -> None:
        """Work out the steps up to one from a generation."""
        while len(self.steps) <= generation + 1:
            self._extend()

    def _extend(self) -> None:
        """Choose the step from the last generation: the first of many drawn ones that changes anything."""
        now, before = self.states[-1], self.states[-2]
        dice = random.Random(len(self.states))
        while True:
            kind = dice.choice(["add", "add", "add", "remove", "drop", "relabel", "merge", "undo", "rebuild"])
            photo, label = dice.randrange(PHOTOS), f"label-{dice.randrange(LABELS)}"
            after = dict(now)
            arguments: tuple[Any, str] = (photo, label)
            if kind == "add":
                photos = dice.sample(range(PHOTOS), dice.randint(1, 30))
                arguments = (photos, label)
                after = {**dict.fromkeys(photos, label), **now}
            elif kind == "remove":
                after = {one: name for one, name in now.items() if name != label}
            elif kind == "drop":
                after.pop(photo, None)
            elif kind == "relabel" and photo in now:
                after[photo] = label
            elif kind == "merge":
                after = {**dict.fromkeys(OTHER, "merged"), **now}
            elif kind == "rebuild":
                arguments = (dice.choice(KINDS), "")
            elif kind == "undo" and len(self.states) > 2:
                after = before
            if (after != now or kind == "rebuild") and after:
                self.steps.append((kind, arguments))
                self.states.append(after)
                return


def first_state() -> Held:
    """What the first generation holds."""
    return {photo: f"label-{photo % LABELS}" for photo in range(100)}


def embedded(photos: list[int] | range, labels: list[str]) -> EmbeddingSet:
    """Some photos with their vectors."""
    table = {
        "id": [f"{photo:032x}" for photo in photos],
        "label": pa.array(labels).dictionary_encode(),
        "path": [f"{photo}.jpg" for photo in photos],
    }
    return EmbeddingSet(VECTORS[list(photos)], pa.table(table), "f")


def build(folder: Path, photos: EmbeddingSet) -> None:
    """An index of vectors; its network is never run."""
    with staging(folder) as new_files, SegmentWriter(new_files, "f", DIMENSION) as references:
        references.add(photos, [b""] * len(photos))
        (new_files / "embedder-0.onnx").write_bytes(b"a network")
        with writing(folder) as writer:
            after = Manifest(
                fingerprint="f",
                dimension=DIMENSION,
                segments=[references.finish(writer.generation)],
                embedder="embedder-0.onnx",
                trained_on=None,
                images_root=str(folder.parent),
                made_from={},
            )
            writer.commit(after, Change("build"), new_files)


def write(folder: Path, other: Path) -> None:
    """Go on with the script until killed."""
    script = Script()
    while True:
        generation = Index.open(folder).generation
        script.reach(generation)
        kind, (what, label) = script.steps[generation + 1]
        if kind == "add":
            embedded(what, [label] * len(what)).save(
                folder.parent / "vectors", made_from={}, images_root=folder.parent, left_out=[]
            )
            opened = Index.open(folder)
            source = photos_source(opened, str(folder.parent / "vectors"), "all", "auto", "first", "skip")
            add(opened, source, Change("add"), on_conflict="first", relabel=False, dry_run=False)
        elif kind == "remove":
            remove(folder, label=label)
        elif kind == "drop":
            remove(folder, id=f"{what:032x}")
        elif kind == "relabel":
            relabel(folder, id=f"{what:032x}", to=label)
        elif kind == "merge":
            merge(folder, other, on_conflict="first")
        elif kind == "undo":
            undo(folder)
        elif kind == "rebuild":
            rebuild(folder, kind=what)


def verify(folder: Path, script: Script, queries: int) -> int:
    """Open the index and compare it with what its generation holds, by its table and by searching; its generation."""
    index = Index.open(folder)
    script.reach(index.generation)
    state = script.states[index.generation]
    ids = [int(name, 16) for name in index.table["id"].to_pylist()]
    rows = np.flatnonzero(index.kept).tolist()
    held = {ids[row]: index.label(row) for row in rows}
    if held != state or len(rows) != len(state):
        raise AssertionError(f"generation {index.generation} holds {len(rows)} references, not what it should")
    k = min(5, len(state))
    asked = np.random.default_rng(index.generation).integers(0, PHOTOS, queries)
    photos = np.array(sorted(state))
    found = index.search(VECTORS[asked], k, exact=True)
    nearly = index.search(VECTORS[asked], k)
    if not (np.isin(nearly.rows, rows).all() and (nearly.similarities <= found.similarities + 1e-6).all()):
        raise AssertionError(f"generation {index.generation} proposes what is not there")
    for place, photo in enumerate(asked):
        similarities = VECTORS[photos].astype(np.float64) @ VECTORS[photo].astype(np.float64)
        expected = photos[np.argsort(-similarities, kind="stable")[:k]].tolist()
        if [ids[row] for row in found.rows[place]] != expected:
            raise AssertionError(f"generation {index.generation} answers otherwise than a plain search")
    return index.generation


def read(folder: Path, report: Path) -> None:
    """Verify the index again and again; what fails is written down."""
    script = Script()
    while True:
        try:
            verify(folder, script, 2)
            with report.open("ab") as file:  # a byte each: the reader is killed at any moment
                file.write(b".")
        except Exception as error:  # whatever it is, it is what this script looks for
            report.with_suffix(".failed").write_text(repr(error))


def forked(work: Callable[..., None], *arguments: Any) -> int:
    """Do some work in a process of its own, silently; the process's number."""
    child = os.fork()
    if child == 0:
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                work(*arguments)
        finally:
            os._exit(1)  # nothing of the parent's is to be tidied up here
    return child


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--readers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice, script = random.Random(options.seed), Script()
    faiss.omp_set_num_threads(1)  # threads do not survive a fork
    with tempfile.TemporaryDirectory() as temporary:
        folder, other = Path(temporary, "a.index"), Path(temporary, "other.index")
        build(folder, embedded(range(100), list(first_state().values())))
        build(other, embedded(OTHER, ["merged"] * len(OTHER)))
        reports = [Path(temporary, f"reader-{number}.txt") for number in range(options.readers)]
        readers = [forked(read, folder, report) for report in reports]
        generation, unfinished, broken = 1, 0, []
        for kill in range(options.kills):
            writer = forked(write, folder, other)
            time.sleep(dice.uniform(0, 0.25))
            os.kill(writer, signal.SIGKILL)
            _, status = os.waitpid(writer, 0)
            try:
                if not os.WIFSIGNALED(status):
                    raise AssertionError("the writer ended by itself")
                unfinished += any(folder.glob("staging-*"))
                with redirect_stdout(StringIO()):
                    check(folder)
                now = verify(folder, script, 5)
                if now < generation:
                    raise AssertionError(f"generation {generation} has been lost")
                generation = now
            except Exception as error:  # likewise
                broken.append(f"kill {kill}: {error!r}")
        for reader in readers:
            os.kill(reader, signal.SIGKILL)
            os.waitpid(reader, 0)
        asked = sum(report.stat().st_size for report in reports if report.exists())
        failed = [
            report.with_suffix(".failed").read_text() for report in reports if report.with_suffix(".failed").exists()
        ]
    print(
        f"{options.kills} kills, {options.kills - len(broken)} whole afterwards; {unfinished} in the middle of a "
        f"change; {generation} generations; {asked} readings, {len(failed)} readers failed"
    )
    print(*broken, *failed, sep="\n")
    sys.exit(bool(broken or failed))


if __name__ == "__main__":
    main()
