"""The route of the map."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from eval.rows import taken as rows_of
from index.service.current import Snapshot
from index.service.running import taken
from index.service.schemas import Map, problems

router = APIRouter(tags=["references"])


@router.get("/map", response_model=Map, responses=problems(404))
def references_in_the_plane(snapshot: Annotated[Snapshot, Depends(taken)]) -> JSONResponse:
    """Give the map that index.map has made: like references lie close."""
    index, places = snapshot.index, snapshot.places
    if places is None:
        raise HTTPException(404, "this index has no map; make one: python -m index.map NAME.index")
    labels, codes = index.classes
    rows = np.flatnonzero(index.kept & np.isfinite(places).all(axis=1))
    told = {
        "labels": labels,
        "points": [[round(x, 4), round(y, 4)] for x, y in places[rows].tolist()],
        "codes": codes[rows].tolist(),
        "ids": rows_of(index.table["id"], rows).to_pylist(),
    }
    return JSONResponse({"generation": index.generation, "count": index.count, **told})
