"""The map over HTTP."""

import numpy as np

from index import Index
from index.map import main as make_map
from index.remove import main as remove
from tests.index.service.conftest import serving


def test_the_map_is_given_where_there_is_one(own, monkeypatch):
    monkeypatch.setattr("index.map.project", lambda vectors, seed, progress: vectors[:, :2])
    with serving(own) as client:
        answer = client.get("/map")
        assert (answer.status_code, "python -m index.map" in answer.json()["error"]) == (404, True)
        make_map(own)
        remove(own, label="class-1")
        client.service.current.newest()
        told = client.get("/map").json()
    index = Index.open(own)
    rows = np.flatnonzero(index.kept)
    assert (told["generation"], told["count"], told["labels"]) == (3, 15, ["class-0", "class-2", "class-3"])
    assert told["ids"] == [index.table["id"][row].as_py() for row in rows]
    assert [told["labels"][code] for code in told["codes"]] == [index.label(row) for row in rows]
    assert np.allclose(told["points"], index.vectors(rows)[:, :2], atol=1e-4)
