"""The route of the map."""

import threading

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from eval.rows import taken
from index.search import Index
from index.service.running import SnapshotTaken
from index.service.schemas import Map, problems

MAKING = threading.Lock()
"""The map of a generation is made once, however many ask."""

router = APIRouter(tags=["references"])


@router.get("/map", response_model=Map, responses=problems(404))
def references_in_the_plane(snapshot: SnapshotTaken) -> JSONResponse:
    """Give the map that index.map has made: like references lie close."""
    if snapshot.places is None:
        raise HTTPException(404, "this index has no map; make one: python -m index.map NAME.index")
    with MAKING:
        snapshot.map = snapshot.map or _map(snapshot.index, snapshot.places)
    return snapshot.map


def _map(index: Index, places: NDArray[np.float32]) -> JSONResponse:
    """The map of a generation."""
    labels, codes = index.classes
    rows = np.flatnonzero(index.kept & np.isfinite(places).all(axis=1))
    told = {
        "labels": labels,
        "points": [[round(x, 4), round(y, 4)] for x, y in places[rows].tolist()],
        "codes": codes[rows].tolist(),
        "ids": taken(index.table["id"], rows).to_pylist(),
    }
    return JSONResponse({"generation": index.generation, "count": index.count, **told})
