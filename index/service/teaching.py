"""Photos that become references: kept beside the index, then added in one commit, or neither."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
from starlette.exceptions import HTTPException

from embedder.data.catalog import TYPES, Catalog, label_codes
from eval.errors import InputError
from eval.files import replacing
from eval.images import Box, photo_id
from index.add import add
from index.journal import Change
from index.search import Index
from index.service.current import Current, Snapshot
from index.service.settings import Settings
from index.service.uploads import Upload, meant_label, stripped
from index.source import Place, catalog_source


@dataclass(frozen=True)
class Lesson:
    """Photos with their label.

    Attributes:
        photos: as they came.
        label: of all of them, as it came.
        box: of the subject in a single one.
        relabel: give those that were taught before, under another label, this one.
    """

    photos: Sequence[Upload]
    label: str
    box: Box | None
    relabel: bool


@dataclass
class Teller:
    """Is told what a change has done, in the place of standard output."""

    change: Change | None = None
    generation: int = 0

    def __call__(
        self, folder: Path, change: Change, generation: int, dry_run: bool = False, unopened: bool = False
    ) -> None:
        """Remember what has been done."""
        self.change, self.generation = change, generation

    @property
    def counts(self) -> dict[str, int]:
        """What has been done, in numbers."""
        return self.change.counts if self.change else {}

    def update(self, photos: int, /) -> None:
        """Be told how far the work is, which nobody here wants to know."""


def teach(current: Current, settings: Settings, lesson: Lesson) -> dict[str, object]:
    """Add photos to the index as references, and keep them where later rebuilds find them.

    Returns:
        What ``POST /references`` answers.

    Raises:
        BadImage: one of the photos cannot be used.
        InputError: another change has come between.
        HTTPException: one is there under another label, or the label cannot be one.
    """
    snapshot, teller = current.newest(), Teller()
    index = snapshot.index
    lesson = replace(lesson, label=meant_label(index, lesson.label, settings.limits))
    strict = replace(lesson, relabel=False)  # a reference whose very file this is was not taught, and has its own route
    named = {photo_id(one.content, lesson.box): one.content for one in lesson.photos}
    there = [name for name in named if _is_there(snapshot, strict, name)]
    new = [content for name, content in named.items() if name not in there]
    files = dict(_file(*stripped(content, settings.limits)) for content in new)
    ids = [photo_id(content, lesson.box) for content in files.values()]
    for name in ids:
        _is_there(snapshot, lesson, name)
    generation = index.generation
    if files:
        with _kept(settings, files, ids):
            catalog = _catalog(settings.taught_folder, list(files), lesson)
            source = catalog_source(Place.of(index), lambda: index.embedder, catalog, "error", "error", teller)
            add(
                index,
                source,
                Change("teach"),
                on_conflict="error",
                relabel=lesson.relabel,
                dry_run=False,
                tell=teller,
            )
        generation = teller.generation
    return {
        "generation": generation,
        "added": teller.counts.get("added", 0),
        "already_there": len(lesson.photos) - sum(teller.counts.get(one, 0) for one in ("added", "relabelled")),
        "relabelled": teller.counts.get("relabelled", 0),
        "ids": list(dict.fromkeys([*ids, *there])),
    }


def _is_there(snapshot: Snapshot, lesson: Lesson, name: str) -> bool:
    """Whether a photo is a reference under the label that it comes with.

    Raises:
        HTTPException: it is one under another label, and is not to be renamed.
    """
    labels = {snapshot.index.label(row) for row in snapshot.rows_of(name)}
    if labels and lesson.label not in labels and not lesson.relabel:
        raise HTTPException(
            409, f"a photo is there already as {min(labels)!r}; rename that reference (id {name}), or remove it first"
        )
    return lesson.label in labels


def _file(content: bytes, ending: str) -> tuple[str, bytes]:
    """A photo's file as it is kept: its name says what is in it, and nothing that a client has said."""
    return f"{photo_id(content)}{ending}", content


@contextmanager
def _kept(settings: Settings, files: dict[str, bytes], ids: Sequence[str]) -> Iterator[None]:
    """Keep files; those that were not there go again where what follows fails."""
    written = []
    try:
        for name, content in files.items():
            path = settings.taught_folder / name
            if not path.exists():
                written.append(path)
                with replacing(path) as beside:
                    beside.write_bytes(content)
        yield
    except BaseException:
        if written and not _known(settings.folder, ids):  # nobody else has taught them meanwhile
            for path in written:
                path.unlink(missing_ok=True)
        raise


def _known(folder: Path, ids: Sequence[str]) -> bool:
    """Whether an index has references of one of some photos; not one that cannot be opened."""
    try:
        return bool(Index.open(folder).known(ids))
    except (InputError, OSError):
        return False


def _catalog(folder: Path, names: list[str], lesson: Lesson) -> Catalog:
    """The kept photos with their label, and the box where there is one."""
    columns = {
        "path": pa.array(names, pa.string()),
        "label": label_codes(pa.chunked_array([[lesson.label] * len(names)])),
    }
    if lesson.box:
        columns["box"] = pa.array([lesson.box] * len(names), TYPES["box"])
    return Catalog(pa.table(columns), folder, "taught")
