"""The routes that tell of the service itself: info, health, numbers."""

from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from eval.errors import InputError
from index.info import facts
from index.journal import read_journal
from index.service.running import Running, SnapshotTaken
from index.service.schemas import Ready

router = APIRouter(tags=["state"])

LAST = 10
"""Entries of the journal that are told of."""

PRIVATE = ("images_root", "milvus")
"""What an index says of the machine that it is on, which is nobody else's business."""

PUBLIC = ("when", "command", "to", "taken_back", "embedder", "answers")
"""What its journal says that is everybody's, beside numbers."""


@router.get("/info")
def info(snapshot: SnapshotTaken, service: Running) -> JSONResponse:
    """What the index holds, where it is from, what has been done to it, and what may be asked of the service."""
    index = snapshot.index
    told = {name: value for name, value in facts(index).items() if name not in PRIVATE}
    told["embedder"] = {name: value for name, value in told["embedder"].items() if not isinstance(value, list)}
    told["journal"] = []
    with suppress(InputError, OSError):  # the folder is away, or the journal has been cut: what is known is told
        told["journal"] = [_public(entry) for entry in read_journal(index.folder, index.manifest.journal)[-LAST:]]
    limits = service.settings.limits
    told["service"] = {
        "edit": service.settings.token is not None,
        "photos": limits.photos,
        "neighbours": limits.neighbours,
        "megabytes": limits.megabytes,
        "megapixels": limits.megapixels,
        "label": limits.label,
    }
    return JSONResponse(told)


@router.get("/healthz")
async def healthz() -> JSONResponse:
    """Whether the process lives."""
    return JSONResponse({"alive": True})


@router.get("/readyz", response_model=Ready)
async def readyz(snapshot: SnapshotTaken, service: Running) -> JSONResponse:
    """Whether photos are answered, by which generation, and what is wrong though they are."""
    problem = service.current.problem  # another one, or none, the next time
    problem = problem and service.settings.without_folder(problem)
    return JSONResponse({"ready": True, "generation": snapshot.generation, "problem": problem})


@router.get("/metrics", response_class=Response)
def metrics(service: Running) -> Response:
    """The numbers of the service, as Prometheus reads them."""
    return Response(service.monitor.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _public(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of the journal without who made it, and without folders."""
    return {name: value for name, value in entry.items() if name in PUBLIC or isinstance(value, int | float)}
