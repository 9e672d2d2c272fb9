"""The routes of references: labels, references, their pictures."""

import unicodedata
from bisect import bisect_left, bisect_right
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from eval.images import BadImage, open_image
from index.among import rows_with
from index.references import reference_photo
from index.search import Index
from index.service.answers import row_of
from index.service.current import Snapshot
from index.service.running import Running, SnapshotTaken, newest
from index.service.schemas import Labels, References, problems
from index.service.settings import Limits
from index.service.uploads import HASH, checked, encoded

router = APIRouter(tags=["references"])

Id = Annotated[str, Path(description="the id of a reference", max_length=1000)]


async def holding(request: Request, snapshot: SnapshotTaken, service: Running, id: Id) -> Snapshot:
    """The generation that has a reference: where this one lacks it, another process may just have added it."""
    return snapshot if snapshot.rows_of(id) else await newest(request)


Holding = Annotated[Snapshot, Depends(holding)]

SIDE = 1600
"""Pixels of the longer side of a photo that is shown."""

FOR_EVER = {"cache-control": "private, max-age=31536000, immutable"}
ASKED_AGAIN = {"cache-control": "private, no-cache"}
"""For what an id names by its contents, and for what may be another picture tomorrow."""


@router.get("/labels", response_model=Labels, responses=problems(422))
def labels(
    snapshot: SnapshotTaken,
    search: Annotated[str, Query(max_length=200, description="what labels must hold, in whatever case")] = "",
    after: Annotated[str, Query(max_length=1000, description="the last label of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> JSONResponse:
    """List the labels by the alphabet, each with the number of its references."""
    known, counts = snapshot.index.classes[0], snapshot.counts
    sought = _folded(search)
    start = bisect_right(known, after) if after else 0
    places = [place for place in range(start, len(known)) if sought in _folded(known[place])]
    shown = [{"label": known[place], "references": int(counts[place])} for place in places[:limit]]
    same = snapshot.index.spellings.find(search)
    exact = None if same is None else {"label": same, "references": int(counts[bisect_left(known, same)])}
    told = {"count": len(known), "labels": shown, "exact": exact}
    more = shown[-1]["label"] if len(places) > limit else None
    return JSONResponse({"generation": snapshot.generation, **told, "next": more})


@router.get("/references", response_model=References, responses=problems(404, 422))
def references(
    snapshot: SnapshotTaken,
    label: Annotated[str | None, Query(max_length=1000, description="of this label alone")] = None,
    after: Annotated[int | None, Query(ge=0, lt=2**63, description="next, of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JSONResponse:
    """List references, the newest first."""
    index = snapshot.index
    rows = snapshot.rows if label is None else rows_with(index, [snapshot.label(label)])
    end = len(rows) if after is None else int(np.searchsorted(rows, after))
    page = rows[max(0, end - limit) : end][::-1].tolist()
    shown = [{"id": _of(index, "id", row), "label": index.label(row), "path": _of(index, "path", row)} for row in page]
    more = page[-1] if end > limit else None
    return JSONResponse({"generation": index.generation, "count": len(rows), "references": shown, "next": more})


@router.get("/thumbnails/{id:path}", response_class=Response, responses=problems(404))
def thumbnail(snapshot: Holding, id: Id) -> Response:
    """Give the small picture of a reference."""
    return _picture(snapshot.index.thumbnail(row_of(snapshot, id)), for_ever=HASH.fullmatch(id) is not None)


@router.get("/images/{id:path}", response_class=Response, responses=problems(404))
async def image(snapshot: Holding, service: Running, id: Id) -> Response:
    """Give the photo of a reference where it is at hand, and else its small picture."""
    row = row_of(snapshot, id)
    shown = await service.decode(photo_of, snapshot.index, row, service.settings.limits)
    return _picture(shown or snapshot.index.thumbnail(row), for_ever=shown is not None)


def photo_of(index: Index, row: int, limits: Limits) -> bytes | None:
    """The photo of a reference as a JPEG without metadata; None where its file is not the one that its id names.

    So nothing is ever shown that is not a reference, whatever lies at its path by now, or whoever wrote the path.
    """
    found = reference_photo(index, row)
    if found is None:
        return None
    content, box = found
    try:
        checked(content, limits)
        opened = open_image(content, box, SIDE)
    except BadImage:
        return None
    opened.thumbnail((SIDE, SIDE))
    return encoded(opened, "JPEG", quality=90)


def _of(index: Index, name: str, row: int) -> Any:
    """What is known of a reference in one column."""
    if name not in index.table.column_names:
        return None
    return index.table[name][row].as_py()


def _folded(text: str) -> str:
    """A text as it is searched for: in whatever case, and in whichever of Unicode's forms."""
    return unicodedata.normalize("NFC", text).casefold()


def _picture(content: bytes, *, for_ever: bool) -> Response:
    """A picture as an answer; one that an id names by its contents may be kept for ever."""
    if not content:
        raise HTTPException(404, "this reference has no picture: its photo was not at hand when it was added")
    return Response(content, media_type="image/jpeg", headers=FOR_EVER if for_ever else ASKED_AGAIN)
