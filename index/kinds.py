"""How an index is searched: the kinds there are, and which one suits how many references.

Exact search compares a query with every reference. The other kinds look at a part of them, or at shortened vectors, and
propose candidates, whose similarities are then taken from the vectors themselves.
"""

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

import faiss

from eval.errors import InputError, unknown
from index.manifest import Search

FAST_ENOUGH = 64_000_000
"""Numbers (references times dimension) that one core compares with a query in about 10 ms: exact search up to here."""

LARGEST_GRAPH = 5_000_000
"""References that ``auto`` links to a graph, which one core does, so that it is the same every time."""

LEAST_LINKS = 2
"""Neighbours that a graph links each reference to, at least."""

POINTS_A_CENTROID = 50
"""References that k-means has of each centroid; FAISS warns below 39."""

ERRORS = 2
"""Standard errors of what is measured that a target is to be passed by: the first to pass it has been lucky."""

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclass(frozen=True)
class Kind:
    """A way to search.

    Attributes:
        factory: what FAISS calls it, given the number of references and the dimension; None for exact search.
        bytes: how many it keeps of a reference, given the dimension.
    """

    factory: Callable[[int, int], str | None]
    bytes: Callable[[int], int]


def centroids(count: int) -> int:
    """The power of two nearest to 4 * sqrt(N), with enough references for each."""
    return max(1, min(2 ** round(math.log2(4 * math.sqrt(max(1, count)))), count // POINTS_A_CENTROID))


KINDS = {
    "flat": Kind(lambda count, dimension: None, lambda dimension: (4 + 2) * dimension),  # see index.scan
    "sq": Kind(lambda count, dimension: "SQ8", lambda dimension: dimension + 8),
    "hnsw": Kind(lambda count, dimension: "HNSW16_SQ8", lambda dimension: dimension + 150),
    "ivf": Kind(lambda count, dimension: f"IVF{centroids(count)},SQ8", lambda dimension: dimension + 8),
    "ivfpq": Kind(
        lambda count, dimension: f"RR{dimension + dimension % 2},IVF{centroids(count)},PQ{(dimension + 1) // 2}x4fs",
        lambda dimension: (dimension + 3) // 4 + 8,
    ),
}
"""The kinds by name, but for ``auto`` and FAISS's factory strings.

Exact search; all references at a byte a number; a graph of neighbours; the nearest cells, at a byte a number; and
those at two bits a number, two of which share four.
"""


def wanted_search(kind: str, target_recall: float, max_memory: str | None, dimension: int) -> Search:
    """What was asked for, before anything is made of it.

    Args:
        kind: ``auto``, a name of ``KINDS``, or a factory string.
        target_recall: the share of the ten nearest to find, in (0, 1].
        max_memory: a number of bytes, as ``parse_bytes`` takes it.
        dimension: of the vectors.

    Raises:
        InputError: there is no such kind, share or number of bytes.
    """
    if not 0 < target_recall <= 1:
        raise InputError(f"target_recall is {target_recall}; it must be above 0 and at most 1")
    if kind not in ("auto", *KINDS):
        if not re.search(r"\d", kind):  # no factory string, but for those that compare everything
            raise unknown("kind", kind, ["auto", *KINDS])
        structure(kind, dimension)
    return Search(kind=kind, target_recall=target_recall, max_memory=parse_bytes(max_memory))


def structure(factory: str, dimension: int) -> faiss.Index:
    """An empty structure by FAISS's factory string, for cosines of vectors of a dimension.

    Raises:
        InputError: FAISS knows none of that name, or none for cosines.
    """
    links = re.search(r"HNSW(\d+)", factory)
    if links and int(links[1]) < LEAST_LINKS:  # by which FAISS ends the process
        raise InputError(f"{factory!r} links {links[1]} references; a graph takes {LEAST_LINKS} at least")
    try:
        return faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)
    except (RuntimeError, MemoryError) as error:
        raise InputError(
            f"FAISS makes no {factory!r} for cosines of {dimension} numbers: {reason(error)}; "
            "take another kind, such as flat, hnsw or ivf"
        ) from None


def reason(error: RuntimeError | MemoryError) -> str:
    """What FAISS says is wrong, without where in its source it is said."""
    if isinstance(error, MemoryError):
        return "it takes more memory than there is"
    return str(error).strip().rpartition("Error: ")[2].replace("\n", " ")


def choose(kind: str, count: int, dimension: int, max_memory: int | None) -> str | None:
    """The factory string for a kind and a number of references; None for exact search.

    ``auto`` is exact for as long as that is fast enough and fits in the memory, then the fastest kind that fits.

    Args:
        kind: ``auto``, a name of ``KINDS``, or a factory string.
        count: references.
        dimension: of their vectors.
        max_memory: bytes that the search may keep in memory, on which ``auto`` decides; None for any number.

    Raises:
        InputError: there is no kind that fits.
    """
    if kind in KINDS:
        return KINDS[kind].factory(count, dimension)
    if kind != "auto":
        return kind
    sized = [name for name in ("flat", "hnsw", "ivf", "ivfpq") if _suits(name, count, dimension)]
    needed = {name: count * KINDS[name].bytes(dimension) for name in sized}
    for name in sized:
        if max_memory is None or needed[name] <= max_memory:
            return KINDS[name].factory(count, dimension)
    least = min(needed, key=lambda name: needed[name])
    raise InputError(
        f"{count} references of dimension {dimension} need {needed[least] / 1e6:.0f} MB at least (--kind {least}), and "
        f"--max-memory is {(max_memory or 0) / 1e6:.0f} MB; give more, or embed with fewer dimensions"
    )


def _suits(name: str, count: int, dimension: int) -> bool:
    """Whether a kind is fit for so many references."""
    limits = {"flat": FAST_ENOUGH // dimension, "hnsw": LARGEST_GRAPH}
    return count <= limits.get(name, count)


def describe(search: Search) -> str:
    """How an index is searched, for people."""
    if search.factory is None:
        return "exact"
    told = f"{search.kind}: {search.factory}"
    if search.recall is not None and search.far_recall is not None:
        told += f" finds {search.recall:.1%} of the ten nearest ({search.far_recall:.1%} of a photo's that is far off)"
    if search.milliseconds is not None and search.exact_milliseconds is not None:
        told += f" in {search.milliseconds:.2f} ms; exact search takes {search.exact_milliseconds:.1f} ms"
    return told


def report(search: Search) -> None:
    """Say on standard error how an index is searched from now on, and where that falls short of what was asked for."""
    print(describe(search), file=sys.stderr)
    if search.far_recall is not None and search.far_recall < search.target_recall:
        print(f"that is less than --target-recall {search.target_recall}; take another --kind", file=sys.stderr)


def parse_bytes(text: str | None) -> int | None:
    """The number of bytes in a text such as ``2GB`` or ``500 MiB``.

    Raises:
        InputError: it is no such text, or zero.
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?i?B?)\s*", text, re.IGNORECASE)
    unit = _UNITS.get(found[2].upper()) if found else None
    if found is None or unit is None or float(found[1]) * unit < 1:
        raise InputError(f"max_memory is {text!r}; give a number of bytes such as 500MB or 2GB")
    return int(float(found[1]) * unit)
