"""Findings as contact sheets: each reference beside those that it was found by, from the thumbnails in the index."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from eval.contact_sheet import Photo, Row, Tile, contact_sheet, kept_photo
from eval.errors import counted
from eval.findings import Doubt, Findings, Misleading, Near
from index.search import Index

MOST, WIDEST, MOST_TILES = 20, 6, 12
"""Findings of a kind in a picture, references beside each other, and references of a finding."""


def sheets(index: Index, found: Findings) -> dict[str, Image.Image]:
    """A picture of the first findings of each kind that there are any of, by the kind's name in ``Findings``."""
    rows = {
        "doubts": [_doubt(index, found, one) for one in found.doubts[:MOST]],
        "copies": [_together(index, one.rows, _under(one.labels)) for one in found.copies[:MOST]],
        "misleading": [_misleading(index, one) for one in found.misleading[:MOST]],
        "thin": [
            _together(index, one.rows, f"{one.independent} independent of {_references(one.rows)}")
            for one in found.thin[:MOST]
        ],
    }
    return {kind: contact_sheet(some, WIDEST) for kind, some in rows.items() if some}


def _references(rows: Sequence[int]) -> str:
    """How many there are."""
    return counted(len(rows), "reference", "references")


def _under(labels: Sequence[str]) -> str:
    """How many labels near copies have."""
    return "of one label" if len(labels) == 1 else f"under {len(labels)} labels"


def _doubt(index: Index, found: Findings, one: Doubt) -> Row:
    """A doubtful label beside those that vote, and beside the nearest of its own label where that is not among them."""
    place = int(np.searchsorted(found.looked_at, one.row))
    voters = zip(found.voters.rows[place].tolist(), found.voters.similarities[place].tolist(), strict=True)
    others = [Near(*voter) for voter in voters if voter[0] >= 0][:WIDEST]
    if one.own.row in [other.row for other in others]:
        tiles = _tiles(index, others, index.label(one.row))
    else:
        own = Tile(_photo(index, one.own.row), "nearest of its own label", one.own.similarity, "same", ranked=False)
        tiles = [*_tiles(index, others[: WIDEST - 1], index.label(one.row)), own]
    return _row(index, one.row, f"neighbours say {one.elected}, {one.share:.0%} to {one.own_share:.0%}", tiles)


def _misleading(index: Index, one: Misleading) -> Row:
    """A reference beside those that it misleads."""
    return _row(
        index, one.row, f"votes for {len(one.misled)} of other labels", _tiles(index, one.misled, index.label(one.row))
    )


def _together(index: Index, rows: Sequence[int], remark: str) -> Row:
    """The first of some references beside the others."""
    vectors = index.vectors(np.array(rows[: MOST_TILES + 1]))
    others = [Near(*other) for other in zip(rows[1:], (vectors[1:] @ vectors[0]).tolist(), strict=False)]
    return _row(index, rows[0], remark, _tiles(index, others, index.label(rows[0])))


def _row(index: Index, row: int, remark: str, tiles: Sequence[Tile]) -> Row:
    """A reference under its label, with what there is to say of it."""
    name = index.table["path"][row].as_py() or index.table["id"][row].as_py()
    return Row(_photo(index, row), index.label(row), f"{remark} · {'/'.join(Path(name).parts[-2:])}", tiles)


def _tiles(index: Index, near: Sequence[Near], label: str) -> list[Tile]:
    """References beside another one, those of its label framed."""
    labelled = [(one, index.label(one.row)) for one in near[:MOST_TILES]]
    return [
        Tile(_photo(index, one.row), name, one.similarity, "same" if name == label else "other")
        for one, name in labelled
    ]


def _photo(index: Index, row: int) -> Photo:
    """The picture of a reference, or why there is none."""
    return kept_photo(index.thumbnail(row))
