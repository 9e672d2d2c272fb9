"""One query from photo to answer."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from embedder.runtime import Embedder, Photo
from eval.embeddings import EmbeddingSet, unit_vectors
from eval.errors import InputError
from eval.groups import group_codes
from eval.images import Box, open_image, open_photo, photo_id
from eval.neighbours import Neighbours
from eval.rows import taken
from eval.stages import stage
from eval.vote import VOTERS
from index.answer import Answer, Asked, Neighbour
from index.calibration import Calibration, class_codes, split_scores, with_joined
from index.judging import Judge, uncalibrated
from index.manifest import Manifest
from index.remarks import remarks
from index.searcher import Searcher
from index.segment import check_dimension, check_same_embedder
from index.spellings import Spellings
from index.store import Store, open_embedder
from index.taxonomy import Taxonomy, taxonomy
from index.vectors import directions


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
        self._scores = store.scores
        self._searcher = Searcher(store)
        self._read = store.vectors.at
        self.verify = store.verify

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
        return self.manifest.rows - len(self.manifest.deleted)

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

    def known(self, ids: Collection[str | None] | pa.Array | pa.ChunkedArray) -> dict[str, dict[str, int]]:
        """Those of some ids that references have: the labels that each has, with the row of each."""
        wanted = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else pa.array(ids, pa.string())
        if wanted.null_count == len(wanted):
            return {}  # which a look at each reference would find, too
        own, wanted = (column.cast(pa.large_string()) for column in (self.table["id"], wanted))  # others hold 2 GB
        rows = np.flatnonzero(pc.is_in(own, value_set=wanted, skip_nulls=True).to_numpy() & self.kept)
        names, labels = (taken(self.table[name], rows).cast(pa.string()).to_pylist() for name in ("id", "label"))
        if changes := self.manifest.label_changes:
            labels = [changes.get(str(row), label) for row, label in zip(rows.tolist(), labels, strict=True)]
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for row, name, label in zip(rows.tolist(), names, labels, strict=True):
            found[name][label] = row
        return found

    def label(self, row: int) -> str:
        """The label of one row."""
        changed = self.manifest.label_changes.get(str(row))
        return self.table["label"][row].as_py() if changed is None else changed

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
        return open_embedder(self.folder, self.manifest)

    def query(self, photo: Photo, k: int = 10, box: Box | None = None) -> Answer:
        """Answer one photo by the similarity-weighted vote of its nearest references.

        The ``VOTERS`` nearest vote, whatever ``k`` is.

        Where the photo itself is among the references, it is shown and marked, but has no vote as long as another
        neighbour has one: it says what it was labelled, not what it looks like, and its similarity of 1 would drown
        the others.

        Args:
            photo: a file, the bytes of one, or an image that is open already.
            k: neighbours to show; at most as many as there are references.
            box: left, top, right, bottom of the subject in pixels of the upright photo; none for all of it.

        Raises:
            BadImage: the photo, or its box, cannot be read.
            InputError: ``k`` is below 1, or the index is empty.
        """
        own_id, image = self._opened(photo, box)
        pixels = self.embedder.preprocessing(image, self.embedder.cores, boxed=box is not None)
        (vector,) = self.embedder.vectors(pixels[None])
        return replace(self.judge(vector, k, _name(photo), {own_id}), quality=self._quality(_name(photo), image))

    def query_together(self, photos: Sequence[Photo], k: int = 10) -> Answer:
        """Answer several photos of one subject as one query.

        Their evidence is pooled: a reference's similarity is the mean of its cosines with all of them. A calibration is
        of single photos, whose best similarities are higher than such means: several photos are the more readily called
        unknown, and the less so the more alike they are.

        Args:
            photos: at least one.
            k: as for ``query``.

        Raises:
            BadImage: one of the photos cannot be read.
            InputError: as for ``query``, or there are no photos.
        """
        if not photos:
            raise InputError("there are no photos to answer together; give one at least")
        own_ids, images = zip(*map(self._opened, photos), strict=True)
        vector = self.embedder.embed(images).mean(axis=0, dtype=np.float64)
        names = [_name(photo) for photo in photos]
        query = None if None in names else ", ".join(map(str, names))
        pairs = zip(names, images, strict=True)
        remarks = [remark for name, image in pairs for remark in self._quality(name, image)]
        return replace(self.judge(vector, k, query, {*own_ids}), quality=remarks)

    def judge(
        self,
        vector: NDArray[np.floating],
        k: int = 10,
        query: str | None = None,
        own_ids: Collection[str | None] = frozenset(),
    ) -> Answer:
        """Answer a photo whose vector is known; see ``query``.

        Args:
            vector: ``[D]``, by the embedder of the index, of unit length; or the mean of several such.
            k: neighbours to show.
            query: what the answer says that was asked.
            own_ids: name the photos, to know them among the references.

        Raises:
            InputError: as for ``search``, or the photos cancel each other out.
        """
        with stage("answer"):
            (answer,) = self.judge_all(vector[None], [own_ids], k)
        return replace(answer, query=query)

    def judge_all(
        self, vectors: NDArray[np.floating], own_ids: Sequence[Collection[str | None]], k: int = 10
    ) -> list[Answer]:
        """Answer photos whose vectors ``[Q, D]`` are known, by one search; ``own_ids`` are of each. See ``judge``.

        Raises:
            InputError: as for ``judge``.
        """
        if k < 1:
            raise InputError(f"k is {k}; it must be at least 1")
        units, lengths = directions(vectors)
        found = self.search(units, self._wanted(k) + max(map(self.most_rows, own_ids), default=0))
        each = zip(units, lengths[:, 0].tolist(), own_ids, strict=True)
        asked = [Asked(*one, k) for one in each]
        near = map(self.neighbours, found.rows, found.similarities * lengths, own_ids)
        return list(map(self._judged, near, asked))

    def _judged(self, neighbours: list[Neighbour], asked: Asked) -> Answer:
        """The answer to what is asked, of which the nearest references are known."""
        answer = Answer(
            neighbours=neighbours[: asked.k],
            generation=self.generation,
            fingerprint=self.fingerprint,
            calibration_stale=None if self.calibration is None else self.calibration.is_stale(self.manifest),
        )
        voters = [neighbour for neighbour in neighbours if not neighbour.same_photo] or neighbours
        if self._judge is None:
            return uncalibrated(answer, voters[:VOTERS])
        apart = self._judge.calibration.by != "neighbours" and not voters[0].same_photo
        own = self._rows_of(asked.own_ids) if apart and asked.own_ids else []
        return self._judge.judged(answer, voters, asked.unit * np.float32(asked.length), own)

    def _wanted(self, k: int) -> int:
        """How many neighbours an answer takes that shows ``k``, besides the photo itself."""
        return max(k, VOTERS if self._judge is None else self._judge.voters)

    def most_rows(self, ids: Collection[str | None]) -> int:
        """How many references some ids may name, at most."""
        return len(self._rows_of(ids)) if self.manifest.shared_ids else len(ids)

    def _rows_of(self, ids: Collection[str | None]) -> list[int]:
        """The rows of the references that some ids name."""
        return [row for rows in self.known(ids).values() for row in rows.values()]

    def _opened(self, photo: Photo, box: Box | None = None) -> tuple[str | None, Image.Image]:
        """What names a photo, and how it looks; no name for an open image, whose file is not known."""
        enough = self.embedder.preprocessing.enough
        if isinstance(photo, str | Path):
            return open_photo(Path(photo), box, enough)
        return photo_id(photo, box) if isinstance(photo, bytes) else None, open_image(photo, box, enough)

    def _quality(self, name: str | None, image: Image.Image) -> list[str]:
        """What is wrong with a photo itself."""
        floor = None if self.calibration is None else self.calibration.least_sharp
        return remarks(name, image, self.embedder.preprocessing.seen, floor)

    @cached_property
    def calibration(self) -> Calibration | None:
        """What may be promised about answers; None while the index is uncalibrated."""
        return None if self.manifest.calibration is None else Calibration.of(self.manifest.calibration)

    @cached_property
    def _judge(self) -> Judge | None:
        """What answers are judged by; None while the index is uncalibrated."""
        if self.calibration is None or self._scores is None:
            return None
        scores, joined = split_scores(self._scores)
        groups = with_joined(group_codes(self.table, self.manifest.shared_ids), *joined)
        return Judge(self.calibration, scores, *self.classes, groups, self.taxa, self._read)

    @cached_property
    def classes(self) -> tuple[list[str], NDArray[np.int64]]:
        """All labels, and the place of each row's among them."""
        return class_codes(self.labels, self.kept)

    @cached_property
    def spellings(self) -> Spellings:
        """Its labels, found however they are spelt in Unicode."""
        return Spellings(self.classes[0])

    @cached_property
    def taxa(self) -> Taxonomy:
        """The genus, family and order of each label, as far as the references say."""
        return taxonomy(self.table, *self.classes)

    def search(self, queries: EmbeddingSet | NDArray[np.float32], k: int = 10, *, exact: bool = False) -> Neighbours:
        """Find the k nearest references of each query; ties go to the lower row.

        Where the index has a search file, that proposes candidates, and some of the nearest may be missed: how many,
        the manifest says (``search.recall``). Similarities are exact in any case.

        Args:
            queries: vectors of unit length ``[Q, D]``. An array does not say which embedder made it and is trusted.
            k: neighbours a query.
            exact: compare every reference, also where there is a search file.

        Returns:
            ``[Q, min(k, count)]`` rows and similarities, nearest first.

        Raises:
            InputError: ``k`` is below 1, the index is empty, or the vectors are of another embedder or dimension, not
                finite or not of unit length.
        """
        if isinstance(queries, EmbeddingSet):
            check_same_embedder(queries, self.fingerprint, self.manifest.dimension)
            vectors = queries.vectors
        else:
            vectors = unit_vectors(queries)
            check_dimension(vectors, self.manifest.dimension)
        if k < 1:
            raise InputError(f"k is {k}; it must be at least 1")
        if self.count == 0:
            raise InputError(f"{self.folder} holds no references; add some with index.add")
        with stage("search"):
            return self._searcher.search(vectors, min(k, self.count), exact)

    def thumbnail(self, row: int) -> bytes:
        """The JPEG of one reference, its longer side at most 256 pixels."""
        return next(segment for segment in reversed(self.segments) if segment.start <= row).thumbnail(row)

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors ``[C, D]`` of some rows; deleted rows have theirs."""
        return self._read(rows)

    def neighbours(
        self, rows: NDArray[np.int64], similarities: NDArray[np.floating], own_ids: Collection[str | None]
    ) -> list[Neighbour]:
        """References as they stand in an answer, nearest first."""
        found = enumerate(zip(rows.tolist(), similarities.tolist(), strict=True), 1)
        return [self._neighbour(rank, row, similarity, own_ids) for rank, (row, similarity) in found]

    def _neighbour(self, rank: int, row: int, similarity: float, own_ids: Collection[str | None]) -> Neighbour:
        """One reference as it stands in an answer."""
        name, path = (self.table[column][row].as_py() for column in ("id", "path"))
        return Neighbour(rank, name, self.label(row), path, similarity, name in own_ids, row)


def _name(photo: Photo) -> str | None:
    """What an answer calls a photo; None for one that came as bytes or as an image."""
    return str(photo) if isinstance(photo, str | Path) else None
