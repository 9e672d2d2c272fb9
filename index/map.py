"""The command ``python -m index.map NAME.index``: the references of an index in the plane, for looking at."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.command import run
from eval.errors import InputError
from eval.folders import damaged
from eval.projection import project
from index.commit import staging, writing
from index.journal import Change, announce
from index.rebuild import check_same_rows
from index.search import Index

FEWEST = 3
"""References that a map can be made of."""


def main(index: Path, *, seed: int = 0) -> Change:
    """Make a map of the references by UMAP, so that like ones lie close, and keep it in the index.

    What is added later has no place on it until it is made again.

    Args:
        index: an index folder.
        seed: of the layout's random moves.

    Returns:
        What was done.
    """
    if not 0 <= seed < 1 << 32:
        raise InputError(f"seed is {seed}; it must be at least 0 and below 2^32")
    opened = Index.open(index)
    rows = np.flatnonzero(opened.kept)
    if len(rows) < FEWEST:
        raise InputError(f"{index} holds {len(rows)} references; a map needs {FEWEST} at least")
    places = np.full((opened.manifest.rows, 2), np.nan, np.float32)
    places[rows] = project(opened.vectors(rows), seed, progress=True)
    change = Change("map", {"references": len(rows)}, {"seed": seed})
    with staging(index) as new_files, writing(index) as writer:
        now = Index.open(index)
        check_same_rows(opened, now)
        name = f"map-{writer.generation:06}.npy"
        np.save(new_files / name, places)
        writer.commit(replace(now.manifest, map=name), change, new_files)
        generation = writer.generation
    announce(index, change, generation)
    return change


def read_map(index: Index) -> NDArray[np.float32] | None:
    """The place of each row in the plane ``[N, 2]``, NaN for rows that have none; None where there is no map.

    Raises:
        FileNotFoundError: its file is gone, as writers have been faster.
        InputError: it is damaged.
    """
    if index.manifest.map is None:
        return None
    path = index.folder / index.manifest.map
    index.manifest.files[path.name].check(path)
    try:
        made = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise damaged(path, str(error)) from None
    places = np.full((index.manifest.rows, 2), np.nan, np.float32)
    if made.ndim != 2 or made.shape[1] != 2 or len(made) > len(places):
        raise damaged(path, f"it has the shape {made.shape}")
    places[: len(made)] = made
    return places


if __name__ == "__main__":
    run(main)
