"""The route of what is worth a person's look."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from eval.errors import InputError
from eval.findings import find
from index.references import references_of
from index.review import counts_of, tables_of
from index.service.current import Snapshot
from index.service.running import BUSY, Running, Service, SnapshotTaken
from index.service.schemas import problems

router = APIRouter(tags=["references"])

Kind = Literal["doubts", "copies", "misleading", "thin"]


@router.get("/review", responses=problems(409, 422))
async def review(
    snapshot: SnapshotTaken,
    service: Running,
    kind: Annotated[Kind, Query(description="of findings")] = "doubts",
    after: Annotated[int, Query(ge=0, lt=2**63, description="next, of the page before")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> JSONResponse:
    """List what index.review finds. It looks once a generation, and may still be at it: then ask again."""
    if snapshot.review is None:
        snapshot.review = asyncio.ensure_future(service.take_long(_found, service, snapshot))
    try:
        found = await asyncio.shield(snapshot.review)
    except InputError as error:
        raise HTTPException(409, str(error)) from None
    if found is None:
        raise HTTPException(503, "the index has changed meanwhile; ask again", BUSY)
    rows = found[kind]
    end = _end(rows, after + limit)
    counts = {name: value for name, value in found.items() if not isinstance(value, list)}
    counts |= {name: len(value) for name, value in found.items() if isinstance(value, list)}
    return JSONResponse(
        {
            "generation": snapshot.generation,
            **counts,
            "kind": kind,
            "found": rows[after:end],
            "next": end if end < len(rows) else None,
        }
    )


def _end(rows: list[dict[str, Any]], end: int) -> int:
    """Where a page of findings ends: near copies of one group are not parted."""
    while end < len(rows) and "group" in rows[end] and rows[end]["group"] == rows[end - 1]["group"]:
        end += 1
    return end


def _found(service: Service, snapshot: Snapshot) -> dict[str, Any] | None:
    """All findings, by kind, and what must be known before one is read; None of a generation that is over."""
    if service.current.snapshot is not snapshot:
        return None
    found = find(references_of(snapshot.index))
    return counts_of(snapshot.index, found) | tables_of(snapshot.index, found)
