"""A catalog is embedded in parts: what is interrupted goes on where it was, and several processes share the work.

``OUT.parts`` holds an embeddings folder for each ``PART`` photos, until there are all of them and ``OUT`` is made.
Which process has made a part does not matter, so they may be of this machine (``jobs``), of others that see the same
folder (``torchrun``, Ray), or of an earlier run.
"""

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

from tqdm import tqdm

from embedder.batches import Embedded, check_readable, embed_catalog, gathered
from embedder.data.catalog import Catalog, label_codes
from embedder.prefetch import Progress
from embedder.runtime import BATCH, Embedder
from embedder.torchrun import rank_of
from eval.cores import available_cores
from eval.embeddings import EmbeddingSet, join
from eval.errors import InputError
from eval.files import MANIFEST, alone, already_made
from eval.folders import read_manifest
from eval.images import OnBadImage
from eval.stages import stage

PART = 64 * BATCH
"""Photos of a part: so few that little is lost, so many that writing them takes no time."""

LOOK = 0.2
"""Seconds after which the progress of other processes is looked at again."""


@dataclass(frozen=True)
class Share:
    """What one of several processes does: every ``of``-th part, from the ``rank``-th on."""

    rank: int = 0
    of: int = 1

    @classmethod
    def of_this_process(cls) -> "Share":
        """What ``torchrun`` says; everything where there is no word of it.

        Raises:
            InputError: it says something else than two numbers that fit.
        """
        return cls(*rank_of())

    def numbers(self, parts: int) -> range:
        """Which of so many parts."""
        return range(self.rank, parts, self.of)

    def among(self, jobs: int) -> list["Share"]:
        """The shares of some processes that do this one together, however many do the others."""
        return [Share(self.rank + self.of * job, self.of * jobs) for job in range(jobs)]


@dataclass(frozen=True)
class CatalogParts:
    """The parts of one embeddings folder.

    Attributes:
        out: the embeddings folder.
        photos: how many photos there are.
        made_from: what the embeddings folder is made from.
        complete: stop at a photo that cannot be read, instead of leaving it out.
        size: photos of a part.
    """

    out: Path
    photos: int
    made_from: dict[str, Any]
    complete: bool = False
    size: int = PART

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.out.with_name(f"{self.out.name}.parts")

    @property
    def paths(self) -> list[Path]:
        """Their folders, in order."""
        return [self.folder / f"{start // self.size:06d}" for start in range(0, self.photos, self.size)]

    def missing(self, share: Share) -> list[int]:
        """Those of a share that are still to be made.

        Raises:
            InputError: one was made from something else.
        """
        paths = self.paths

        def made(number: int) -> bool:
            made_from = self.of(number)
            return already_made(paths[number], "embeddings", made_from, overwrite=False, complete=self.complete)

        return [number for number in share.numbers(len(paths)) if not made(number)]

    def of(self, number: int) -> dict[str, Any]:
        """What a part is made from."""
        return {**self.made_from, "part": number, "part_size": self.size}

    def rows(self, number: int) -> range:
        """The photos of a part."""
        return range(number * self.size, min((number + 1) * self.size, self.photos))

    def joined(self, root: Path) -> bool:
        """Make the embeddings folder if all parts are there; whether it is there now.

        Raises:
            InputError: no photo could be read.
        """
        with alone(self.folder):
            if not self.missing(Share()):
                try:
                    self._join(root)
                except (InputError, OSError):
                    if not self._made():  # by another machine, which the lock of this one does not keep out
                        raise
        with suppress(OSError):
            self.folder.rmdir()
        return self._made()

    def _join(self, root: Path) -> None:
        """Make the embeddings folder, all parts being there, and remove them."""
        left_out = [photo for path in self.paths for photo in read_manifest(path, "embeddings")["left_out"]]
        if len(left_out) == self.photos:  # whoever mends them wants them to be tried again
            self.remove()
        check_readable(left_out, self.photos, root)
        join(self.paths, self.out, made_from=self.made_from, images_root=root)
        self.remove()

    def _made(self) -> bool:
        """Whether the embeddings folder is there."""
        return already_made(self.out, "embeddings", self.made_from, overwrite=False)

    def remove(self) -> None:
        """Remove them all, those of more photos too, and what was left of one by a process that was killed."""
        for path in (*self.folder.glob(".*.part"), *self.folder.glob(".*.old")):
            shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob("[0-9]" * 6):
            if (path / MANIFEST).exists():  # else it is somebody else's
                with suppress(FileNotFoundError):  # another process removes them, too
                    aside = path.rename(path.with_name(f".{path.name}.{os.getpid()}.old"))
                    shutil.rmtree(aside, ignore_errors=True)
        with suppress(OSError):
            self.folder.rmdir()

    def remove_others(self) -> None:
        """Remove what was made from something else."""
        try:
            self.missing(Share())
        except InputError:
            self.remove()


Engine = Callable[[Embedder, Catalog, CatalogParts, int, Progress], None]
"""What makes all missing parts with some jobs a machine."""


