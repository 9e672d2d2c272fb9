"""What an index folder holds: ``manifest.json``, which names every other file and is the point of commit."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from eval.folders import FORMATS, File, checksum, known_part, read_manifest

KIND = "index"


@dataclass(frozen=True)
class Segment:
    """References that were written together; its files never change.

    Attributes:
        vectors: file of a FAISS flat inner-product index; empty where they are in Milvus.
        references: file of an Arrow table, one row a vector.
        thumbnails: file of JPEGs end to end; the table's ``thumbnail_offset`` and ``thumbnail_size`` find them.
        count: rows in the files, those among them that have been deleted since.
    """

    vectors: str
    references: str
    thumbnails: str
    count: int

    @classmethod
    def named(cls, number: int, count: int) -> "Segment":
        """The segment that generation ``number`` writes."""
        names = (f"vectors-{number:06}.faiss", f"references-{number:06}.feather", f"thumbnails-{number:06}.bin")
        return cls(*names, count)

    @property
    def files(self) -> tuple[str, ...]:
        """The names of its files."""
        return tuple(filter(None, (self.vectors, self.references, self.thumbnails)))


@dataclass(frozen=True)
class Collection:
    """Where in Milvus the vectors of an index are.

    Attributes:
        address: a file of Milvus Lite or the address of a server, without a password.
        name: of the collection; empty while it has not been made.
        index: what Milvus calls the way that it is searched.
    """

    address: str
    name: str = ""
    index: str = ""


@dataclass(frozen=True, kw_only=True)
class Search:
    """How queries are searched for, and what that costs against exact search.

    Attributes:
        kind: what was asked for: ``auto``, a name of ``index.kinds.KINDS`` or one of FAISS's factory strings.
        target_recall: the share of the ten nearest that was to be found.
        max_memory: bytes that the search may keep in memory; None for any number.
        factory: FAISS's name of the structure that proposes candidates, or Milvus's; None for exact search, which needs
            none. What follows is about the structure.
        file: it; None where it is in Milvus.
        rows: how many of the index's rows, from the first on, it answers for; those after it are searched exactly.
        count: how many it holds: those that were not deleted when it was made.
        begun: the ``rows`` that it was trained on and first made of.
        parameters: the effort of its search, by FAISS's name or Milvus's, such as ``{"nprobe": 16}``.
        candidates: how many it proposes for ten neighbours; their similarities are then taken from the vectors.
        recall: the share of the ten nearest that it finds for photos like the references; None while not measured.
        far_recall: the same for photos that are further from the references than these from each other; this is what is
            tuned to the target.
        queries: how many references that was measured with; FAISS's structure did not hold them yet.
        milliseconds: that one query took, on one core.
        exact_milliseconds: that exact search took.
    """

    kind: str = "auto"
    target_recall: float = 0.99
    max_memory: int | None = None
    factory: str | None = None
    file: str | None = None
    rows: int = 0
    count: int = 0
    begun: int = 0
    parameters: dict[str, int] = field(default_factory=dict)
    candidates: int = 0
    recall: float | None = None
    far_recall: float | None = None
    queries: int = 0
    milliseconds: float | None = None
    exact_milliseconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One generation of an index.

    Attributes:
        generation: counts the commits, from 1; filled in by a commit, like ``created``, ``count``, ``files`` and
            ``journal``.
        created: when this generation was committed, in UTC as ISO 8601.
        fingerprint: of the embedder that made the vectors.
        dimension: length D of a vector.
        count: references that are not deleted.
        segments: in the order that rows are counted in.
        milvus: where the vectors of segments are that have no file of them.
        deleted: rows that are no longer references, ascending, counted over all segments. Rows, not ids: a photo may be
            removed and added again, and two rows may share an id.
        label_changes: new labels by row, counted likewise; JSON wants text for the row.
        shared_ids: whether rows may share an id, because several labels of one photo were kept by choice.
        embedder: file of the network.
        trained_on: file with the ids of the photos that it was trained on; None where that is not known.
        search: how queries are searched for.
        calibration: what turns similarities into probabilities; None while uncalibrated.
        asked: what the calibration that was there before was asked for, kept while there is none: ``by``,
            ``false_accepts``, ``coverage`` and ``sure``.
        changes: how many references have come, gone or been relabelled since it was made.
        images_root: the folder that paths are relative to.
        map: file with a place in the plane for each row that it was made of; None where there is none.
        left_out: photos that could not be read, each as ``{"path": ..., "reason": ...}``.
        made_from: what the index was built from, to know whether building it again would change anything.
        files: how to tell that each file is whole, by name.
        journal: how many bytes of the journal belong to this generation and those before it.
    """

    generation: int = 0
    created: str = ""
    fingerprint: str
    dimension: int
    count: int = 0
    segments: list[Segment]
    milvus: Collection | None = None
    deleted: list[int] = field(default_factory=list)
    label_changes: dict[str, str] = field(default_factory=dict)
    shared_ids: bool = False
    embedder: str
    trained_on: str | None
    search: Search = field(default_factory=Search)
    calibration: dict[str, Any] | None = None
    asked: dict[str, Any] = field(default_factory=dict)
    changes: int = 0
    images_root: str
    map: str | None = None
    left_out: list[dict[str, str]] = field(default_factory=list)
    made_from: dict[str, Any]
    files: dict[str, File] = field(default_factory=dict)
    journal: int = 0

    @property
    def rows(self) -> int:
        """How many rows the segments have, the deleted ones among them."""
        return sum(segment.count for segment in self.segments)

    def names(self) -> Iterator[str]:
        """Every file that this generation needs."""
        yield self.embedder
        if self.trained_on:
            yield self.trained_on
        if self.calibration:
            yield self.calibration["file"]
        if self.search.file:
            yield self.search.file
        if self.map:
            yield self.map
        for segment in self.segments:
            yield from segment.files

    def to_json(self) -> dict[str, Any]:
        """The contents of ``manifest.json``, with a checksum over all of it."""
        contents = {"format": FORMATS[KIND], "kind": KIND}
        contents |= {one.name: getattr(self, one.name) for one in fields(self)}  # lists may be long
        contents["segments"] = [asdict(segment) for segment in self.segments]
        contents["milvus"] = None if self.milvus is None else asdict(self.milvus)
        contents["search"] = asdict(self.search)
        contents["files"] = {name: asdict(file) for name, file in self.files.items()}
        return {**contents, "checksum": checksum(contents)}

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read the current generation of an index folder.

        Raises:
            InputError: the folder holds no index, or one that is damaged or of a newer version.
        """
        return cls.from_json(read_manifest(folder, KIND))

    @classmethod
    def from_json(cls, contents: dict[str, Any]) -> "Manifest":
        """The manifest in what ``eval.folders`` has read."""
        contents = {name: value for name, value in contents.items() if name not in {"format", "kind"}}
        contents["segments"] = [known_part(Segment, segment) for segment in contents["segments"]]
        contents["milvus"] = known_part(Collection, contents["milvus"]) if contents.get("milvus") else None
        contents["search"] = known_part(Search, contents["search"])
        contents["files"] = {name: known_part(File, file) for name, file in contents["files"].items()}
        return known_part(cls, contents)
