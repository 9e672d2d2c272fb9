"""Naming references: by label, by id, by path."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from eval.errors import InputError, close_names, unknown
from eval.files import at_home, real_path
from index.search import Index

MOST_NAMED = 3
"""Ids or paths that a wrong one may have been meant for; there are too many to name all."""


def select(index: Index, *, label: str | None, id: str | None, path: str | None) -> NDArray[np.int64]:
    """The rows of the references that fit all that is given.

    Args:
        index: where to look.
        label: the references of this class, however it is spelt in Unicode.
        id: the references of this photo.
        path: this photo, or the photos of this folder, as the index keeps it or as it is called here.

    Returns:
        At least one row, ascending.

    Raises:
        InputError: nothing is given, or no reference fits.
    """
    wanted = asked(label=label, id=id, path=path)
    if not wanted:
        raise InputError("say which references: --label, --id or --path")
    if path == "":
        raise InputError("path is empty, which would be all photos; is a variable of the shell unset?")
    fits = index.kept.copy()
    for name, value in wanted.items():
        one = index.kept & _fits(index, name, value)
        if not one.any():
            raise _none(index, name, value)
        fits &= one
    if not fits.any():
        all_of_it = " and ".join(f"the {name} {value!r}" for name, value in wanted.items())
        raise InputError(f"no reference has {all_of_it}; each by itself some have, so leave one of them out")
    return np.flatnonzero(fits)


def asked(**values: str | None) -> dict[str, str]:
    """What of ``select``'s arguments is given, by name: also what the journal is told."""
    return {name: value for name, value in values.items() if value is not None}


def _fits(index: Index, name: str, value: str) -> NDArray[np.bool_]:
    """Which rows have a value, the deleted ones among them."""
    if name == "label":
        return np.asarray(index.labels == index.spellings.find(value))
    if name == "id":
        return pc.equal(index.table["id"], value).to_numpy(zero_copy_only=False)
    root = Path(index.manifest.images_root)
    real = str(real_path(root))
    # Strings, not paths: a million of these take minutes.
    paths = [path and os.path.normpath(f"{real}{os.sep}{path}") for path in index.table["path"].to_pylist()]
    fits = np.zeros(len(paths), bool)
    for wanted in _places(value, root, real):
        below = tuple(f"{one.rstrip(os.sep)}{os.sep}" for one in wanted)
        fits = np.array([path is not None and (path in wanted or path.startswith(below)) for path in paths], bool)
        if fits.any():  # also a deleted one: a link whose reference is gone does not mean what it leads to
            break
    return fits


def _places(value: str, root: Path, real: str) -> Iterator[set[str]]:
    """Where a path may lead, below the real folder of the photos: as it is written, then as links in it lead."""
    here, given, below = (_climbed(one.absolute()) for one in (at_home(value), root, Path(real) / value))
    moved = [Path(real) / here.relative_to(given)] if here.is_relative_to(given) else []
    yield {os.path.normpath(one) for one in (below, here, *moved)}
    yield {str(real_path(at_home(value))), str(real_path(root / value))}


def _climbed(path: Path) -> Path:
    """A path without ``..``, which leads out of where a link before it leads."""
    up = max((place for place, part in enumerate(path.parts) if part == os.pardir), default=-1)
    return Path(real_path(Path(*path.parts[: up + 1])), *path.parts[up + 1 :]) if up >= 0 else path


def _none(index: Index, name: str, value: str) -> InputError:
    """The error for what no reference has, with the nearest that one has."""
    if name == "label":
        return unknown("label", value, sorted({*index.labels[index.kept]}))
    known = {*index.table[name].filter(index.kept).drop_null().unique().to_pylist()}
    if name == "path":
        known |= {path.rpartition("/")[0] for path in known} - {""}
    close = close_names(value, sorted(known), MOST_NAMED)
    advice = f"index.query --json names the {name}s of the references that are nearest to a photo"
    if close:
        advice = f"did you mean {' or '.join(map(repr, close))}?"
    return InputError(f"unknown {name} {value!r}; {advice}")