def embed_in_parts(
    embedder: Embedder, catalog: Catalog, parts: CatalogParts, jobs: int = 1, engine: Engine | None = None
) -> bool:
    """Make an embeddings folder, of which parts may be there already, or this process's share of it.

    Args:
        embedder: makes the vectors.
        catalog: the photos.
        parts: what is to be made.
        jobs: processes on this machine that share its cores.
        engine: what has them, such as a cluster; by default this process and its children.

    Returns:
        Whether the folder is there now; if not, other processes are still at work on their shares.

    Raises:
        BadImage: a photo cannot be read, and ``parts.complete``; parts that are done stay.
        InputError: parts were made from something else, or no photo can be read.
    """
    share = Share.of_this_process()
    missing = sum(len(parts.rows(number)) for number in parts.missing(share))
    total = sum(len(parts.rows(number)) for number in share.numbers(len(parts.paths)))
    with tqdm(total=total, initial=total - missing, unit="photo") as progress:
        if engine:
            engine(embedder, catalog, parts, jobs, progress)
        elif jobs == 1:
            make(embedder, catalog, parts, share, progress)
        else:
            _make_together(embedder, catalog, parts, share.among(jobs), progress)
    with stage("join"):
        return parts.joined(catalog.root)


def make(embedder: Embedder, catalog: Catalog, parts: CatalogParts, share: Share, progress: Progress) -> None:
    """Make the missing parts of a share, each from batches that are not held up by its end."""
    missing = parts.missing(share)
    rows = [row for number in missing for row in parts.rows(number)]
    on_bad_image: OnBadImage = "error" if parts.complete else "skip"
    batches = embed_catalog(embedder, catalog.select(rows), on_bad_image, progress=progress)
    for number in missing:
        embeddings, left_out = gathered([*_first(batches, len(parts.rows(number)))])
        embeddings = _with_all_classes(embeddings, catalog)
        with stage("write"):
            embeddings.save(
                parts.paths[number], made_from=parts.of(number), images_root=catalog.root, left_out=left_out
            )


def _with_all_classes(embeddings: EmbeddingSet, catalog: Catalog) -> EmbeddingSet:
    """The same, its labels in the order of all classes: joined in whatever parts, they are then in the same order."""
    place = embeddings.table.column_names.index("label")
    label = label_codes(embeddings.table["label"], catalog.classes)
    return replace(embeddings, table=embeddings.table.set_column(place, "label", label))


def _first(batches: Iterator[Embedded], photos: int) -> Iterator[Embedded]:
    """The batches of the next photos."""
    while photos > 0:
        batch = next(batches)
        photos -= len(batch.rows) + len(batch.left_out)
        yield batch


class _Count:
    """Progress that other processes make, and word to them that they may stop."""

    def __init__(self, context: Any) -> None:
        self._value = context.Value("q", 0)
        self._stopped = context.Event()

    def update(self, photos: int) -> None:
        """So many more are done.

        Raises:
            InputError: nobody waits for more.
        """
        if self._stopped.is_set():
            raise InputError("another process has failed")
        with self._value.get_lock():
            self._value.value += photos

    def stop(self) -> None:
        """Let the processes end at their next batch."""
        self._stopped.set()

    @property
    def photos(self) -> int:
        """How many are done."""
        return int(self._value.value)


_count: Progress


def _take(count: _Count) -> None:
    """Hold what a process counts in, which can only be handed over when it begins; and end with whoever began it."""
    global _count  # noqa: PLW0603
    _count = count
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait until the process that has begun this one is gone, however it has ended."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _make_together(
    embedder: Embedder, catalog: Catalog, parts: CatalogParts, shares: list[Share], progress: Progress
) -> None:
    """Make the missing parts of some shares, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    count, cores = _Count(context), max(1, available_cores() // len(shares))
    with ProcessPoolExecutor(len(shares), context, initializer=_take, initargs=(count,)) as pool:
        given = embedder.path, embedder.fingerprint, cores, catalog, parts
        work = [pool.submit(_make_one, *given, share) for share in shares]
        _follow(work, count, progress)


def _follow(work: list[Future[None]], count: _Count, progress: Progress) -> None:
    """Wait for processes, and tell how far they are; where one fails, the others stop."""
    told, waiting = 0, set(work)
    try:
        while waiting:
            with stage("wait for the jobs"):
                done, waiting = wait_for(waiting, timeout=LOOK)
            progress.update(count.photos - told)
            told = count.photos
            for one in done:
                one.result()
    except BrokenProcessPool:
        raise InputError(
            "a process was killed, perhaps for want of memory; what is done is kept, so give the command again, with "
            "fewer jobs"
        ) from None
    except BaseException:
        count.stop()
        raise


def _make_one(file: Path, fingerprint: str, cores: int, catalog: Catalog, parts: CatalogParts, share: Share) -> None:
    """Make the missing parts of a share, in a process of its own."""
    embedder = Embedder.open(file, cores)
    if embedder.fingerprint != fingerprint:
        raise InputError(f"{file} has become another embedder while photos are embedded; run the command again")
    make(embedder, catalog, parts, share, _count)
