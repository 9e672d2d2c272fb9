"""The application: routes, guard and life cycle put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.responses import JSONResponse

from index.service import answers, changes, maps, references, review, state
from index.service.guard import Guard
from index.service.pages import pages
from index.service.running import Service, noted
from index.service.settings import Settings

FIELDS = 64
"""Fields of a form that are not photos."""


def make_app(settings: Settings) -> Guard:
    """An ASGI application that serves an index.

    Raises:
        InputError: there is no index, or it is damaged.
    """
    service = Service(settings)
    limits = settings.limits
    MultiPartParser.spool_max_size = limits.body  # uploads stay in memory and never touch a disk

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await service.stop()

    app = FastAPI(
        title="Fieldmark",
        summary="Which of these near-identical kinds is this? Answered by the nearest labelled references.",
        version=_version(),
        docs_url=None,
        redoc_url=None,
        lifespan=running,
        redirect_slashes=False,
        form_limits={"max_files": limits.photos, "max_fields": FIELDS, "max_part_size": 64 * 1024},
        telemetry={"auto_configure": False},
    )
    app.state.service = service
    for room in (answers, references, changes, review, maps, state):
        app.include_router(room.router, dependencies=[Depends(noted)])
    app.include_router(pages())
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _failed)
    return Guard(app, service)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    """A refusal as JSON."""
    assert isinstance(error, HTTPException)
    said = {"Not Found": "there is nothing here; /docs lists what there is"}.get(error.detail, error.detail)
    told = request.app.state.service.settings.without_folder(said)
    return JSONResponse({"error": told}, error.status_code, dict(error.headers or {}))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """What is wrong with the values of a request, in a sentence."""
    assert isinstance(error, RequestValidationError)
    wrong = [f"{'.'.join(map(str, one['loc'][1:])) or one['loc'][0]}: {one['msg']}" for one in error.errors()[:5]]
    return JSONResponse({"error": "; ".join(wrong)[:1000]}, 422)


async def _failed(_: Request, error: Exception) -> NoReturn:
    """Leave a mistake of the service's own to the guard, which logs it and says under which name."""
    raise error


def _version() -> str:
    """Of Fieldmark, as it is installed."""
    try:
        return version("fieldmark")
    except PackageNotFoundError:
        return "0"
