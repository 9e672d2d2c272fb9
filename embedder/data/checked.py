"""Photos looked over: all that is looked for in them, put together."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedder.data import class_findings, doubtful, findings
from embedder.data.catalog import Catalog
from embedder.data.class_findings import Count
from embedder.data.findings import Finding, Looked
from embedder.data.folder import empty_folders
from embedder.data.photo_facts import look_at
from embedder.data.same_pictures import same_pictures
from embedder.data.splits import Protocol, is_zero_shot, sides


@dataclass(frozen=True)
class Checked:
    """What was seen of some photos.

    Attributes:
        source: how they were named.
        looked: the photos with what they are.
        protocol: what parts their sides, in words.
        counts: how many photos each side has, and each class on it.
        findings: all that was looked for, what is worst first.
        left: what was not looked for, by title, and why.
    """

    source: str
    looked: Looked
    protocol: str
    counts: list[Count]
    findings: list[Finding]
    left: dict[str, str]

    def of(self, kind: str) -> Finding:
        """The finding of one kind."""
        return next(one for one in self.findings if one.kind == kind)


def look_over(
    source: str,
    catalog: Catalog,
    protocol: Protocol,
    tiny: int,
    embeddings: Path | None = None,
    samples: Container[int] = (),
) -> Checked:
    """Open every photo once, and look for everything that may be wrong.

    Args:
        source: how the photos were named.
        catalog: the photos.
        protocol: what parts their sides.
        tiny: pixels of the shorter side below which a photo is tiny.
        embeddings: vectors of the photos, for suspicious labels.
        samples: the rows of which to keep a thumbnail.

    Raises:
        InputError: the protocol needs labels that there are not, or the vectors are of other photos.
    """
    training, test = sides(catalog, protocol)
    looked = Looked(catalog, look_at(catalog, samples), training, test)
    known = doubtful.search(looked, embeddings) if embeddings is not None else None
    near = doubtful.near_pairs(known) if known else np.empty((2, 0), np.int64)
    found = [
        findings.unreadable(looked),
        findings.same_photos(looked),
        findings.near_copies(looked, np.concatenate([same_pictures(looked), near], axis=1)),
        *([class_findings.sides(looked, _apart(catalog, protocol))] if looked.has_test else []),
        class_findings.one_name(looked),
        *([class_findings.groups(looked)] if looked.has_test and _has(catalog, "group") else []),
        *([doubtful.suspicious(looked, known)] if known else []),
        findings.tiny(looked, tiny),
        *([findings.boxes(looked)] if _has(catalog, "box", "subject_box") else []),
        *([findings.keypoints(looked)] if _has(catalog, "keypoints") else []),
        class_findings.lone(looked, empty_folders(catalog.root) if catalog.name == "folder" else ()),
    ]
    return Checked(
        source=source,
        looked=looked,
        protocol=_in_words(catalog, protocol, looked.has_test),
        counts=class_findings.counts(looked),
        findings=found,
        left=dict(_not_looked_for(looked, embeddings)),
    )


def _apart(catalog: Catalog, protocol: Protocol) -> bool | None:
    """Whether the classes of both sides are to be different ones; None where neither the source nor the user says."""
    if protocol == "auto" and catalog.class_split is None:
        return None
    return is_zero_shot(catalog, protocol)


def _in_words(catalog: Catalog, protocol: Protocol, has_test: bool) -> str:
    """What parts the sides."""
    if not has_test:
        return "no test side"
    name = "zero-shot" if is_zero_shot(catalog, protocol) else "closed-set"
    if protocol != "auto":
        return f"{name} protocol, as asked for"
    if catalog.class_split is not None:
        return f"{name} protocol, as {catalog.name} declares"
    return "split as given; no protocol declared"


def _not_looked_for(looked: Looked, embeddings: Path | None) -> Iterator[tuple[str, str]]:
    """What there is no way to look for, and why."""
    catalog = looked.catalog
    if not looked.has_test:
        yield "what is on both sides of the split", "there is none"
    elif not _has(catalog, "group"):
        yield "groups on both sides", "the source has none"
    if embeddings is None:
        yield "suspicious labels", "--embeddings FOLDER, made by embedder.embed"
    if not _has(catalog, "box", "subject_box"):
        yield "boxes", "the source has none"
    if not _has(catalog, "keypoints"):
        yield "keypoints", "the source has none"


def _has(catalog: Catalog, *columns: str) -> bool:
    """Whether a catalog has one of some columns."""
    return not {*columns}.isdisjoint(catalog.table.column_names)
