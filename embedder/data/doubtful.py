"""What vectors say of the photos of a catalog: labels that the nearest others contradict, and near copies."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedder.data.findings import Entry, Finding, Looked, Numbers
from eval.embeddings import PICTURE_HASH, EmbeddingSet
from eval.errors import InputError
from eval.findings import Doubt, Findings, find
from eval.references import References
from eval.rows import taken

SUSPICIOUS = 1.0
"""The score of ``eval.doubts`` from which on a label is suspicious: on 100 species with 10 planted wrong labels, all of
them reach it and 90 others of 5,892 do (docs/results.md)."""

EVIDENCE = 4
"""Neighbours that are shown beside a suspicious label."""


def search(looked: Looked, embeddings: Path) -> Findings:
    """Search for every labelled photo among the others.

    Vectors belong to the photos whose ids they have; labels are those of the catalog.

    Args:
        looked: the photos.
        embeddings: an embeddings folder of them, or an index folder.

    Raises:
        InputError: the folder cannot be read, or has vectors of none of the photos.
    """
    vectors = EmbeddingSet.load(embeddings)
    catalog, facts = looked.catalog, looked.facts
    ids = pa.array(facts.ids.astype(str))
    places = pc.fill_null(pc.index_in(ids, pa.array(vectors.ids)), -1).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero((places >= 0) & (catalog.codes >= 0))
    if not len(rows):
        raise InputError(
            f"{embeddings} has no vectors of the labelled photos in {catalog.root}; make them by "
            "python -m embedder.embed EMBEDDER IMAGES --out FOLDER"
        )
    columns = {"id": taken(ids, rows), PICTURE_HASH: pa.array(facts.pictures[rows], mask=~facts.pictured[rows])}
    if "group" in catalog.table.column_names:
        columns["group"] = taken(catalog.table["group"], rows)
    labels = [str(catalog.labels[row]) for row in rows]
    known = References.made(rows, vectors.vectors[places[rows]], labels, pa.table(columns))
    return find(known)


def near_pairs(found: Findings) -> Numbers:
    """Pairs ``[2, P]`` of rows that link what is near by vectors."""
    pairs = [(group.rows[0], row) for group in found.copies for row in group.rows[1:]]
    return np.array(pairs, np.int64).reshape(-1, 2).T


def suspicious(looked: Looked, found: Findings) -> Finding:
    """Labels that the nearest other photos contradict, more than is usual between the two classes."""
    doubtful = [one for one in found.doubts if one.score >= SUSPICIOUS]
    note = (
        f"Their nearest others elect another label, which is not usual between the two classes. Of "
        f"{len(found.looked_at)} labels looked at, {len(found.doubts)} are outvoted; photos of look-alikes often are."
    )
    return Finding("labels", "Suspicious labels", note, [_entry(looked, found, one) for one in doubtful])


def _entry(looked: Looked, found: Findings, one: Doubt) -> Entry:
    """A suspicious label, with the nearest neighbours of the label that they elect."""
    voters = found.voters.rows[np.searchsorted(found.looked_at, one.row)]
    against = [row for row in voters.tolist() if row >= 0 and looked.catalog.labels[row] == one.elected][:EVIDENCE]
    facts = {
        **looked.named(one.row),
        "elected": one.elected,
        "share": one.share,
        "own_share": one.own_share,
        "score": one.score,
        "neighbours": [looked.named(row) for row in against],
    }
    text = f"{looked.called(one.row)}: neighbours say {one.elected}, {one.share:.0%} of the vote to {one.own_share:.0%}"
    return Entry([one.row, *against], text, facts)
