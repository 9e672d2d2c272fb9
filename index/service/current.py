"""The generation that answers; another one is taken up when it is committed, without a failed request."""

import logging
import math
import threading
import time
from asyncio import Future
from bisect import bisect_left
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from embedder.places import PlaceShares
from embedder.runtime import Embedder
from eval.errors import InputError
from eval.files import MANIFEST
from index.info import references_of_each
from index.manifest import Manifest
from index.map import read_map
from index.search import Index
from index.store import open_embedder

LOG = logging.getLogger("fieldmark.service")

TRY_AGAIN = 5.0
"""Seconds after which an index that could not be opened is tried again."""

TRIES = 3
"""How often a generation is opened anew that writers have replaced meanwhile."""

TAUGHT_FILE = r"(^|/)[0-9a-f]{32}\.[a-z]+$"
"""How the path of a photo that was taught ends: its file is named by what is in it."""

Stamp = tuple[int, int, int]


class Snapshot:
    """One generation with what requests ask of it. Requests that have begun keep theirs.

    Attributes:
        index: opened at this generation, its network too.
        generation: its number.
        places: of each row in the plane ``[N, 2]``, as far as there is a map; None where there is none.
        review: what is worth a person's look, in the making or made; None while nobody has asked.
        map: the answer with it; likewise.

    Args:
        index: likewise.
    """

    def __init__(self, index: Index) -> None:
        self.index = index
        self.generation = index.generation
        self.places = read_map(index)
        self.review: Future[dict[str, Any] | None] | None = None
        self.map: JSONResponse | None = None
        if index.count:  # what the first answer would make is made before it
            index.judge(index.vectors(np.flatnonzero(index.kept)[:1])[0])
        self.rows_of("")
        _ = self.taught

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many references each label has."""
        return references_of_each(self.index)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The rows of all references, ascending."""
        return np.flatnonzero(self.index.kept)

    @cached_property
    def taught(self) -> frozenset[str]:
        """The ids of references whose files are named as those that are taught."""
        named = pc.match_substring_regex(self.index.table["path"], TAUGHT_FILE)
        return frozenset(self.index.table["id"].filter(pc.and_(named, pa.array(self.index.kept))).to_pylist())

    @cached_property
    def _order(self) -> NDArray[np.uint64]:
        """All rows, in the order of their ids."""
        return pc.sort_indices(self.index.table["id"]).to_numpy()

    def label(self, text: str) -> str:
        """A label that is asked for, as references have it.

        Raises:
            HTTPException: no reference has it.
        """
        known = self.index.spellings.find(text)
        if known is None:
            raise HTTPException(404, f"no reference has the label {text[:100]!r}; /labels lists those there are")
        return known

    def rows_of(self, name: str, label: str | None = None) -> list[int]:
        """The references that an id names, and a label where one is given."""
        ids, order, found = self.index.table["id"], self._order, []
        place = bisect_left(order, name, key=lambda row: ids[int(row)].as_py())
        while place < len(order) and ids[int(order[place])].as_py() == name:
            found.append(int(order[place]))
            place += 1
        found = [row for row in sorted(found) if self.index.kept[row]]
        known = label and self.index.spellings.find(label)
        return found if label is None else [row for row in found if self.index.label(row) == known]


