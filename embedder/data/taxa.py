"""The levels above a label in somebody's own table: columns of their names, or one column ``taxonomy``."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from embedder.data.listing import Listing, Values
from eval.errors import InputError

LEVELS = ("kingdom", "phylum", "taxonomic_class", "order", "family", "genus")
"""Columns of a catalog, from the top; ``class`` alone would be taken for the label."""

SEPARATORS = re.compile(r"[/|>;]")


def with_taxa(listing: Listing) -> Listing:
    """The list with one column a level, whole as far as it goes.

    An answer adds up what speaks for a taxon by its name, so a name must mean one taxon, and a row that leaves out a
    level would speak for none there.

    Raises:
        InputError: names the first row that leaves out a level, or whose taxon lies elsewhere in another row.
    """
    if "taxonomy" in listing.columns:
        listing = _parted(listing)
    levels = [level for level in LEVELS if level in listing.columns]
    if levels:
        _check(listing, levels, [listing.texts(level) for level in levels])
    return listing


def _parted(listing: Listing) -> Listing:
    """The column ``taxonomy`` as columns of levels: its last level is the genus, the one before the family, and so on.

    Where it ends with the label in every row, that is no level above it.
    """
    if both := next((level for level in LEVELS if level in listing.columns), None):
        raise InputError(f"{listing.file} has a column 'taxonomy' and a column {both!r}; leave one of them out")
    chains = _chains(listing)
    known = [row for row, chain in enumerate(chains) if chain]
    if "label" in listing.columns:
        labels = listing.texts("label")
        others = [row for row in known if chains[row][-1] != labels[row]]
        if 2 * len(others) < len(known):
            if others:
                raise listing.fault(
                    others[0],
                    f"the taxonomy {'/'.join(chains[others[0]])!r} does not end with the label {labels[others[0]]!r}, "
                    "as most others do",
                )
            chains = [chain[:-1] for chain in chains]
    depth = max(map(len, chains), default=0)
    for row in known:
        if len(chains[row]) < depth:
            most = next(other for other in known if len(chains[other]) == depth)
            raise listing.fault(
                row, f"the taxonomy {'/'.join(chains[row])!r} lacks a level: {listing.places[most]} has {depth}"
            )
    if depth > len(LEVELS):
        raise listing.fault(known[0], f"the taxonomy has {depth} levels above the label; known: {', '.join(LEVELS)}")
    columns = {name: values for name, values in listing.columns.items() if name != "taxonomy"}
    for place, level in enumerate(LEVELS[len(LEVELS) - depth :]):
        columns[level] = pa.array([chain[place] if chain else None for chain in chains], pa.string())
    return replace(listing, columns=columns)


def _chains(listing: Listing) -> list[list[str]]:
    """The taxonomy of each row from the top, empty where it is unknown."""
    column = listing.columns["taxonomy"]
    lists = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    given = (
        column.to_pylist() if lists else [SEPARATORS.split(text) if text else [] for text in listing.texts("taxonomy")]
    )
    chains = [[str(name or "").strip() for name in chain or []] for chain in given]
    for row, chain in enumerate(chains):
        if "" in chain:
            raise listing.fault(row, f"the taxonomy {'/'.join(chain)!r} has an empty level")
    return chains


def _check(listing: Listing, levels: Sequence[str], columns: Sequence[Values]) -> None:
    """Refuse a taxon below an unknown one, and one or a label below two."""
    above: dict[tuple[str, str], tuple[str, int]] = {}
    for row, chain in enumerate(zip(*columns, strict=True)):
        for level, name, upper, parent in zip(levels[1:], chain[1:], levels, chain, strict=False):
            if name is None:
                continue
            if parent is None:
                raise listing.fault(row, f"the {level} is {name!r} and the {upper} above it is missing")
            other, first = above.setdefault((level, name), (parent, row))
            if other != parent:
                raise listing.fault(
                    row,
                    f"the {level} {name!r} is of the {upper} {parent!r}, and in {listing.places[first]} of {other!r}; "
                    "if there are two of that name, tell them apart by name",
                )
    if "label" in listing.columns:
        _check_labels(listing, levels, columns)


def _check_labels(listing: Listing, levels: Sequence[str], columns: Sequence[Values]) -> None:
    """Refuse a label that is of two taxa of one level."""
    taxa: dict[tuple[str, str], tuple[str, int]] = {}
    for row, (label, *chain) in enumerate(zip(listing.texts("label"), *columns, strict=True)):
        for level, name in zip(levels, chain, strict=True):
            if label is None or name is None:
                continue
            other, first = taxa.setdefault((level, label), (name, row))
            if other != name:
                raise listing.fault(
                    row, f"the label {label!r} is of the {level} {name!r}, and in {listing.places[first]} of {other!r}"
                )
