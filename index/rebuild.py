"""The command ``python -m index.rebuild NAME.index``: the same references, searched or embedded in another way."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from embedder.batches import Embedded, embed_whole, report_left_out
from embedder.data.catalog import Catalog, read_catalog
from embedder.runtime import Embedder
from eval.command import run
from eval.embeddings import TRAINED_ON
from eval.errors import InputError
from eval.images import OnBadImage
from eval.rows import taken
from index.build import copy_embedder
from index.calibrate import calibrated_if_possible
from index.collection import discard, milvus_index
from index.commit import Writer, staging, writing
from index.comparison import Comparison, compare_answers
from index.journal import Change, announce
from index.kinds import wanted_search
from index.manifest import Collection, Manifest, Search
from index.milvus_client import connect, new_address
from index.renewal import copied, embedded, written
from index.search import Index
from index.segment import SegmentWriter
from index.store import Store
from index.structure import searchable

ANSWERED = 500
"""References that are answered before and after where no photos are given for that."""

FEWEST_UNSEEN = 20
"""References that no embedder was trained on, for them alone to be answered."""

FOLDER = "folder"
"""The place of vectors that are not in Milvus."""


def main(
    index: Path,
    *,
    kind: str | None = None,
    target_recall: float | None = None,
    max_memory: str | None = None,
    embedder: Path | None = None,
    images_root: Path | None = None,
    milvus: str | None = None,
    validation: str | None = None,
    on_bad_image: OnBadImage = "error",
    dry_run: bool = False,
) -> Comparison:
    """Make an index anew of its own references, and say how its answers change: one step, done or not done.

    Deleted references and changed labels, which an index carries along, are written out, its segments become one, and
    what a search that is not exact is made of is made anew; so is the calibration.

    Args:
        index: an index folder.
        kind: another kind of search, as for index.build; by default what was asked for last, like the next two.
        target_recall: as for index.build.
        max_memory: as for index.build.
        embedder: a run folder or an embedder.onnx that makes the vectors anew, of the photos that the index names.
        images_root: the folder that these photos are in by now.
        milvus: where the vectors are to go: the address of a Milvus, as for index.build, or "folder" to take them back.
        validation: labelled photos to answer before and after; by default references that no embedder of the two saw.
        on_bad_image: stop where a photo is gone, damaged or another one by now, or leave its reference out.
        dry_run: do all of it, say what would change, and keep the index as it is.

    Returns:
        How the answers change.
    """
    opened = Index.open(index)
    photos = None if validation is None else read_catalog(validation)
    if photos is not None:
        photos.check_labelled("comparing answers")
    model = _another(embedder, opened)
    fingerprint, dimension = (model or opened.manifest).fingerprint, (model or opened.manifest).dimension
    address = _answering(milvus)
    search = partial(_asked, kind=kind, recall=target_recall, memory=max_memory, dimension=dimension, address=address)
    search(opened)  # which had better be refused before photos are embedded than after
    plan = _Plan(model, search, partial(_photos_folder, images_root), address, on_bad_image)
    with staging(index) as new_files, SegmentWriter(new_files, fingerprint, dimension) as references:
        copy = copy_embedder(model, new_files) if model else None  # before anybody replaces it
        early = written(plan.renewed(opened, np.flatnonzero(opened.kept)), references) if model else ([], [])
        with writing(index) as writer:
            now = Index.open(index)
            check_same_rows(opened, now)
            manifest, rows, left_out = plan.remade(opened, now, early, copy, references, writer, new_files)
            after = Index(Store.of(manifest, index, new_files))
            found = _compared(now, after, model, photos, rows)
            change = _change(manifest, left_out, found)
            if not dry_run:
                writer.commit(manifest, change, new_files)
            elif manifest.milvus and manifest.milvus != now.manifest.milvus:
                discard(manifest.milvus)
    report_left_out(left_out)
    announce(index, change, now.generation if dry_run else now.generation + 1, dry_run)
    print(found)
    return found


def _another(embedder: Path | None, index: Index) -> Embedder | None:
    """The embedder that is given, where the index does not have it already."""
    model = None if embedder is None else Embedder.open(embedder)
    return None if model is None or model.fingerprint == index.fingerprint else model


def _photos_folder(given: Path | None, index: Index) -> Path:
    """Where the photos lie: what is given, wherever commands are given later, or as it was.

    Raises:
        InputError: a folder is given, and there is none.
    """
    if given is None:
        return Path(index.manifest.images_root)
    if not given.is_dir():
        raise InputError(f"--images_root is {given}, which is no folder; give the one that the photos lie in")
    return given.absolute()


def _answering(milvus: str | None) -> str | None:
    """The address of a Milvus that answers, which had better fail before photos are embedded than after."""
    if milvus is None or milvus == FOLDER:
        return milvus
    address = new_address(milvus)
    connect(address, make=True)
    return address


def _asked(
    index: Index, kind: str | None, recall: float | None, memory: str | None, dimension: int, address: str | None
) -> Search:
    """How the index is to be searched: what is not said stays, but for the memory where this machine holds nothing."""
    before = index.manifest.search
    wanted = wanted_search(kind or before.kind, before.target_recall if recall is None else recall, memory, dimension)
    elsewhere = address not in (None, FOLDER)
    if elsewhere:
        milvus_index(wanted, 0, dimension)
    return wanted if memory is not None or elsewhere else replace(wanted, max_memory=before.max_memory)


@dataclass(frozen=True)
class _Plan:
    """What an index is to become.

    Attributes:
        model: another embedder; None where it stays.
        search: how it is searched, given what it is by now.
        root: where its photos are, likewise.
        address: of the Milvus that its vectors go to, or ``FOLDER``; None where they stay.
        on_bad_image: what to do with a photo that is not what it was.
    """

    model: Embedder | None
    search: Callable[[Index], Search]
    root: Callable[[Index], Path]
    address: str | None
    on_bad_image: OnBadImage

    def renewed(self, index: Index, rows: NDArray[np.int64]) -> Iterator[Embedded]:
        """Some references as they are to be written."""
        if self.model is None:
            return copied(index, rows)
        return embedded(index, rows, model=self.model, root=self.root(index), on_bad_image=self.on_bad_image)

    def remade(
        self,
        opened: Index,
        now: Index,
        early: tuple[list[int], list[dict[str, str]]],
        copy: tuple[str, str | None] | None,
        references: SegmentWriter,
        writer: Writer,
        new_files: Path,
    ) -> tuple[Manifest, list[int], list[dict[str, str]]]:
        """The next generation, the rows that its rows have in ``now``, and the photos that were left out.

        ``early`` is what has been written of ``opened`` already, which others may have changed since, and ``copy`` the
        files of the new embedder.
        """
        manifest = self._asked_for(now)
        rows, left_out = early
        if self.model is None:
            now.verify()
        if self.model or manifest.milvus != now.manifest.milvus or not _is_tidy(now):
            more, others = written(self.renewed(now, _rest(now, opened if self.model else None)), references)
            rows, left_out = [*rows, *more], [*left_out, *others]
            manifest = _renewed(manifest, opened, now, rows, references, writer)
            manifest = replace(manifest, left_out=[*manifest.left_out, *left_out])
        else:
            references.discard()
            rows = list(range(now.manifest.rows))
        if self.model and copy:
            manifest = _with_embedder(manifest, self.model, *copy)
        manifest = searchable(manifest, now.folder, new_files, writer.generation)
        if manifest.segments != now.manifest.segments or manifest.changes:
            manifest = calibrated_if_possible(manifest, now.folder, new_files, writer.generation)
        return manifest, rows, left_out

    def _asked_for(self, now: Index) -> Manifest:
        """The generation that is to be searched in another way, with its photos or its vectors in another place."""
        manifest, search, root = now.manifest, self.search(now), str(self.root(now))
        asked = {name: getattr(search, name) for name in ("kind", "target_recall", "max_memory")}
        made_from = {**manifest.made_from, **asked, "images_root": root}
        place = manifest.milvus
        if self.address == FOLDER:
            place = None
            made_from.pop("milvus", None)
        elif self.address and (place is None or place.address != self.address):
            place = Collection(self.address, place.name if place else "")
            made_from["milvus"] = self.address
        return replace(manifest, search=search, images_root=root, milvus=place, made_from=made_from)


def _is_tidy(index: Index) -> bool:
    """Whether an index carries nothing along."""
    manifest = index.manifest
    return len(manifest.segments) == 1 and not manifest.deleted and not manifest.label_changes


def check_same_rows(opened: Index, now: Index) -> None:
    """Refuse an index whose rows were numbered anew while photos were embedded."""
    count = opened.manifest.rows
    same = now.fingerprint == opened.fingerprint and now.manifest.rows >= count
    if not same or not now.table["id"].slice(0, count).equals(opened.table["id"]):
        raise InputError(f"{opened.folder} has been built anew meanwhile; run the command again")


def _rest(now: Index, opened: Index | None) -> NDArray[np.int64]:
    """The references that are still to be written: those that have come, or come back, meanwhile; or all."""
    rows = np.flatnonzero(now.kept)
    if opened is None:
        return rows
    return rows[~np.append(opened.kept, False)[np.minimum(rows, opened.manifest.rows)]]  # new, or brought back


def _renewed(
    manifest: Manifest, opened: Index, now: Index, rows: list[int], references: SegmentWriter, writer: Writer
) -> Manifest:
    """The generation whose only segment is what has been written, with what has happened to these rows meanwhile."""
    if not rows:
        raise InputError(f"no reference of {now.folder} is left; nothing is changed")
    gone = [place for place, row in enumerate(rows) if not now.kept[row]]
    places, was = np.array(rows), opened.labels
    early = np.flatnonzero(places < len(was))
    early = early[now.kept[places[early]]]
    differing = early[now.labels[places[early]] != was[places[early]]]
    labels = {str(place): now.label(rows[place]) for place in differing.tolist()}
    segment = references.finish(writer.generation)
    return replace(manifest, segments=[segment], deleted=gone, label_changes=labels, changes=0, map=None)


def _with_embedder(manifest: Manifest, model: Embedder, file: str, trained_on: str | None) -> Manifest:
    """The generation that has another embedder, which lies in a file."""
    return replace(
        manifest,
        fingerprint=model.fingerprint,
        dimension=model.dimension,
        embedder=file,
        trained_on=trained_on,
        made_from={**manifest.made_from, "embedder": model.fingerprint},
    )


def _compared(
    before: Index, after: Index, model: Embedder | None, photos: Catalog | None, rows: list[int]
) -> Comparison:
    """How the answers change, to labelled photos or else to some of the references."""
    if photos is None:
        return _on_references(before, after, rows)
    return _on_photos(before, after, model or before.embedder, photos)


def _on_references(before: Index, after: Index, rows: list[int]) -> Comparison:
    """How the answers change to some of the references; ``rows`` are the rows that those of ``after`` had before.

    To photos that it was trained on an embedder is too often right: they are answered only where there are few others.
    """
    places = np.random.default_rng(0).permutation(np.flatnonzero(after.kept))
    earlier = np.array(rows)[places]
    seen = np.stack([_trained_on(before, earlier), _trained_on(after, places)])
    unseen = (seen == 0).all(axis=0)
    if unseen.sum() >= FEWEST_UNSEEN:
        places, earlier, seen = places[unseen], earlier[unseen], seen[:, unseen]
    places, earlier, seen = places[:ANSWERED], earlier[:ANSWERED], seen[:, :ANSWERED]
    if before.fingerprint != after.fingerprint and seen.any():
        _warn(seen)
    ids = taken(after.table["id"], places).to_pylist()
    labels = after.labels[places].tolist()
    return compare_answers((before, before.vectors(earlier)), (after, after.vectors(places)), labels, ids)


def _trained_on(index: Index, rows: NDArray[np.int64]) -> NDArray[np.int8]:
    """Whether the embedder was trained on some references: 1, 0, and -1 where that is not known."""
    if TRAINED_ON not in index.table.column_names:
        return np.full(len(rows), -1, np.int8)
    return np.asarray(taken(index.table[TRAINED_ON], rows).cast(pa.int8()).fill_null(-1).to_numpy())


def _warn(seen: NDArray[np.int8]) -> None:
    """Say on standard error which embedder the answers flatter; ``seen`` is ``[2, N]``, before and after."""
    of = f"of the {seen.shape[1]} references that are answered"
    for one, when in zip(seen, ("before", "after"), strict=True):
        if (one > 0).any():
            told = f"{(one > 0).sum()} {of} were trained on by the embedder {when}"
        elif one.any():
            told = f"how many {of} were trained on by the embedder {when} is not known"
        else:
            continue
        print(f"warning: {told}; give --validation with photos that were not", file=sys.stderr)


def _on_photos(before: Index, after: Index, model: Embedder, photos: Catalog) -> Comparison:
    """How the answers change to labelled photos, of which those that cannot be read are left out."""
    first, left_out = embed_whole(before.embedder, photos)
    second = first if model is before.embedder else embed_whole(model, photos)[0]
    report_left_out(left_out)
    labels = [*map(str, first.labels)]
    return compare_answers((before, first.vectors), (after, second.vectors), labels, first.ids)


def _change(manifest: Manifest, left_out: list[dict[str, str]], found: Comparison) -> Change:
    """What the journal is told."""
    counts = {"references": manifest.rows - len(manifest.deleted), "unreadable": len(left_out)}
    details = {"kind": manifest.search.kind, "embedder": manifest.fingerprint, "answers": asdict(found)}
    return Change("rebuild", details=details).counting(**counts)


if __name__ == "__main__":
    run(main)
