"""One query from photo to answer."""

import math
from collections import defaultdict
from collections.abc import Collection
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from embedder.runtime import Embedder, Photo
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.images import photo_id
from eval.neighbours import Neighbours, nearest
from eval.vote import vote
from index.answer import Answer, Neighbour
from index.manifest import Manifest
from index.segment import check_same_embedder
from index.store import Store


class Index:
    """Labelled references that answer photos: ``Index.open("birds.index").query("photo.jpg")``.

    It stays at the generation that it was opened at, whatever is committed to its folder later.

    Attributes:
        folder: where it lies.
        manifest: what it holds.
    """

    def __init__(self, store: Store) -> None:
        """Use ``open`` instead."""
        self.folder: Path = store.folder
        self.manifest: Manifest = store.manifest
        self.segments = store.segments

    @classmethod
    def open(cls, folder: Path | str) -> "Index":
        """Open an index folder. The network is opened later, by the first photo.

        Raises:
            InputError: there is no index, or it is damaged or of a newer version.
        """
        return cls(Store.open(Path(folder)))

    @property
    def count(self) -> int:
        """How many references there are."""
        return self.manifest.count

    @property
    def fingerprint(self) -> str:
        """Of the embedder that made the vectors."""
        return self.manifest.fingerprint

    @property
    def generation(self) -> int:
        """The number of the commit that was opened."""
        return self.manifest.generation

    @cached_property
    def kept(self) -> NDArray[np.bool_]:
        """Which rows are references ``[N]``: all but the deleted ones."""
        kept = np.ones(self.manifest.rows, bool)
        kept[self.manifest.deleted] = False
        return kept

    @cached_property
    def table(self) -> pa.Table:
        """What is known of each row, the deleted rows among them, with the labels that it was written with."""
        return pa.concat_tables([segment.table for segment in self.segments], promote_options="default")

    def known(self, ids: Collection[str | None]) -> dict[str, dict[str, int]]:
        """Those of some ids that references have: the labels that each has, with the row of each."""
        wanted = pa.array([name for name in ids if name is not None], pa.string())
        rows = np.flatnonzero(pc.is_in(self.table["id"], value_set=wanted).to_numpy(zero_copy_only=False) & self.kept)
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for row, name in zip(rows.tolist(), self.table["id"].take(pa.array(rows)).to_pylist(), strict=True):
            found[name][self.label(row)] = row
        return found

    def label(self, row: int) -> str:
        """The label of one row."""
        return self.manifest.label_changes.get(str(row)) or self.table["label"][row].as_py()

    @cached_property
    def labels(self) -> NDArray[np.object_]:
        """The label of each row ``[N]``, the deleted rows among them."""
        labels = self.table["label"].cast(pa.string()).to_numpy().copy()
        for row, label in self.manifest.label_changes.items():
            labels[int(row)] = label
        return labels

    @cached_property
    def embedder(self) -> Embedder:
        """The network that made the vectors.

        Raises:
            InputError: its file is gone, damaged, or of another network.
        """
        path = self.folder / self.manifest.embedder
        try:
            self.manifest.files[path.name].check(path, limit=math.inf)
        except FileNotFoundError:
            raise InputError(f"{path} is gone; if the index has been given another embedder, open it again") from None
        embedder = Embedder.open(path)
        if embedder.fingerprint != self.fingerprint:
            raise InputError(
                f"{path} is the embedder {embedder.fingerprint}, but the references were made by {self.fingerprint}; "
                "build the index again"
            )
        return embedder

    def query(self, photo: Photo, k: int = 10) -> Answer:
        """Answer one photo by the similarity-weighted vote of its nearest references.

        Where the photo itself is among the references, it is shown and marked, but has no vote as long as another
        neighbour has one: it says what it was labelled, not what it looks like, and its similarity of 1 would drown
        the others.

        Args:
            photo: a file, the bytes of one, or an image that is open already.
            k: neighbours to look at; at most as many as there are references.

        Raises:
            BadImage: the photo cannot be read.
            InputError: ``k`` is below 1, or the index is empty.
        """
        found = self.search(self.embedder.embed([photo]), k)
        own_id = _photo_id(photo)
        neighbours = [
            self._neighbour(rank, int(row), float(similarity), own_id)
            for rank, (row, similarity) in enumerate(zip(found.rows[0], found.similarities[0], strict=True), 1)
        ]
        voters = [neighbour for neighbour in neighbours if not neighbour.same_photo] or neighbours
        similarities = np.array([voter.similarity for voter in voters], np.float32)
        candidates = vote(similarities, [voter.label for voter in voters])
        return Answer(
            query=str(photo) if isinstance(photo, str | Path) else None,
            known=None,
            label=candidates[0].label,
            probability=None,
            candidates=candidates,
            label_set=None,
            coverage=None,
            neighbours=neighbours,
            generation=self.generation,
            fingerprint=self.fingerprint,
        )

    def search(self, queries: EmbeddingSet | NDArray[np.float32], k: int = 10) -> Neighbours:
        """Find the k nearest references of each query, exactly; ties go to the lower row.

        Args:
            queries: vectors of unit length ``[Q, D]``. An array does not say which embedder made it and is trusted.
            k: neighbours a query.

        Returns:
            ``[Q, min(k, count)]`` rows and similarities, nearest first.

        Raises:
            InputError: ``k`` is below 1, the index is empty, or the vectors are of another embedder or dimension, not
                finite or not of unit length.
        """
        if not isinstance(queries, EmbeddingSet):
            queries = EmbeddingSet(queries, pa.table({"id": [""] * len(queries)}), self.fingerprint)
        check_same_embedder(queries, self.fingerprint, self.manifest.dimension)
        if k < 1:
            raise InputError(f"k is {k}; it must be at least 1")
        if self.count == 0:
            raise InputError(f"{self.folder} holds no references; build it again with index.build")
        rows = np.hstack([segment.candidates(queries.vectors, k) for segment in self.segments])
        return self._best(queries.vectors, np.sort(rows), min(k, self.count))

    def thumbnail(self, row: int) -> bytes:
        """The JPEG of one reference, its longer side at most 256 pixels."""
        return next(segment for segment in reversed(self.segments) if segment.start <= row).thumbnail(row)

    def _best(self, queries: NDArray[np.float32], rows: NDArray[np.int64], k: int) -> Neighbours:
        """The k nearest among the candidates ``rows`` ``[Q, C]`` of each query, by similarities free of rounding."""
        best = Neighbours(np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32))
        for place, candidates in enumerate(rows):
            found = nearest(queries[place : place + 1], self.vectors(candidates), k)
            best.rows[place] = candidates[found.rows[0]]
            best.similarities[place] = found.similarities[0]
        return best

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors ``[C, D]`` of some rows, which ascend; deleted rows have theirs."""
        parts = np.split(rows, np.searchsorted(rows, [segment.start for segment in self.segments[1:]]))
        return np.concatenate(
            [segment.vectors[part - segment.start] for part, segment in zip(parts, self.segments, strict=True)]
        )

    def _neighbour(self, rank: int, row: int, similarity: float, own_id: str | None) -> Neighbour:
        """One reference as it stands in an answer."""
        name, path = (self.table[column][row].as_py() for column in ("id", "path"))
        return Neighbour(rank, name, self.label(row), path, similarity, name == own_id, row)


def _photo_id(photo: Photo) -> str | None:
    """What names a photo; None for an open image, whose file is not known."""
    if isinstance(photo, Image.Image):
        return None
    return photo_id(photo if isinstance(photo, bytes) else Path(photo).read_bytes())