class Current:
    """What is current of an index folder.

    Attributes:
        snapshot: the newest generation that could be opened.
        damage: what is damaged of it; None where nothing is known to be.

    Args:
        folder: the index.
        cores: how many the network may use.
        on_change: is told of each generation that is taken up.

    Raises:
        InputError: there is no index, or it is damaged.
    """

    def __init__(self, folder: Path, cores: int, on_change: Callable[[Snapshot], None] = lambda _: None) -> None:
        self._folder, self._cores, self._on_change = folder, cores, on_change
        self._threads = ThreadPoolExecutor(1, "opening")
        self._whole: set[str] = set()
        self._busy, self._checking = threading.Lock(), threading.Lock()
        self._failed_at = 0.0
        self._refused: str | None = None
        self.damage: str | None = None
        self._stamp = _stamp(folder)
        self.snapshot = self._opened(None)
        self._taken_up()

    @property
    def problem(self) -> str | None:
        """Why a newer generation could not be opened, or what is damaged; None where all is well."""
        return self._refused or self.damage

    def now(self) -> Snapshot:
        """The generation to answer by. Where another has been committed, that is opened meanwhile."""
        waited = self._refused is None or time.monotonic() - self._failed_at > TRY_AGAIN
        other = self._refused is not None or _stamp(self._folder) != self._stamp
        if other and waited and self._busy.acquire(blocking=False):
            self._threads.submit(self._reopen_once)
        return self.snapshot

    def newest(self) -> Snapshot:
        """The generation that is current now, opened before this returns: no matter for the event loop."""
        self._threads.submit(self._reopen).result()
        return self.snapshot

    def close(self) -> None:
        """Let go of the thread, once what it has begun is done."""
        self._threads.shutdown()

    def _reopen_once(self) -> None:
        """Take up another generation, as the only one who does."""
        try:
            self._reopen()
        finally:
            self._busy.release()

    def _reopen(self) -> None:
        """Take up what is current, where that is another generation and can be opened."""
        stamp = _stamp(self._folder)
        if stamp == self._stamp:
            self._refused = None  # it was away, and is back
            return
        try:
            self.snapshot = self._opened(self.snapshot)
        except (InputError, OSError) as error:
            self._failed_at = time.monotonic()
            self._refused = f"generation {self.snapshot.generation} goes on answering: {error}"
            LOG.error("a newer generation cannot be opened", extra={"reason": str(error)})
            return
        self._stamp, self._refused, self.damage = stamp, None, None
        self._taken_up()

    def _opened(self, before: Snapshot | None) -> Snapshot:
        """The current generation, with its network; again where writers have replaced it meanwhile."""
        for last in (False,) * (TRIES - 1) + (True,):
            index = Index.open(self._folder)
            try:
                index.embedder = self._embedder(index, before)
                return Snapshot(index)
            except (InputError, OSError):
                if last or Manifest.read(self._folder).generation == index.generation:
                    raise
        raise AssertionError

    def _embedder(self, index: Index, before: Snapshot | None) -> Embedder:
        """The network of an index: the one that is open already, where it is the same file."""
        name = index.manifest.embedder
        if before and before.index.manifest.files.get(name) == index.manifest.files[name]:
            return before.index.embedder
        embedder = open_embedder(index.folder, index.manifest, self._cores)
        # The first photo takes longer than the others.
        embedder.vectors(np.zeros((1, *embedder.preprocessing.shape), np.uint8))
        PlaceShares.open(embedder)  # an explanation may be asked for when this file is no longer there
        return embedder

    def _taken_up(self) -> None:
        """Tell of a generation, and read its files through for damage where that has not been done."""
        self._on_change(self.snapshot)
        manifest = self.snapshot.index.manifest
        threading.Thread(target=self._check, args=[manifest], name="checking", daemon=True).start()

    def _check(self, manifest: Manifest) -> None:
        """Verify the checksums of files that are new. One that is gone belongs to a generation that is over."""
        with self._checking:
            for name in manifest.files.keys() - self._whole:
                with suppress(FileNotFoundError):
                    try:
                        manifest.files[name].check(self._folder / name, limit=math.inf)
                        self._whole.add(name)
                    except InputError as error:
                        self.damage = str(error)
                        LOG.error("a file of the index is damaged", extra={"reason": str(error)})
            self._whole &= manifest.files.keys()


def _stamp(folder: Path) -> Stamp:
    """What changes with every commit, and is quick to look at; all 0 where the index is not there."""
    try:
        found = (folder / MANIFEST).stat()
    except OSError:
        return (0, 0, 0)
    return found.st_ino, found.st_mtime_ns, found.st_size
