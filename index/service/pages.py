"""The files of the page, and a page that lists the routes: from a list of names that is made at the start."""

import mimetypes
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from index.service.running import TOLD

SHOWN = {".html", ".css", ".js", ".svg", ".png", ".ico", ".woff2", ".json", ".webmanifest"}
"""Endings of files that a page is made of."""

DOCS = "docs.html"


class Asset(NamedTuple):
    """A file of a page, in memory."""

    content: bytes
    media_type: str


def assets() -> dict[str, Asset]:
    """Every file that may be asked for, by its path; nothing else is ever looked up in a folder."""
    found = {}
    for package, below in (("eval", "/shared/"), ("index", "/")):
        folder = Path(str(files(package))) / "web"
        for file in sorted(folder.iterdir()) if folder.is_dir() else []:
            if file.suffix in SHOWN and file.is_file():
                kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
                text = kind.startswith("text/") or kind.endswith(("javascript", "json"))
                found[f"{below}{file.name}"] = Asset(file.read_bytes(), f"{kind}; charset=utf-8" if text else kind)
    return found


def pages() -> APIRouter:
    """The routes of these files: ``/`` is the page, ``/docs`` what lists the routes."""
    router, known = APIRouter(include_in_schema=False), assets()

    def given(request: Request, path: str, route: str) -> Response:
        request.scope[TOLD].route = route
        if path not in known:
            raise HTTPException(404, "there is nothing here; /docs lists what there is")
        return Response(known[path].content, media_type=known[path].media_type, headers={"cache-control": "no-cache"})

    @router.get("/")
    async def home(request: Request) -> Response:
        """The page, where there is one."""
        if "/index.html" not in known:
            return RedirectResponse("/docs")
        return given(request, "/index.html", "/")

    @router.get("/docs")
    async def docs(request: Request) -> Response:
        """What lists the routes."""
        return given(request, f"/{DOCS}", "/docs")

    @router.get("/{name}")
    async def own(request: Request, name: str) -> Response:
        """A file of the page."""
        return given(request, f"/{name}", "/{file}")

    @router.get("/shared/{name}")
    async def shared(request: Request, name: str) -> Response:
        """A file of all pages."""
        return given(request, f"/shared/{name}", "/shared/{file}")

    return router
