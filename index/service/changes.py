"""The routes that change the index: teach, relabel, remove, undo. The guard has asked for the token."""

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, File, Form, Path, Query, Request, UploadFile
from fastapi.security import HTTPBearer
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from eval.errors import InputError
from eval.images import BadImage
from index.changes import change_index, removed
from index.commit import PATIENCE, BusyError
from index.journal import Change
from index.manifest import Manifest
from index.relabel import renamed
from index.search import Index
from index.selection import asked, select
from index.service.running import BUSY, TOLD, Running, Service
from index.service.schemas import Generation, Relabelled, Removed, Taught, problems
from index.service.teaching import Lesson, Teller, teach
from index.service.uploads import meant_label, parse_box, uploads
from index.undo import before_last

router = APIRouter(tags=["changes"], dependencies=[Depends(HTTPBearer(auto_error=False))])

Id = Annotated[str, Path(max_length=1000, description="the id of a reference")]
Label = Annotated[str | None, Query(max_length=1000, description="of the reference, where its photo has several")]

WRITE = problems(401, 409, 422, 507)


@router.post("/references", response_model=Taught, responses={**WRITE, **problems(408, 415)})
async def add(
    request: Request,
    service: Running,
    photo: Annotated[list[UploadFile], File(description="one photo or several")],
    label: Annotated[str, Form(description="what they show")],
    box: Annotated[str | None, Form(description="left,top,right,bottom of the subject in a single photo")] = None,
    relabel: Annotated[bool, Form(description="rename those that were taught under another label")] = False,
) -> JSONResponse:
    """Teach photos: they become references in one step. What is kept of them is the picture, upright, and no more."""
    limits, place = service.settings.limits, parse_box(box)
    if place and len(photo) > 1:
        raise HTTPException(422, f"box is of one photo, and there are {len(photo)}; teach them one by one")
    meant_label(service.current.snapshot.index, label, limits)  # what cannot be one is refused before it is begun
    lesson = Lesson(await uploads(photo, limits), label, place, relabel)
    return await _changed(request, service, lambda: teach(service.current, service.settings, lesson))


@router.delete("/references/{id:path}", response_model=Removed, responses={**WRITE, **problems(404)})
async def remove(
    request: Request,
    service: Running,
    id: Id,
    label: Label = None,
) -> JSONResponse:
    """Remove a reference; /undo brings it back."""

    def without(opened: Index) -> tuple[Manifest, Change]:
        rows = _named(opened, id, label)
        change = Change("remove", {"removed": len(rows)}, {"of": asked(label=label or None, id=id)})
        return removed(opened.manifest, rows), change

    return await _changed(request, service, lambda: _change(service, without, "removed"))


@router.patch("/references/{id:path}", response_model=Relabelled, responses={**WRITE, **problems(404, 408)})
async def relabel(
    request: Request,
    service: Running,
    id: Id,
    to: Annotated[str, Form(description="the new label")],
    label: Label = None,
) -> JSONResponse:
    """Give a reference another label."""
    meant_label(service.current.snapshot.index, to, service.settings.limits)  # likewise

    def with_label(opened: Index) -> tuple[Manifest, Change]:
        name = meant_label(opened, to, service.settings.limits)
        return renamed(opened, _named(opened, id, label), name, asked(label=label or None, id=id))

    return await _changed(request, service, lambda: _change(service, with_label, "relabelled"))


@router.post("/undo", response_model=Generation, responses=WRITE)
async def undo(
    request: Request,
    service: Running,
    generation: Annotated[int, Form(ge=1, lt=2**63, description="the generation that is to be undone")],
) -> JSONResponse:
    """Take the last change back, as a new generation; undone again, the change is there again."""

    def back(opened: Index) -> tuple[Manifest, Change]:
        if opened.generation != generation:
            raise HTTPException(
                409, f"generation {opened.generation} is current, not {generation}; look at it before you undo it"
            )
        return before_last(opened)

    return await _changed(request, service, lambda: _change(service, back))


def _named(opened: Index, name: str, label: str | None) -> NDArray[np.int64]:
    """The references that an id names, and a label where one is given.

    Raises:
        HTTPException: there are none.
    """
    try:
        return select(opened, label=label or None, id=name, path=None)
    except InputError as error:
        raise HTTPException(404, str(error)) from None


def _change(service: Service, make: Callable[[Index], tuple[Manifest, Change]], *counts: str) -> dict[str, Any]:
    """Make one change to the index."""
    teller = Teller()
    change_index(service.settings.folder, make, tell=teller)
    return {"generation": teller.generation, **{name: teller.counts.get(name, 0) for name in counts}}


async def _changed(request: Request, service: Service, work: Callable[[], dict[str, Any]]) -> JSONResponse:
    """Make a change and answer with what it has done; whoever asks next finds it.

    Raises:
        HTTPException: it could not be made.
    """

    def done() -> dict[str, Any]:
        PATIENCE.set(service.settings.limits.seconds)
        try:
            return work()
        finally:
            service.current.newest()

    try:
        told = await service.write(done)
    except BadImage as error:
        raise HTTPException(415, f"a photo cannot be taught: it {error.reason}") from None
    except BusyError as error:
        raise HTTPException(503, str(error), BUSY) from None
    except InputError as error:
        raise HTTPException(409, str(error)) from None
    except OSError as error:
        raise HTTPException(507, f"nothing was changed, as it cannot be written ({error.strerror})") from None
    request.scope[TOLD].generation = told["generation"]
    return JSONResponse(told)
